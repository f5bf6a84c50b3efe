"""What people type to find runs."""

import pytest

from pixel_lora_pipeline.train.run_query import (
    Combination,
    Comparison,
    Membership,
    Missing,
    QueryError,
    names_in,
    parse_run_query,
)

KNOWN = {"network_dim", "keep_tokens", "lr_scheduler", "learning_rate", "max_grad_norm", "quality_score", "flip_aug"}


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("network_dim > 32", Comparison("network_dim", ">", 32)),
        ("network_dim>=32", Comparison("network_dim", ">=", 32)),
        ("network_dim <> 32", Comparison("network_dim", "!=", 32)),
        ("learning_rate == 1e-4", Comparison("learning_rate", "=", 1e-4)),
        ("learning_rate < -.5", Comparison("learning_rate", "<", -0.5)),
        ("flip_aug = TRUE", Comparison("flip_aug", "=", True)),
        ("keep_tokens = none", Comparison("keep_tokens", "=", None)),
        ("lr_scheduler = cosine_with_restarts", Comparison("lr_scheduler", "=", "cosine_with_restarts")),
        ("lr_scheduler = 'and (or) > 1'", Comparison("lr_scheduler", "=", "and (or) > 1")),
        ('lr_scheduler = "32"', Comparison("lr_scheduler", "=", "32")),
        ("keep_tokens in (1, 2)", Membership("keep_tokens", (1, 2), negated=False)),
        ("keep_tokens NOT IN (1)", Membership("keep_tokens", (1,), negated=True)),
        ("keep_tokens is missing", Missing("keep_tokens", negated=False)),
        ("keep_tokens is not missing", Missing("keep_tokens", negated=True)),
        ("gradient_clipping > 1", Comparison("max_grad_norm", ">", 1)),
    ],
)
def test_a_condition_is_understood(text: str, condition: object) -> None:
    assert parse_run_query(text, KNOWN) == condition


def test_and_binds_closer_than_or_and_parentheses_closest() -> None:
    a, b, c = (Comparison("network_dim", "=", number) for number in (1, 2, 3))
    text = "network_dim = 1 or network_dim = 2 and network_dim = 3"
    assert parse_run_query(text, KNOWN) == Combination("or", (a, Combination("and", (b, c))))
    text = "(network_dim = 1 or network_dim = 2) and network_dim = 3"
    assert parse_run_query(text, KNOWN) == Combination("and", (Combination("or", (a, b)), c))
    assert names_in(parse_run_query("keep_tokens = 1 or network_dim = 2 and keep_tokens = 3", KNOWN)) == [
        "keep_tokens",
        "network_dim",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "character 1.*name of a parameter, not the end"),
        ("network_dim", "character 12.*after network_dim comes"),
        ("network_dim > ", "value, not the end"),
        ("network_dim >> 32", "character 14.*value, not `>`"),
        ("network_dims > 32", "'network_dims': did you mean network_dim"),
        ("xyzzy = 1", "pixel-lora parameters"),
        ("network_dim > 32 keep_tokens = 1", "character 18.*joined by `and` or `or`"),
        ("(network_dim > 32", r"`\)`, not the end"),
        ("network_dim > 32)", "joined by"),
        ("keep_tokens in 1", r"`\(`, not `1`"),
        ("keep_tokens in ()", r"value, not `\)`"),
        ("keep_tokens in (1", r"`\)`, not the end"),
        ("keep_tokens is 3", "`missing`, not `3`"),
        ("flip_aug > true", "true has no order"),
        ("keep_tokens = none and", "name of a parameter, not the end"),
        ("lr_scheduler = 'cosine", "stands alone"),
        ("network_dim ! 3", "stands alone"),
        ("network_dim = 1e999", "too large"),
        ("network_dim = 99999999999999999999", "too large"),
        ("(" * 60 + "network_dim = 1" + ")" * 60, "more than 50 parentheses"),
        ("network_dim = 1 or " * 200 + "network_dim = 1", "characters, more than"),
        ("network_dim = 1; DROP TABLE training_runs", "joined by"),
        ("1 = 1", "'1'"),
        ("network_dim = 1 \x00\x1b[31m", "joined by"),
    ],
)
def test_what_is_no_question_is_refused_with_its_place(text: str, said: str) -> None:
    with pytest.raises(QueryError, match=said) as refusal:
        parse_run_query(text, KNOWN)
    assert str(refusal.value).isprintable()
