"""What stored images should show: as the suite says now, or as it said when it asked for them."""

from pixel_lora_pipeline.store import Store, StoredImage, UnknownSuiteError
from pixel_lora_pipeline.validate import Expectation, Suite, parse_expectation, read_suite


class KeptExpectations:
    """What stored images should show.

    Parameters
    ----------
    suite
        What is asked now.
    """

    def __init__(self, store: Store, suite: Suite) -> None:
        self._store = store
        self._asked_now = {prompt.id: prompt for prompt in suite.prompts}
        self._of_suites: dict[tuple[str, str], dict[str, Expectation]] = {}

    def of(self, image: StoredImage) -> Expectation:
        """As the current suite says, if it asks this prompt; else as the suite said that asked for the image."""
        asked = self._asked_now.get(image.prompt_id)
        if asked is not None and asked.prompt == image.prompt:
            return asked.expectation
        version = (image.suite_name, image.suite_version)
        if version not in self._of_suites:
            self._of_suites[version] = self._kept(*version)
        return self._of_suites[version].get(image.prompt_id) or parse_expectation(image.prompt)

    def _kept(self, name: str, version: str) -> dict[str, Expectation]:
        try:
            content = self._store.suites.content(name, version)
        except UnknownSuiteError:  # the prompt's words say all: from before suites were kept, or of a trainer
            return {}
        return read_suite(content, f"suite {name!r}, version {version}").expectations()
