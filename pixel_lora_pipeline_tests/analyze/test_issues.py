"""A failure has a name, a share with an interval, and a state that its evidence supports."""

import json
from dataclasses import replace

import pytest

from pixel_lora_pipeline.analyze.issues import DEFINITIONS, EpochImages, Issue, track_issues
from pixel_lora_pipeline.analyze.report import ReportImage
from pixel_lora_pipeline_tests.analyze.paintings import painted, suite_of, with_metrics


def mixed(failing: int, of: int = 11, quality: str = "photo") -> list[ReportImage]:
    """A suite of which the first images fail."""
    return [painted(number, quality if number < failing else "sprite") for number in range(of)]  # type: ignore[arg-type]


def run(*epochs: list[ReportImage]) -> list[EpochImages]:
    return [EpochImages(number, images) for number, images in enumerate(epochs, start=1)]


def issue(issues: list[Issue], key: str) -> Issue:
    found = [one for one in issues if one.key == key]
    assert found, f"{key} is not among {[one.key for one in issues]}"
    return found[0]


def test_photorealism_appears_fades_and_is_gone() -> None:
    course = run(mixed(11), mixed(10), mixed(4), mixed(0), mixed(0))
    states = [issue(track_issues(course[:epochs]), "photorealism").state for epochs in range(1, 6)]
    assert states == ["new", "persisting", "resolving", "resolved", "resolved"]
    last = issue(track_issues(course), "photorealism")
    assert (last.first_epoch, last.last_epoch) == (1, 3)
    assert [seen.failing for seen in last.history] == [11, 10, 4, 0, 0]


def test_every_failure_is_recognised_on_real_images() -> None:
    found = {one.key for one in track_issues(run(suite_of("photo")))}
    assert {"photorealism", "low_purity", "off_grid"} <= found
    assert {one.key for one in track_issues(run(suite_of("wrong background")))} >= {"wrong_background"}
    assert {one.key for one in track_issues(run(suite_of("black")))} == {"black_images"}


def test_clean_sprites_have_no_issue() -> None:
    assert track_issues(run(suite_of("sprite"))) == []


def test_one_failing_image_is_no_issue_but_one_black_image_is() -> None:
    assert track_issues(run(mixed(1))) == []
    black = issue(track_issues(run(mixed(1, quality="black"))), "black_images")
    assert (black.latest.failing, black.latest.judged) == (1, 11)


def test_a_quick_look_that_could_not_have_shown_it_resolves_nothing() -> None:
    full = mixed(3, quality="wrong background")
    others = [painted(number) for number in range(3, 11)]
    quick = track_issues(run(full, others, others))
    assert issue(quick, "wrong_background").state == "persisting"
    assert "was generated since" in issue(quick, "wrong_background").sentence
    few = track_issues(run(full, mixed(0)[:2]))
    assert issue(few, "wrong_background").state == "resolving", "two looks are too few to call it gone"


def test_what_comes_back_is_not_new() -> None:
    back = issue(track_issues(run(mixed(6), mixed(0), mixed(0), mixed(7))), "photorealism")
    assert (back.state, back.first_epoch, back.last_epoch) == ("persisting", 1, 4)


def test_shares_carry_wilsons_interval() -> None:
    seen = issue(track_issues(run(mixed(8, of=10))), "photorealism").latest
    assert seen.share == 0.8
    assert seen.interval == pytest.approx((0.4902, 0.9433), abs=1e-4)


def test_what_cannot_be_told_counts_neither_way() -> None:
    untold = [with_metrics(painted(n), background_accuracy=None) for n in range(9)]
    wrong = [painted(n, "wrong background") for n in range(9, 11)]
    seen = issue(track_issues(run(untold + wrong)), "wrong_background").latest
    assert (seen.failing, seen.judged) == (2, 2)


def test_two_toned_hair_a_large_palette_and_a_missing_crown_are_judged_by_their_measurements() -> None:
    images = [with_metrics(i, hair_is_two_toned=True, color_palette_size=64) for i in suite_of("sprite")]
    found = {one.key for one in track_issues(run(images))}
    assert found == {"two_toned_hair", "large_palette"}
    bare = [
        replace(i, metrics={**(i.metrics or {}), "evidence": {"accessories": {"crown": {"presence": 3.0}}}})
        for i in suite_of("sprite")
    ]
    assert {one.key for one in track_issues(run(bare))} == {"missing_accessory"}


def test_the_worst_prompts_are_named() -> None:
    both_seeds = [painted(n, "photo" if n in (4, 7) else "sprite", seed) for n in range(11) for seed in (1, 2)]
    assert issue(track_issues(run(both_seeds)), "photorealism").prompts == {
        "prompt_04": (2, 2),
        "prompt_07": (2, 2),
    }


def test_issues_are_json_and_say_their_threshold_and_reason() -> None:
    document = json.loads(json.dumps([one.to_dict() for one in track_issues(run(mixed(5), mixed(5)))]))
    first = document[0]
    assert first["n_images"] == 11
    assert first["state"] == "persisting"
    assert first["reason"]
    assert [seen["epoch"] for seen in first["history"]] == [1, 2]


def test_every_definition_has_a_reason_and_a_name_of_its_own() -> None:
    assert len({definition.key for definition in DEFINITIONS}) == len(DEFINITIONS)
    assert all(definition.reason for definition in DEFINITIONS)


def test_epochs_out_of_order_are_refused() -> None:
    with pytest.raises(ValueError, match="rising order"):
        track_issues([EpochImages(2, mixed(0)), EpochImages(1, mixed(0))])
