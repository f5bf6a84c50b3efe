"""What past runs say of an issue's future: only those that had it as late, and were looked at later."""

import pandas as pd
import pytest

from pixel_lora_pipeline.learn.expected_progress import ExpectedProgress, expected_progress

ISSUE = "two_toned_hair"


def followed(**present: str) -> pd.DataFrame:
    """A letter an epoch: x had it, o did not, ? could not be told, a blank was not looked at."""
    return pd.DataFrame(
        [
            {"run_name": name, "epoch": epoch, "issue": ISSUE, "present": {"x": True, "o": False}.get(letter)}
            for name, letters in present.items()
            for epoch, letter in enumerate(letters, 1)
            if letter != " "
        ],
        columns=["run_name", "epoch", "issue", "present"],
    )


def expected(table: pd.DataFrame, epoch: int = 2, **likeness: float) -> ExpectedProgress | None:
    return expected_progress(table, ISSUE, "mine", epoch, likeness, None)


def test_runs_are_sorted_by_what_became_of_them() -> None:
    found = expected(followed(a="xxxoo", b="xxoxo", c="xxxxx", d="ooooo", e="xx", mine="xxooo"))
    assert found is not None
    assert (found.gone, found.stayed) == (("a", "b"), ("c",))
    assert found.gone_by == (4, 5)
    assert found.low < found.probability < found.high


def test_a_run_that_had_lost_it_by_then_says_nothing() -> None:
    assert expected(followed(a="xoooo", b="xoo"), epoch=3) is None


def test_a_relapse_is_not_taken_for_the_end() -> None:
    found = expected(followed(a="xxooxx"))
    assert found is not None
    assert (found.gone, found.stayed) == ((), ("a",))


def test_epochs_that_could_not_be_told_or_were_not_looked_at_are_passed_over() -> None:
    found = expected(followed(a="x? o?", b="  xo"))
    assert found is not None
    assert found.gone == ("a", "b")
    assert found.gone_by == (4, 4)


def test_the_more_runs_lost_it_the_surer() -> None:
    few, many = (expected(followed(**{f"r{at}": "xxoo" for at in range(n)})) for n in (2, 20))
    assert few is not None and many is not None
    assert few.probability < many.probability
    assert many.high - many.low < few.high - few.low
    assert many.probability < 1


def test_runs_that_are_not_comparable_count_less() -> None:
    table = followed(a="xxoo", b="xxoo", c="xxoo", d="xxxx")
    equal, unlike = expected(table), expected(table, a=0.0, b=0.0, c=0.1)
    assert equal is not None and unlike is not None
    assert unlike.probability < 0.4 < equal.probability


@pytest.mark.parametrize("believed", [0.3, 0.5])
def test_without_runs_the_rule_is_what_remains(believed: float) -> None:
    found = expected_progress(None, ISSUE, "mine", 3, {}, believed)
    assert found is not None
    assert found.probability == pytest.approx(believed)
    assert found.gone_by is None
    assert expected_progress(None, ISSUE, "mine", 3, {}, None) is None
