"""`pixel-lora measure`, as a person or a script runs it."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pixel_lora_pipeline_tests.test_cli import pixel_lora
from pixel_lora_pipeline_tests.validate.sprites import enlarged, portrait
from pixel_lora_pipeline_tests.validate.test_semantic import tiny_clip

PROMPT = "pink hair #ff69b4, background #2e9e44, gold crown, sunglasses, brightish lips"


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "portrait.png"
    Image.fromarray(enlarged(portrait(background="#d62828"), 8)).save(path)
    return path


def test_scores_and_what_was_expected_and_found_are_printed_and_drawn(image: Path) -> None:
    result = pixel_lora("measure", str(image), "--prompt", PROMPT)
    assert result.returncode == 0, result.stderr
    for said in ("#2e9e44", "#d62828", "hair_color_accuracy", "brightish lips", "not named", "not configured"):
        assert said in result.stdout, result.stdout
    with Image.open(image.with_name("portrait-overlay.png")) as overlay:
        assert overlay.width > 2 * 192
    assert [path.name for path in image.parent.iterdir() if path.name.startswith(".")] == [], "a part was left"


def test_what_cannot_be_told_is_said_with_its_reason(tmp_path: Path) -> None:
    path = tmp_path / "empty.png"
    Image.new("RGB", (64, 64), "#2e9e44").save(path)
    result = pixel_lora("measure", str(path), "--prompt", "pink hair, gold crown")
    assert result.returncode == 0, result.stderr
    assert "cannot tell: no hair found" in result.stdout, result.stdout
    assert "cannot tell: no figure found that could wear it" in result.stdout, result.stdout


def test_json_is_the_stored_measurement_one_line_an_image(image: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.png"
    Image.fromarray(portrait()).save(other)
    result = pixel_lora("measure", str(image), str(other), "--prompt", PROMPT, "--json", "--overlay", str(tmp_path))
    assert result.returncode == 0, result.stderr
    first, second = (json.loads(line) for line in result.stdout.splitlines())
    assert first["color_accuracy"]["background_accuracy"] == 0.0
    assert second["color_accuracy"]["background_accuracy"] == 100.0
    assert first["semantic"] == {"semantic_score": None, "reason": "not configured"}
    assert Path(second["overlay"]) == tmp_path / "other-overlay.png"
    assert Path(second["overlay"]).stat().st_size < 200_000


def test_a_configured_clip_model_adds_its_score(image: Path, tmp_path: Path) -> None:
    folder = tiny_clip(tmp_path / "clip")
    result = pixel_lora("measure", str(image), "--prompt", PROMPT, "--json", PIXEL_LORA_CLIP_MODEL=str(folder))
    assert result.returncode == 0, result.stderr
    semantic = json.loads(result.stdout)["semantic"]
    assert 0.0 <= semantic["semantic_score"] <= 2.5
    assert len(semantic["model_sha256"]) == 64


def test_what_is_no_image_is_named_and_the_others_are_measured(image: Path, tmp_path: Path) -> None:
    text, cut = tmp_path / "text.png", tmp_path / "cut.png"
    text.write_text("no image")
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(cut)
    cut.write_bytes(cut.read_bytes()[:2000])
    files = [str(path) for path in (tmp_path / "none.png", text, cut, tmp_path, image)]
    result = pixel_lora("measure", *files, "--json")
    assert result.returncode == 1
    assert len(result.stdout.splitlines()) == 1, result.stdout
    for said in ("none.png does not exist", "text.png is no image", "cut.png cannot be read", "is a folder"):
        assert said in result.stderr, result.stderr
    assert "Traceback" not in result.stderr


def test_an_overlay_that_cannot_be_written_says_where_to(image: Path, tmp_path: Path) -> None:
    result = pixel_lora("measure", str(image), "--overlay", str(tmp_path / "none" / "overlay.png"))
    assert result.returncode == 1
    assert "cannot be written" in result.stderr
    assert "Traceback" not in result.stderr


def test_one_file_for_several_overlays_is_refused(image: Path, tmp_path: Path) -> None:
    result = pixel_lora("measure", str(image), str(image), "--overlay", str(tmp_path / "one.png"))
    assert result.returncode == 2
    assert "is no folder" in result.stderr


def test_a_clip_model_that_is_not_there_is_an_error_and_no_download(image: Path, tmp_path: Path) -> None:
    result = pixel_lora("measure", str(image), PIXEL_LORA_CLIP_MODEL=str(tmp_path / "none"))
    assert result.returncode == 1
    assert "SemanticModelError" in result.stderr
    assert "Traceback" not in result.stderr


def test_drift_from_the_colours_of_the_training_is_measured_where_its_pictures_are_given(
    image: Path, tmp_path: Path
) -> None:
    (tmp_path / "train" / "10_pixchar").mkdir(parents=True)
    Image.fromarray(portrait()).save(tmp_path / "train" / "10_pixchar" / "a.png")
    given = pixel_lora("measure", str(image), "--training-images", str(tmp_path / "train"), "--json")
    assert given.returncode == 0, given.stderr
    assert json.loads(given.stdout)["style_quality"]["palette_drift"] > 1.0, "its background is of another colour"
    refused = pixel_lora("measure", str(image), "--training-images", str(tmp_path / "nothing"))
    assert refused.returncode == 2
    assert "holds no pictures" in refused.stderr
