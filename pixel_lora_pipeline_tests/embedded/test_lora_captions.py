import numpy as np
import pytest

from pixel_lora_pipeline.embedded.lora_captions import vary_caption
from pixel_lora_pipeline.embedded.lora_config import LoraConfig

CAPTION = "pixchar, pixel art portrait, red hair, blue background, gold crown, smile"
TAGS = CAPTION.split(", ")
SHOWN = 2000


def shown(config: LoraConfig, epoch: int = 1) -> list[str]:
    rng = np.random.default_rng(0)
    return [vary_caption(CAPTION, config, epoch, rng) for _ in range(SHOWN)]


def test_a_caption_stays_as_it_is_unless_asked_otherwise() -> None:
    assert set(shown(LoraConfig(keep_tokens=2))) == {CAPTION}


def test_shuffling_moves_all_tags_and_loses_none() -> None:
    captions = shown(LoraConfig(shuffle_caption=True))
    assert all(sorted(caption.split(", ")) == sorted(TAGS) for caption in captions)
    firsts = {caption.split(", ")[0] for caption in captions}
    assert firsts == set(TAGS), f"only {firsts} ever came first"


@pytest.mark.parametrize("kept", [1, 2, 6, 9])
def test_kept_tags_stay_in_front_when_the_rest_is_shuffled(kept: int) -> None:
    captions = shown(LoraConfig(shuffle_caption=True, keep_tokens=kept))
    assert all(caption.split(", ")[:kept] == TAGS[:kept] for caption in captions)
    assert len(set(captions)) == (1 if kept >= len(TAGS) - 1 else len(set(captions))), "nothing was left to shuffle"


@pytest.mark.parametrize("rate", [0.1, 0.5, 1.0])
def test_whole_captions_are_dropped_at_the_rate(rate: float) -> None:
    share = shown(LoraConfig(caption_dropout_rate=rate)).count("") / SHOWN
    assert share == pytest.approx(rate, abs=0.03)


def test_whole_captions_are_dropped_every_n_epochs() -> None:
    config = LoraConfig(caption_dropout_every_n_epochs=3)
    dropped = [epoch for epoch in range(1, 10) if set(shown(config, epoch)) == {""}]
    assert dropped == [3, 6, 9]


def test_single_tags_are_dropped_at_the_rate_but_never_the_kept_ones() -> None:
    captions = [caption.split(", ") for caption in shown(LoraConfig(caption_tag_dropout_rate=0.25, keep_tokens=2))]
    assert all(tags[:2] == TAGS[:2] for tags in captions)
    share = 1 - np.mean([len(tags) - 2 for tags in captions]) / (len(TAGS) - 2)
    assert share == pytest.approx(0.25, abs=0.03)
    assert all([TAGS.index(tag) for tag in tags] == sorted(TAGS.index(tag) for tag in tags) for tags in captions)
