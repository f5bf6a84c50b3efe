"""The written rules are about issues and parameters that there are, each has a source, and their conditions work."""

from typing import Any

import pytest

from pixel_lora_pipeline.analyze.issues import DEFINITIONS
from pixel_lora_pipeline.learn.diagnosis_rules import (
    DiagnosisRule,
    diagnosis_rules,
    issue_metrics,
    issues_told_by,
    telling_metric,
)
from pixel_lora_pipeline.learn.run_condition import holds
from pixel_lora_pipeline.train.run_query import names_in, parse_run_query
from pixel_lora_pipeline.train.taxonomy import taxonomy
from pixel_lora_pipeline_tests.learn.test_domain_priors import OF_OUR_OWN

ISSUES = [definition.key for definition in DEFINITIONS]


def test_every_issue_that_is_measured_has_rules_and_metrics() -> None:
    assert set(issue_metrics()) == set(ISSUES)
    assert {issue for rule in diagnosis_rules() for issue in rule.issues} == set(ISSUES)


@pytest.mark.parametrize("rule", diagnosis_rules(), ids=lambda rule: f"{rule.parameter}: {rule.cause[:30]}")
def test_a_rule_is_about_known_things_and_has_a_source_and_a_cautious_prior(rule: DiagnosisRule) -> None:
    assert 0 < rule.prior <= 0.5
    assert rule.source
    assert rule.cause and not rule.cause.endswith(".")
    if rule.parameter is None:
        assert rule.to is None
    else:
        assert rule.parameter in {*taxonomy(), *OF_OUR_OWN}
        assert rule.parameter in names_in(rule.condition), "a rule must look at the parameter that it blames"


@pytest.mark.parametrize("rule", [rule for rule in diagnosis_rules() if rule.to is not None], ids=lambda it: it.cause)
def test_what_a_rule_recommends_is_not_what_it_blames(rule: DiagnosisRule) -> None:
    assert not holds(rule.condition, {rule.parameter or "": rule.to})


@pytest.mark.parametrize(
    ("condition", "run", "expected"),
    [
        ("network_dim > 32", {"network_dim": 64}, True),
        ("network_dim > 32", {"network_dim": "64"}, True),
        ("network_dim > 32", {"network_dim": 32.0}, False),
        ("network_dim > 32", {"network_dim": None}, False),
        ("network_dim > 32", {"network_dim": float("nan")}, False),
        ("network_dim > 32", {"network_dim": "None"}, False),
        ("network_dim != 32", {}, False),
        ("network_dim != 32", {"network_dim": 64}, True),
        ("network_dim > 32", {"network_dim": [16, 64]}, True),
        ("flip_aug = true", {"flip_aug": "True"}, True),
        ("flip_aug = true", {"flip_aug": False}, False),
        ("conv_dim = none", {"conv_dim": "None"}, True),
        ("conv_dim = none", {}, False),
        ("conv_dim is missing", {}, True),
        ("conv_dim is not missing", {"conv_dim": 4}, True),
        ("lr_scheduler not in (cosine, linear)", {"lr_scheduler": "constant"}, True),
        ("lr_scheduler not in (cosine, linear)", {}, False),
        ("network_dim > 32 and (flip_aug = true or conv_dim = 4)", {"network_dim": 64, "conv_dim": 4}, True),
    ],
)
def test_conditions_of_runs(condition: str, run: dict[str, Any], expected: bool) -> None:
    assert holds(parse_run_query(condition, taxonomy()), run) is expected


@pytest.mark.parametrize(
    ("issue", "columns", "expected"),
    [
        ("photorealism", ["style_score", "quality_score"], ("style_score", True)),
        ("photorealism", ["q.photorealism_score", "style_score"], ("q.photorealism_score", False)),
        ("wrong_background", ["mean_background", "hair_accuracy"], ("mean_background", True)),
        ("two_toned_hair", ["c.hair_two_toned_share", "hair_accuracy"], ("c.hair_two_toned_share", False)),
        ("missing_accessory", ["style_score"], None),
    ],
)
def test_an_issue_is_told_by_the_best_column(issue: str, columns: list[str], expected: tuple[str, bool] | None) -> None:
    told = telling_metric(issue, columns)
    assert (None if told is None else (told.column, told.higher_is_better)) == expected


@pytest.mark.parametrize(
    ("metric", "issues", "higher_is_better"),
    [
        ("color_accuracy.background_accuracy", {"wrong_background"}, True),
        ("hair_two_toned_share", {"two_toned_hair"}, False),
        ("color_palette_size", {"large_palette"}, False),
        ("anything", set(ISSUES), True),
    ],
)
def test_a_metric_leads_to_the_rules_of_its_issues(metric: str, issues: set[str], higher_is_better: bool) -> None:
    assert issues_told_by(metric) == (issues, higher_is_better)
