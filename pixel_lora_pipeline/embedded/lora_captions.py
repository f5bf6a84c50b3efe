"""What a caption becomes each time its picture is shown."""

import numpy as np

from pixel_lora_pipeline.embedded.lora_config import LoraConfig


def vary_caption(caption: str, config: LoraConfig, epoch: int, rng: np.random.Generator) -> str:
    """The caption with Kohya's dropouts and shuffling.

    The whole caption is dropped, trigger word included, with probability `caption_dropout_rate` and in every
    epoch that `caption_dropout_every_n_epochs` divides. Otherwise `shuffle_caption` shuffles the tags after
    the first `keep_tokens`, and `caption_tag_dropout_rate` drops them one by one. Without either of these the
    caption stays as it is, whatever `keep_tokens` says.

    Parameters
    ----------
    caption
        Comma-separated tags.
    config
        Its caption parameters.
    epoch
        Counted from 1.
    rng
        Source of every choice.
    """
    dropped = config.caption_dropout_rate > 0 and rng.random() < config.caption_dropout_rate
    every = config.caption_dropout_every_n_epochs
    if dropped or (every > 0 and epoch % every == 0):
        return ""
    if not (config.shuffle_caption or config.caption_tag_dropout_rate > 0):
        return caption
    tags = [tag.strip() for tag in caption.strip().split(",")]
    fixed, flexible = tags[: config.keep_tokens], tags[config.keep_tokens :]
    if config.shuffle_caption:
        rng.shuffle(flexible)
    if config.caption_tag_dropout_rate > 0:
        flexible = [tag for tag in flexible if rng.random() >= config.caption_tag_dropout_rate]
    return ", ".join(fixed + flexible)
