"""The table of parameters, its document, and what is really read of genuine files."""

from pathlib import Path

import pytest

from pixel_lora_pipeline.config import PROJECT_ROOT
from pixel_lora_pipeline.train import read_checkpoint
from pixel_lora_pipeline.train.derived_parameters import DERIVED_PARAMETERS, SPREAD_SUFFIXES
from pixel_lora_pipeline.train.observations import METRICS
from pixel_lora_pipeline.train.parameter_document import parameter_document
from pixel_lora_pipeline.train.taxonomy import CATEGORIES, PLACES, ROADMAP_NAMES, places_of, taxonomy
from pixel_lora_pipeline_tests.train.lora_files import KOHYA_SAMPLES, write_kohya

# MLOPS_PARAMETERS in the roadmap's phase 1, category by category.
OF_THE_ROADMAP = {
    "architecture": "network_dim network_alpha conv_dim conv_alpha",
    "hyperparameters": "learning_rate lr_scheduler optimizer",
    "data_captions": "caption_complexity num_images caption_dropout_rate keep_tokens caption_version",
    "augmentation": "color_aug flip_aug",
    "noise_loss": "noise_offset",
    "preprocessing_bucketing": "image_resolution bucket_no_upscale min_bucket_reso max_bucket_reso",
    "stability": "gradient_clipping mixed_precision xformers",
    "timing": "max_train_epochs steps_per_epoch total_training_time",
}


def test_the_document_is_what_the_code_writes() -> None:
    written = (PROJECT_ROOT / "docs" / "parameters.md").read_text(encoding="utf-8")
    assert written == parameter_document(), "run `pixel-lora parameters > docs/parameters.md`"


def test_every_parameter_stands_in_the_document_with_a_meaning_and_a_place() -> None:
    document = parameter_document()
    assert len(taxonomy()) > 100
    for name, parameter in taxonomy().items():
        assert f"| `{name}` |" in document
        assert parameter.meaning and places_of(parameter), name
        assert set(places_of(parameter)) <= set(PLACES)
    assert {parameter.category for parameter in taxonomy().values()} == set(CATEGORIES)


@pytest.mark.parametrize(("category", "names"), OF_THE_ROADMAP.items())
def test_the_roadmaps_parameters_are_in_its_categories(category: str, names: str) -> None:
    for name in names.split():
        assert taxonomy()[ROADMAP_NAMES.get(name, name)].category == category, name


@pytest.mark.parametrize("file", ["run_a/pixchar_a", "run_diverge/pixchar_diverge"])
def test_what_is_read_of_a_genuine_file_is_in_the_table(file: str) -> None:
    read = read_checkpoint(KOHYA_SAMPLES / f"{file}.safetensors")
    unknown = {name for name in read.parameters if not name.endswith(SPREAD_SUFFIXES)} - taxonomy().keys()
    # Hashes that Kohya adds without an option of that name.
    assert unknown <= {"sd_model_hash", "new_sd_model_hash"}


def test_what_is_calculated_of_a_genuine_training_is_right() -> None:
    found = {
        name: value.value
        for name, value in read_checkpoint(KOHYA_SAMPLES / "run_a" / "pixchar_a.safetensors").parameters.items()
    }
    # 10 pictures with 60 tags; 6 of them are shown twice; 8 batches an epoch; rank 4, alpha 1.
    expected = {
        "num_images": 10,
        "images_times_repeats": 16,
        "caption_complexity": 6.0,
        "hex_codes_per_caption": 0.0,
        "steps_per_epoch": 8,
        "total_training_time": 145,
        "effective_batch_size": 2,
        "alpha_per_rank": 0.25,
        "lr_times_alpha_per_rank": 2.5e-5,
    }
    assert {name: found[name] for name in expected} == expected
    assert expected.keys() <= DERIVED_PARAMETERS.keys()


def test_colours_of_captions_are_counted_once_for_each_caption_that_has_them(tmp_path: Path) -> None:
    path = write_kohya(
        tmp_path / "portrait-000005.safetensors",
        ss_dataset_dirs='{"10_a": {"n_repeats": 10, "img_count": 4}}',
        ss_tag_frequency='{"10_a": {"pixel art": 4, "hair #ff00aa": 3, "#00AA44 and #123456": 1, "#12345": 2}, '
        '"not trained on": {"tag": 9}}',
    )
    found = read_checkpoint(path).parameters
    assert found["caption_complexity"].value == 10 / 4
    assert found["hex_codes_per_caption"].value == (3 + 2) / 4


def test_measurements_that_can_be_noted_are_those_that_the_pipeline_rolls_up() -> None:
    from pixel_lora_pipeline.validate import measure_image, parse_expectation, rollup
    from pixel_lora_pipeline_tests.validate.sprites import portrait

    rolled = rollup([measure_image(portrait(), parse_expectation("pixel art, hair #ff00aa"))])
    for group, names in METRICS.items():
        assert set(names) == rolled[group].keys()
