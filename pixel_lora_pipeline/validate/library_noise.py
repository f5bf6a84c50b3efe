"""Keeps the log readable while diffusers and transformers load and paint: drops lines known to be harmless."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

_TRUNCATED = "was truncated because CLIP"

# Logger → parts of messages that report nothing wrong. Everything else still reaches the log.
_HARMLESS = {
    # A LoRA trained on the U-Net alone has nothing for the text encoder; the modules are counted anyway.
    "diffusers.loaders.lora_base": ("No LoRA keys associated to",),
    # The same for the U-Net, and a copy, hundreds of lines long, of the exception that is raised right after.
    "diffusers.loaders.peft": ("No LoRA keys associated to", "was unsuccessful with the following error"),
    # A list of layers that is empty.
    "diffusers.models.modeling_utils": ("should be kept in float32: []",),
    # Image processors for models that are not used here.
    "transformers.utils.import_utils": ("requires torchvision",),
    # Suites ask long captions on purpose, what is measured first. The line would come with every batch, and spell out
    # the padding of all prompts beside a long one.
    "transformers.tokenization_utils_base": ("Token indices sequence length is longer",),
    "diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion": (_TRUNCATED,),
    "diffusers.pipelines.stable_diffusion_xl.pipeline_stable_diffusion_xl": (_TRUNCATED,),
}


@contextmanager
def harmless_lines_dropped() -> Iterator[None]:
    """Drop the log lines listed in this module for as long as the context lasts."""
    with ExitStack() as stack:
        for name, parts in _HARMLESS.items():
            logger, quiet = logging.getLogger(name), _Without(parts)
            logger.addFilter(quiet)
            stack.callback(logger.removeFilter, quiet)
        yield


@contextmanager
def loading_bars_hidden() -> Iterator[None]:
    """Hide the bars of models that load from disk in a blink; afterwards they are as they were.

    Not for downloads: they take long, and their bar is wanted.
    """
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    with ExitStack() as stack:
        for library in (diffusers_logging, transformers_logging):
            if library.is_progress_bar_enabled():
                library.disable_progress_bar()
                stack.callback(library.enable_progress_bar)
        yield


class _Without(logging.Filter):
    def __init__(self, parts: tuple[str, ...]) -> None:
        super().__init__()
        self._parts = parts

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        return not any(part in message for part in self._parts)
