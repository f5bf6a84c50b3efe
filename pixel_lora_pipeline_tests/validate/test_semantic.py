"""The optional text-image score, with a genuine CLIP model of random weights."""

import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel

from pixel_lora_pipeline.embedded.vocabulary import build_tokenizer
from pixel_lora_pipeline.validate.semantic import SemanticModelError, SemanticScorer
from pixel_lora_pipeline_tests.validate.sprites import enlarged, portrait

PROMPT = "pixel art portrait, pink hair, green background"


def tiny_clip(folder: Path, *, seed: int = 0) -> Path:
    """A complete CLIP model folder that reads 32×32 pixels."""
    tokenizer = build_tokenizer()
    torch.manual_seed(seed)
    layers = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    model = CLIPModel(
        CLIPConfig(
            text_config={**layers, "vocab_size": len(tokenizer), "eos_token_id": tokenizer.eos_token_id},
            vision_config={**layers, "image_size": 32, "patch_size": 8},
            projection_dim=8,
        )
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    side = {"height": 32, "width": 32}
    CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=side).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_clip(tmp_path_factory.mktemp("models") / "tiny-clip")


def cosine(folder: Path, image: NDArray[np.uint8], prompt: str) -> float:
    """The similarity by the parts of the model, without its forward pass."""
    model = CLIPModel.from_pretrained(folder).eval()
    pixels = CLIPImageProcessorPil.from_pretrained(folder)(images=image, return_tensors="pt")
    text = build_tokenizer()([prompt], return_tensors="pt")
    with torch.inference_mode():
        seen = model.visual_projection(model.vision_model(**pixels).pooler_output)[0]
        read = model.text_projection(model.text_model(**text).pooler_output)[0]
    return float(seen @ read / seen.norm() / read.norm())


def test_the_score_is_the_published_one(clip_folder: Path) -> None:
    scorer, expected = SemanticScorer(clip_folder), []
    images = [enlarged(portrait(background=color), 8) for color in ("#2e9e44", "#ffffff", "#000000", "#ff0000")]
    for prompt in (PROMPT, "crown", "blue", "#ff69b4 hair"):
        for image in images:
            expected.append(2.5 * max(cosine(clip_folder, image, prompt), 0.0))
            assert scorer.score(image, prompt) == pytest.approx(expected[-1], abs=1e-4)
    assert 0.0 in expected and max(expected) > 0.0, "random weights gave no opposite pair: nothing was clipped"


def test_a_measurement_names_the_model_by_its_weights(clip_folder: Path, tmp_path: Path) -> None:
    image = portrait()
    measured = SemanticScorer(clip_folder).measure(image, PROMPT)
    assert measured.keys() == {"semantic_score", "model", "model_sha256"}
    assert measured["model"] == "tiny-clip"
    assert measured == SemanticScorer(clip_folder).measure(image, PROMPT), "the same image scored differently"
    other = SemanticScorer(tiny_clip(tmp_path / "other", seed=1))
    assert other.sha256 != measured["model_sha256"]


def test_long_prompts_and_transparent_images_are_scored(clip_folder: Path) -> None:
    image = np.dstack([portrait(), np.zeros((24, 24), dtype=np.uint8)])
    scorer = SemanticScorer(clip_folder)
    white = np.full((24, 24, 3), 255, dtype=np.uint8)
    assert scorer.score(image, "hair " * 300) == scorer.score(white, "hair " * 300)


def test_nothing_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    with pytest.raises(SemanticModelError, match="no such folder"):
        SemanticScorer(Path("openai/clip-vit-base-patch32")).score(portrait(), PROMPT)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(SemanticModelError, match=r"holds no \*\.safetensors"):
        SemanticScorer(empty).score(portrait(), PROMPT)


def test_pickled_weights_are_not_read(clip_folder: Path, tmp_path: Path) -> None:
    folder = tiny_clip(tmp_path / "pickled")
    torch.save(CLIPModel.from_pretrained(clip_folder).state_dict(), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(SemanticModelError, match="safetensors"):
        SemanticScorer(folder).score(portrait(), PROMPT)


@pytest.mark.parametrize("lacking", ["tokenizer.json", "preprocessor_config.json", "config.json"])
def test_an_incomplete_folder_says_what_to_do(tmp_path: Path, lacking: str) -> None:
    folder = tiny_clip(tmp_path / "incomplete")
    (folder / lacking).unlink()
    with pytest.raises(SemanticModelError, match="clip_model"):
        SemanticScorer(folder).score(portrait(), PROMPT)


def test_half_a_model_is_not_filled_up_with_random_numbers(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = tiny_clip(tmp_path / "half")
    weights = load_file(folder / "model.safetensors")
    kept = {name: weight for name, weight in weights.items() if not name.startswith("vision_model")}
    save_file(kept, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(SemanticModelError, match="missing"):
        SemanticScorer(folder).score(portrait(), PROMPT)
