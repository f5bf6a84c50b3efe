"""What a stored version of a suite asked can be read back."""

import pytest

from pixel_lora_pipeline.store import Store, UnknownSuiteError
from pixel_lora_pipeline.validate import load_suite, read_suite


def test_the_suite_of_a_stored_image_is_read_back_as_it_was(store: Store) -> None:
    suite = load_suite()
    for _ in range(2):
        store.suites.add(suite.name, suite.version, suite.to_content())
    assert read_suite(store.suites.content(suite.name, suite.version), "stored") == suite


def test_a_version_that_was_never_used_is_not_made_up(store: Store) -> None:
    with pytest.raises(UnknownSuiteError, match="'portraits' in version 0123"):
        store.suites.content("portraits", "0123")
