"""Pictures and captions are found as Kohya's trainer finds them."""

from pathlib import Path

import pytest
from PIL import Image

from pixel_lora_pipeline.train.captions import DatasetError, read_dataset


def picture(path: Path, caption: str | None = None, extension: str = ".txt") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4), "red").save(path)
    if caption is not None:
        path.with_suffix(extension).write_text(caption, encoding="utf-8")


def test_a_dataset_config_says_what_holds_for_each_folder(tmp_path: Path) -> None:
    picture(tmp_path / "a" / "1.png", "pixchar")
    picture(tmp_path / "b" / "1.png", "pixchar", ".caption")
    config = tmp_path / "dataset.toml"
    config.write_text(
        """
        [general]
        caption_extension = ".txt"
        shuffle_caption = true
        keep_tokens = 1
        [[datasets]]
        [[datasets.subsets]]
        image_dir = "a"
        [[datasets.subsets]]
        image_dir = "b"
        keep_tokens = 2
        caption_extension = ".caption"
        caption_prefix = "pixel art"
        """,
        encoding="utf-8",
    )
    dataset = read_dataset(config, {"keep_tokens": 7, "max_token_length": "150"})
    first, second = (folder.options for folder in dataset.folders)
    assert (first.keep_tokens, second.keep_tokens, second.max_token_length) == (1, 2, 150)
    assert second.whole("pixchar") == "pixel art pixchar" and second.varies
    assert sorted(dataset.captions) == ["a/1.txt", "b/1.caption"]


def test_folders_of_the_same_name_keep_their_captions_apart(tmp_path: Path) -> None:
    picture(tmp_path / "knights" / "10_pixchar" / "1.png", "pixchar, knight")
    picture(tmp_path / "mages" / "10_pixchar" / "1.png", "pixchar, mage")
    config = tmp_path / "dataset.toml"
    config.write_text(
        """
        [[datasets]]
        [[datasets.subsets]]
        image_dir = "knights/10_pixchar"
        [[datasets.subsets]]
        image_dir = "mages/10_pixchar"
        """,
        encoding="utf-8",
    )
    captions = read_dataset(config).captions
    assert sorted(captions) == ["knights/10_pixchar/1.txt", "mages/10_pixchar/1.txt"]


def test_captions_under_another_extension_are_not_found_and_named(tmp_path: Path) -> None:
    picture(tmp_path / "1.png", "pixchar", ".caption")
    (folder,) = read_dataset(tmp_path, {"caption_extension": ".txt"}).folders
    assert folder.captions == {} and folder.other_captions == {"1.txt": tmp_path / "1.caption"}
    (guessed,) = read_dataset(tmp_path).folders
    assert list(guessed.captions) == ["1.caption"]


def test_a_parent_of_folders_is_read_as_train_data_dir_and_orphans_are_kept(tmp_path: Path) -> None:
    picture(tmp_path / "2_a" / "1.png", "one")
    picture(tmp_path / "3_b" / "1.png", "two")
    (tmp_path / "3_b" / "2.txt").write_text("without a picture", encoding="utf-8")
    dataset = read_dataset(tmp_path)
    assert sorted(dataset.captions) == ["2_a/1.txt", "3_b/1.txt", "3_b/2.txt"]
    assert sorted(dataset.pictures) == ["2_a/1.txt", "3_b/1.txt"]


@pytest.mark.parametrize(
    ("rules", "message"),
    [("triger = 'x'", "triger"), ("minimum_hex_codes = 'many'", "minimum_hex_codes"), ("[", "no TOML")],
)
def test_rules_that_cannot_be_understood_are_refused(rules: str, message: str, tmp_path: Path) -> None:
    picture(tmp_path / "1.png", "pixchar")
    (tmp_path / "captions.toml").write_text(rules, encoding="utf-8")
    with pytest.raises(DatasetError, match=message):
        read_dataset(tmp_path)


def test_a_file_that_is_no_caption_is_refused(tmp_path: Path) -> None:
    picture(tmp_path / "1.png", "x" * 1_000_001)
    with pytest.raises(DatasetError, match="1,000,001 bytes"):
        read_dataset(tmp_path)
