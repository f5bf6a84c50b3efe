"""Files in which people noted what came of their runs."""

from pathlib import Path

import pytest

from pixel_lora_pipeline.train.observations import (
    CSV_EXAMPLE,
    YAML_EXAMPLE,
    ObservationError,
    RunObservation,
    read_observations,
)
from pixel_lora_pipeline.train.parameter_value import ParameterValue

CSV = """\
run,epoch,visual,style,prompt,notes,quality_score,best_epoch,overall_verdict,run_date,network_dim,caption_version,\
color_accuracy.background_accuracy,color_accuracy.hair_two_toned
portraits,5,7,8,6,"two-toned hair, pink background",8.5,7,good,2025-11-10,32,v3,61.5,true
portraits,7,9,9,8,,8.5,,,,,,95.2,false
sprites,,,,,,3.5,,photorealistic,,64,,,
"""
YAML = """\
- run: portraits
  quality_score: 8.5
  best_epoch: 7
  overall_verdict: good
  run_date: 2025-11-10
  parameters: {network_dim: 32, caption_version: v3}
  epochs:
    - {epoch: 5, visual: 7, style: 8, prompt: 6, notes: "two-toned hair, pink background",
       metrics: {color_accuracy: {background_accuracy: 61.5, hair_two_toned: true}}}
    - epoch: 7
      visual_quality_score: 9
      style: 9
      prompt: 8
      metrics:
        color_accuracy:
          background_accuracy: 95.2
          hair_two_toned: false
- run: sprites
  quality_score: 3.5
  overall_verdict: photorealistic
  network_dim: 64
"""


def written(folder: Path, text: str | bytes, name: str = "notes.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def without_place(observations: list[RunObservation]) -> list[object]:
    return [(noted.run, noted.facts, noted.parameters, noted.epochs) for noted in observations]


def test_a_table_is_read_with_its_types(tmp_path: Path) -> None:
    portraits, sprites = read_observations(written(tmp_path, CSV))
    assert portraits.facts == {
        "quality_score": 8.5,
        "best_epoch": 7,
        "overall_verdict": "good",
        "run_date": "2025-11-10T00:00:00+00:00",
    }
    assert portraits.parameters == {
        "network_dim": ParameterValue(32, "observations"),
        "caption_version": ParameterValue("v3", "observations"),
    }
    fifth, seventh = portraits.epochs
    assert (fifth.epoch, fifth.notes) == (5, "two-toned hair, pink background")
    assert fifth.scores == {"visual_quality_score": 7, "style_match_score": 8, "prompt_adherence_score": 6}
    assert fifth.metrics == {"color_accuracy": {"background_accuracy": 61.5, "hair_two_toned": True}}
    assert (seventh.epoch, seventh.notes) == (7, None)
    assert (sprites.run, sprites.epochs) == ("sprites", ())
    assert sprites.place.endswith("notes.csv, line 4")


def test_yaml_says_the_same_as_the_table(tmp_path: Path) -> None:
    from_yaml = read_observations(written(tmp_path, YAML, "notes.yaml"))
    assert without_place(from_yaml) == without_place(read_observations(written(tmp_path, CSV)))


def test_the_documented_examples_say_the_same(tmp_path: Path) -> None:
    from_csv = read_observations(written(tmp_path, CSV_EXAMPLE))
    assert without_place(from_csv) == without_place(read_observations(written(tmp_path, YAML_EXAMPLE, "notes.yaml")))
    assert [noted.run for noted in from_csv] == ["portraits_v3", "portraits_v2"]


@pytest.mark.parametrize(
    "text",
    [
        CSV.replace(",", ";").replace("hair; pink", "hair, pink"),
        "\ufeff" + CSV.replace("\n", "\r\n"),
        CSV.replace("run,", "run_name,").replace("visual,", "visual_quality_score,", 1),
        CSV + ",,,,,,,,,,,,,\n\n",
    ],
    ids=["semicolons", "a spreadsheet's mark and line ends", "the database's names", "empty lines"],
)
def test_a_table_may_be_written_in_several_ways(text: str, tmp_path: Path) -> None:
    expected = without_place(read_observations(written(tmp_path, CSV, "expected.csv")))
    assert without_place(read_observations(written(tmp_path, text))) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("run,epoch,visual\na,5,11\n", r"notes.csv, line 2: column visual: 11 is no whole number from 1 to 10"),
        ("run,epoch,visual\na,5,7.5\n", r"line 2: column visual: '7.5' is no whole number"),
        ("run,epoch,visual\na,,7\n", r"line 2: column visual is about an epoch, and the column epoch is empty"),
        ("run,epoch,visual\na,0,7\n", r"line 2: column epoch: epochs are counted from 1"),
        ("run,epoch,visual\na,1,7\na,1,8\n", r"line 3: column visual says 8 of epoch 1 of a.*line 2 says 7"),
        ("run,quality_score\na,8\na,9\n", r"line 3: column quality_score says 9.0 of a.*line 2 says 8.0"),
        ("run,quality_score\n,8\n", r"line 2: there is no name in the column run"),
        ("run,quality_score\na,nan\n", r"line 2: column quality_score: 'nan' is no number"),
        ("run,network_dims\na,32\n", r"column network_dims: there is no such column; did you mean network_dim"),
        ("run,unet_modules\na,32\n", r"column unet_modules: it is measured on files"),
        ("run,network_dim\na,many\n", r"line 2: column network_dim: 'many' is no number"),
        ("run,color_accuracy.hair\na,3\n", r"no such measurement; did you mean color_accuracy.hair_accuracy"),
        ("run,run_date\na,yesterday\n", r"'yesterday' is no date such as 2025-11-10"),
        ("run,cost_usd\na,-3\n", r"'-3' is below 0"),
        ("run,quality_score\na,8,9\n", r"line 2: 3 cells, and the first line names 2"),
        ("run,quality_score,\na,8,9\n", r"line 2: '9' stands below no column name"),
        ("run,quality_score,quality_score\n", r"line 1: the column quality_score comes twice"),
        ("name,quality_score\n", r"line 1: there is no column run"),
        ("", r"line 1: there is no column run"),
        ('run,notes\na,"never ends\n', r"line 2: unexpected end of data"),
        (b"run\n\xff\xfe\n", r"line 2: it is not UTF-8"),
    ],
)
def test_a_wrong_line_is_named_with_its_file(text: str | bytes, said: str, tmp_path: Path) -> None:
    with pytest.raises(ObservationError, match=said):
        read_observations(written(tmp_path, text))


def test_every_wrong_line_is_named_at_once(tmp_path: Path) -> None:
    text = "run,epoch,visual\n" + "".join(f"a,{epoch},{epoch + 8}\n" for epoch in range(1, 15))
    with pytest.raises(ObservationError) as refusal:
        read_observations(written(tmp_path, text))
    assert len(refusal.value.faults) == 12
    assert "line 4" in str(refusal.value)
    assert str(refusal.value).endswith("… and 2 more.")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("run: a", r"notes.yml, line 1: the file has to be a list of runs"),
        ("- run: a\n  epochs: 5", r"line 2: epochs has to be a list"),
        ("- run: a\n  epochs:\n    - 5", r"line 3: here have to be names with values"),
        ("- run: a\n  epochs:\n    - {epoch: 5,\n       visual: 12}", r"line 3: column visual: 12 is no whole number"),
        ("- run: a\n  run: b", r"line 2: run comes twice"),
        ("- run: [a\n", r"line 2: expected"),
        ("- run: a\n  [x]: 3", r"line 2: a name has to be a word"),
        ("- &run {run: a}\n- *run", r"aliases .* are not understood"),
        ("- run: !!python/object/apply:os.system [ls]", r"there is no name in the column run"),
        ("[" * 5_000 + "]" * 5_000, r"nested too deeply"),
    ],
)
def test_wrong_yaml_is_named_with_its_line_and_runs_nothing(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ObservationError, match=said):
        read_observations(written(tmp_path, text, "notes.yml"))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ObservationError, match=r"nowhere.csv cannot be read"):
        read_observations(tmp_path / "nowhere.csv")
