from pixel_lora_pipeline.analyze.issues import DEFINITIONS
from pixel_lora_pipeline.analyze.rollup_issues import rollup_issues

GOOD = {
    "color_accuracy": {
        "background_accuracy": 97.0,
        "hair_accuracy": 93.0,
        "hair_two_toned": False,
        "hair_two_toned_share": 0.1,
        "accessory_accuracy": 84.0,
    },
    "style_quality": {"pixel_art_purity": 94.0, "photorealism_score": 6.0, "color_palette_size": 30},
}


def test_a_good_epoch_has_none_of_the_failures_that_it_can_tell_of() -> None:
    told = rollup_issues(GOOD)
    assert not any(told.values()), told
    assert told.keys() == {definition.key for definition in DEFINITIONS} - {"black_images", "off_grid"}


def test_each_failure_is_told_by_its_own_number() -> None:
    style = {"pixel_art_purity": 30.0, "photorealism_score": 70.0, "color_palette_size": 900}
    color = {
        "background_accuracy": 56.0,
        "hair_accuracy": 40.0,
        "hair_two_toned_share": 0.6,
        "accessory_accuracy": 20.0,
    }
    assert all(rollup_issues({"color_accuracy": color, "style_quality": style}).values())


def test_what_is_not_known_is_not_told() -> None:
    assert rollup_issues({}) == {}
    assert rollup_issues({"color_accuracy": None, "style_quality": {"pixel_art_purity": None}}) == {}
    assert rollup_issues({"color_accuracy": {"hair_two_toned": True}}) == {"two_toned_hair": True}
