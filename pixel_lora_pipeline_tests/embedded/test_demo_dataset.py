from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pixel_lora_pipeline.embedded.demo_dataset import CaptionStyle, write_demo_dataset


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def captions(folder: Path) -> list[str]:
    return [path.read_text() for path in sorted(folder.glob("*.txt"))]


def test_the_same_arguments_write_the_same_files_also_twice(tmp_path: Path) -> None:
    first = contents(write_demo_dataset(tmp_path / "a", 4, seed=1))
    assert contents(write_demo_dataset(tmp_path / "a", 4, seed=1)) == first
    assert contents(write_demo_dataset(tmp_path / "b", 6, seed=1)).items() > first.items()
    assert contents(write_demo_dataset(tmp_path / "c", 4, seed=2)) != first


def test_the_pictures_are_pixel_art_on_a_grid_of_two(tmp_path: Path) -> None:
    folder = write_demo_dataset(tmp_path / "a", 4, seed=1)
    for path in folder.glob("*.png"):
        pixels = np.asarray(Image.open(path))
        assert np.array_equal(pixels, np.repeat(np.repeat(pixels[::2, ::2], 2, axis=0), 2, axis=1)), path
        assert len(np.unique(pixels.reshape(-1, 3), axis=0)) < 24, path


@pytest.mark.parametrize(
    ("style", "has_background", "has_hair"),
    [("complete", True, True), ("no background", False, True), ("trigger only", False, False)],
)
def test_captions_say_what_their_style_says(
    tmp_path: Path, style: CaptionStyle, has_background: bool, has_hair: bool
) -> None:
    for caption in captions(write_demo_dataset(tmp_path / "a", 8, seed=1, caption_style=style)):
        assert caption.startswith("pixchar, pixel art portrait"), caption
        assert ("background" in caption, " hair" in caption) == (has_background, has_hair), caption


def test_nothing_is_mixed_into_a_folder_with_other_files(tmp_path: Path) -> None:
    write_demo_dataset(tmp_path, 3, seed=1)
    with pytest.raises(FileExistsError, match=r"0002\.png"):
        write_demo_dataset(tmp_path, 2, seed=1)


def test_a_count_of_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="count is 0"):
        write_demo_dataset(tmp_path, 0, seed=1)
