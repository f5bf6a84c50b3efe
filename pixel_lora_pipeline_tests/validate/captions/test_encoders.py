"""Tokens are counted by every text encoder of the base model."""

import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from pixel_lora_pipeline.caption_quality import assess_captions
from pixel_lora_pipeline.embedded.loading import WEIGHTS
from pixel_lora_pipeline.validate.captions.encoders import text_encoders


def test_sd_1_has_one_encoder_and_sdxl_has_two(base_folder: Path, xl_folder: Path) -> None:
    assert list(text_encoders(base_folder)) == ["the text encoder"]
    assert list(text_encoders(xl_folder)) == ["the text encoder", "the second text encoder"]
    # The small models' vocabulary is letters.
    assert [count(["red hair", ""]) for count in text_encoders(xl_folder).values()] == [[7, 0], [7, 0]]


def test_a_caption_that_only_the_second_encoder_of_sdxl_cuts_is_told_with_its_name(
    xl_folder: Path, tmp_path: Path
) -> None:
    model, data = tmp_path / "sdxl", tmp_path / "data" / "1_pixchar"
    shutil.copytree(xl_folder, model)
    # Its words are whole tokens to the first encoder, and letters to the second.
    shutil.rmtree(model / "tokenizer")
    shutil.copytree(WEIGHTS / "tokenizer", model / "tokenizer")
    data.mkdir(parents=True)
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(data / "a.png")
    caption = (
        "pixchar, portrait, green background, pink hair, light skin, red lips, smile, crown, necklace, glasses, hat"
    )
    (data / "a.txt").write_text(caption, encoding="utf-8")
    first, second = (count([caption])[0] for count in text_encoders(model).values())
    assert first <= 75 < second
    found = assess_captions(data.parent, {"caption_extension": ".txt"}, text_encoders(model))
    told = [finding.message for finding in found.findings if "text encoder" in finding.message]
    assert len(told) == 1
    assert "the second text encoder" in told[0]


def test_of_a_single_file_nothing_is_said(tmp_path: Path) -> None:
    assert text_encoders(tmp_path / "model.safetensors") == {}
