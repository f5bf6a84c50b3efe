"""Every check finds what its bad examples show, and nothing in its good ones."""

import pytest

from pixel_lora_pipeline.train.captions.own_rules import OwnRules
from pixel_lora_pipeline.validate.captions import CHECKS, Check, Example, check_captions, fix_captions
from pixel_lora_pipeline.validate.captions.check import found_by
from pixel_lora_pipeline.validate.captions.examples import RIGHT
from pixel_lora_pipeline_tests.validate.captions.reference import corpus_with

RIGHT_ONE = Example(RIGHT)  # every check's; looked at once, by all of them
GOOD = [
    pytest.param(check, example, id=check.check_id)
    for check in CHECKS
    for example in check.good
    if example != RIGHT_ONE
]
BAD = [pytest.param(check, example, id=check.check_id) for check in CHECKS for example in check.bad]


@pytest.mark.parametrize(("check", "example"), GOOD)
def test_a_check_finds_nothing_in_its_good_examples(check: Check, example: Example) -> None:
    assert [finding.message for finding in found_by(check, corpus_with(example))] == []


@pytest.mark.parametrize(("check", "example"), BAD)
def test_a_check_finds_what_is_wrong_in_its_bad_examples_and_only_there(check: Check, example: Example) -> None:
    found = list(found_by(check, corpus_with(example)))
    assert found, f"nothing was found in {example}"
    about = {name for finding in found for name in finding.files}
    if not check.check_id.startswith("keep-tokens") and check.check_id != "too-many-tokens":
        assert about <= {"example.txt", "second.txt"}, f"found elsewhere: {[each.message for each in found]}"


@pytest.mark.parametrize(("check", "example"), BAD)
def test_what_a_check_repairs_it_does_not_find_again(check: Check, example: Example) -> None:
    corpus = corpus_with(example)
    (first, *_) = found_by(check, corpus)
    if first.tier == "never":
        return
    fixed = fix_captions(corpus, first.tier)["example.txt"]
    assert check.check_id in fixed.reasons
    after = corpus_with(Example(fixed.text, example.has_picture, example.second, example.parameters))
    assert [each.message for each in found_by(check, after)] == []
    assert "example.txt" not in fix_captions(after, first.tier), "fixing again changes it again"


def test_the_right_caption_is_right_by_all_checks() -> None:
    assert [finding.message for finding in check_captions(corpus_with(RIGHT_ONE))] == []


def test_ids_are_unique() -> None:
    ids = [check.check_id for check in CHECKS]
    assert len(ids) == len(set(ids))


def test_a_dataset_can_ignore_a_check_or_waive_it_for_a_file() -> None:
    example = Example(RIGHT.replace("red lips #c0392b", "nose #c0392b"))
    assert [each.check_id for each in check_captions(corpus_with(example))] == ["lips-missing"]
    for rules in (OwnRules(ignore=("lips-missing",)), OwnRules(waived={"lips-missing": ("example.txt",)})):
        assert check_captions(corpus_with(example, rules)) == []
    assert check_captions(corpus_with(example, OwnRules(waived={"lips-missing": ("00.txt",)}))) != []
    with pytest.raises(ValueError, match=r"captions\.toml names a check 'lips'"):
        check_captions(corpus_with(example, OwnRules(ignore=("lips",))))
