"""Images that trainers paint of their sample prompts: which they are, and of which prompt."""

import json
from pathlib import Path

import pytest

from pixel_lora_pipeline.train.sample_images import (
    SamplePrompt,
    SamplePromptsError,
    find_prompts,
    find_sample_images,
    folder_of_run,
    read_prompts,
)


def touched(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


@pytest.mark.parametrize(
    ("file_name", "run", "epoch", "step", "position", "seed"),
    [
        ("portraits_e000005_00_20251110150301_42.png", "portraits", 5, None, 0, 42),
        ("portraits_e000012_11_20251110150301.png", "portraits", 12, None, 11, None),
        ("portraits_000500_01_20251110150301_42.png", "portraits", None, 500, 1, 42),
        ("e000001_00_20251110150301.png", None, 1, None, 0, None),
        ("a_000005_00_b_e000002_03_20251110150301_7.png", "a_000005_00_b", 2, None, 3, 7),
        ("portraits_20230510150301_e000005_02_42.png", "portraits", 5, None, 2, 42),
        ("portraits_20230510150301_000500_02.png", "portraits", None, 500, 2, None),
    ],
)
def test_a_name_tells_when_and_of_which_prompt(
    file_name: str,
    run: str | None,
    epoch: int | None,
    step: int | None,
    position: int,
    seed: int | None,
    tmp_path: Path,
) -> None:
    (image,) = find_sample_images([touched(tmp_path / "sample", file_name)])
    assert (image.run_name, image.epoch, image.step) == (run, epoch, step)
    assert (image.position, image.seed, len(image.painted_at)) == (position, seed, 14)
    assert folder_of_run(image) == tmp_path


def test_other_pictures_are_none(tmp_path: Path) -> None:
    touched(
        tmp_path / "sample", "portrait.png", "portraits_e000005_00.png", "portraits_e000005_00_20251110150301_42.jpg"
    )
    touched(tmp_path / "portraits-000005-state", "portraits_e000005_00_20251110150301_42.png")
    assert find_sample_images([tmp_path]) == []


LINES = """\
# what to look at
pixchar, blue hair #2f5fd0 --n blurry, photo --w 512 --h 768 --d 42 --l 7.5 --s 28

pixchar, pink hair -- not an option --d x --unknown 4
"""


def test_prompts_are_read_from_text_toml_and_json(tmp_path: Path) -> None:
    blue = SamplePrompt("pixchar, blue hair #2f5fd0", "blurry, photo", 42, 28, 7.5)
    text = tmp_path / "prompt.txt"
    text.write_text(LINES, encoding="utf-8")
    assert read_prompts(text) == [blue, SamplePrompt("pixchar, pink hair")]
    toml = tmp_path / "prompts.toml"
    toml.write_text(
        '[prompt]\nnegative_prompt = "blurry, photo"\nscale = 7.5\nsample_steps = 28\n'
        '[[prompt.subset]]\nprompt = "pixchar, blue hair #2f5fd0"\nseed = 42\n[[prompt.subset]]\nprompt = "plain"\n'
    )
    assert read_prompts(toml) == [blue, SamplePrompt("plain", "blurry, photo", None, 28, 7.5)]
    listed = tmp_path / "prompts.json"
    listed.write_text(json.dumps([blue.to_dict(), "plain --d 3"]))
    assert read_prompts(listed) == [blue, SamplePrompt("plain", seed=3)]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("prompt.toml", b"[prompt]\nseed = 1\n"),
        ("prompt.toml", b"[[[\n"),
        ("prompt.json", b'{"prompt": "x"}'),
        ("prompt.json", b'[{"seed": 1}]'),
        ("prompt.json", b'[{"prompt": "x", "seed": "one"}]'),
        ("prompt.json", b"[" * 100_000),
        ("prompt.txt", b"\xff\xfe\x00"),
        ("prompt.txt", b"x" * 1_100_000),
    ],
)
def test_a_file_that_holds_no_prompts_is_named(name: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(SamplePromptsError, match=name):
        read_prompts(path)


def test_the_configured_file_is_found_where_it_was_moved_to(tmp_path: Path) -> None:
    (image,) = find_sample_images([touched(tmp_path / "sample", "portraits_e000005_00_20251110150301_42.png")])
    assert find_prompts(image, None) is None
    touched(tmp_path, "faces.txt", "notes.txt")
    assert find_prompts(image, None) is None, "any text would do"
    assert find_prompts(image, r"D:\training\faces.txt") == tmp_path / "faces.txt"
    assert find_prompts(image, "/elsewhere/passwd") is None
    touched(tmp_path / "sample", "prompt.txt")
    assert find_prompts(image, "/gone/other.txt") == tmp_path / "sample" / "prompt.txt"
