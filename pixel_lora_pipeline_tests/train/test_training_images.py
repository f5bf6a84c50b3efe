from pathlib import Path

from pixel_lora_pipeline.train.training_images import training_image_files


def made(*paths: Path) -> list[Path]:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return list(paths)


def test_pictures_are_found_in_the_folders_of_repeats_and_captions_are_not(tmp_path: Path) -> None:
    pictures = made(
        tmp_path / "10_pixchar" / "a.png", tmp_path / "10_pixchar" / "b.JPG", tmp_path / "2_more" / "c.webp"
    )
    made(tmp_path / "10_pixchar" / "a.txt", tmp_path / "stray.png")
    assert training_image_files({"train_data_dir": str(tmp_path)}) == pictures


def test_pictures_are_found_where_the_dataset_configuration_says_without_regularisation_images(tmp_path: Path) -> None:
    (picture,) = made(tmp_path / "sprites" / "a.png")
    made(tmp_path / "photos" / "b.png")
    config = tmp_path / "dataset.toml"
    config.write_text(
        f"""
        [[datasets]]
        [[datasets.subsets]]
        image_dir = "{(tmp_path / "sprites").as_posix()}"
        [[datasets.subsets]]
        image_dir = "{(tmp_path / "photos").as_posix()}"
        is_reg = true
        [[datasets.subsets]]
        image_dir = "relative/to/somewhere"
        """
    )
    assert training_image_files({"dataset_config": str(config)}) == [picture]


def test_what_is_gone_or_was_never_told_gives_nothing(tmp_path: Path) -> None:
    broken = tmp_path / "broken.toml"
    broken.write_text("datasets = [[")
    assert training_image_files({}) == []
    assert training_image_files({"train_data_dir": str(tmp_path / "gone"), "dataset_config": str(broken)}) == []
    assert training_image_files({"train_data_dir": None, "dataset_config": "no/such/file"}) == []
