from collections.abc import Iterator

import pytest

from pixel_lora_pipeline_tests.notify import servers


@pytest.fixture
def webhook() -> Iterator[servers.Webhook]:
    with servers.webhook() as running:
        yield running


@pytest.fixture
def mailbox() -> Iterator[servers.Mailbox]:
    with servers.mailbox() as running:
        yield running
