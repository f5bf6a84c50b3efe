"""A suite asks every checkpoint the same, and says what is wrong with it where something is."""

from pathlib import Path

import pytest

from pixel_lora_pipeline.validate import SuiteError, base_kind, load_suite
from pixel_lora_pipeline.validate.depth import DEPTHS

GENERATION = """
[generation.embedded]
width = 64
height = 64
steps = 4
guidance = 2.0
"""
PROMPT = """
[[prompts]]
id = "pink"
prompt = "pink hair, green background"
"""


def written(folder: Path, content: str) -> Path:
    path = folder / "suite.toml"
    path.write_text(content, encoding="utf-8")
    return path


def test_the_built_in_suite_asks_for_the_eleven_things_of_the_plan() -> None:
    suite = load_suite()
    assert [prompt.id for prompt in suite.prompts] == [
        "pink_hair_green_bg",
        "blue_hair_red_bg",
        "brown_hair_yellow_bg",
        "crown",
        "sunglasses",
        "necklace",
        "light_skin",
        "medium_skin",
        "dark_skin",
        "smile",
        "neutral",
    ]


def test_every_built_in_prompt_says_clearly_what_to_expect() -> None:
    for prompt in load_suite().prompts:
        expected = prompt.expectation
        assert expected.unknown == [], prompt.id
        assert expected.background, f"{prompt.id} names no background"
        assert expected.hair, f"{prompt.id} names no hair"
        assert expected.skin, f"{prompt.id} names no skin"
        for name, color in expected.accessories.items():
            assert color, f"{prompt.id} names no colour of the {name}"


def test_depths_are_nested_and_as_large_as_the_plan_says() -> None:
    suite = load_suite()
    asked = [[prompt.id for prompt in suite.at_depth(depth).prompts] for depth in DEPTHS]
    assert [len(ids) for ids in asked] == [1, 5, 11]
    assert set(asked[0]) < set(asked[1]) < set(asked[2])
    assert {suite.at_depth(depth).version for depth in DEPTHS} == {suite.version}


@pytest.mark.parametrize("kind", ["embedded", "sd", "sdxl"])
def test_there_is_a_request_for_every_prompt_and_seed(kind: str, tmp_path: Path) -> None:
    suite = load_suite()
    requests = suite.requests(kind)  # type: ignore[arg-type]
    assert len(requests) == sum(len(prompt.seeds) for prompt in suite.prompts)
    assert {request.width for request in requests} == {{"embedded": 64, "sd": 512, "sdxl": 1024}[kind]}
    several = load_suite(written(tmp_path, "seeds = [1, 2]" + GENERATION + PROMPT + "seeds = [3, 4, 5]" + PROMPT2))
    assert [(request.prompt_id, request.seed) for request in several.requests("embedded")] == [
        ("pink", 3),
        ("pink", 4),
        ("pink", 5),
        ("blue", 1),
        ("blue", 2),
    ]


PROMPT2 = """
[[prompts]]
id = "blue"
prompt = "blue hair"
"""


def test_a_kind_without_settings_is_refused_with_what_to_add(tmp_path: Path) -> None:
    suite = load_suite(written(tmp_path, "seeds = [1]" + GENERATION + PROMPT))
    with pytest.raises(SuiteError, match=r"\[generation\.sd\]"):
        suite.requests("sd")


def test_the_version_changes_with_what_shapes_images_and_with_nothing_else(tmp_path: Path) -> None:
    def version(content: str) -> str:
        return load_suite(written(tmp_path, content)).version

    plain = version("seeds = [1]" + GENERATION + PROMPT + PROMPT2)
    assert version("# a comment\nname = 'mine'\nseeds = [1]" + PROMPT2 + PROMPT + GENERATION) == plain
    for changed in (
        "seeds = [2]" + GENERATION + PROMPT + PROMPT2,
        "seeds = [1]" + GENERATION.replace("steps = 4", "steps = 5") + PROMPT + PROMPT2,
        "seeds = [1]" + GENERATION + PROMPT.replace("pink hair", "red hair") + PROMPT2,
        "seeds = [1]\nnegative_prompt = 'blurry'" + GENERATION + PROMPT + PROMPT2,
        "seeds = [1]" + GENERATION + PROMPT,
    ):
        assert version(changed) != plain, changed


@pytest.mark.parametrize(
    ("content", "place", "remedy"),
    [
        ("name = ", "TOML", "Correct it there"),
        ("seeds = [1]" + PROMPT, "generation", "Add a table"),
        ("seeds = [1]" + GENERATION, "prompts", "Add at least one"),
        (GENERATION + PROMPT, "prompt pink", "seeds = [1, 2]"),
        ("seeds = [1, 1]" + GENERATION + PROMPT, "prompt pink", "each seed once"),
        ("seeds = [-1]" + GENERATION + PROMPT, "prompt pink", "whole numbers"),
        ("seeds = [1]\nsede = 2" + GENERATION + PROMPT, "sede", "Known are"),
        ("seeds = [1]" + GENERATION + PROMPT + PROMPT, "prompt pink", "Rename"),
        ("seeds = [1]" + GENERATION + PROMPT.replace('"pink"', '"Pink Hair"'), "prompt Pink Hair", "lower-case"),
        ("seeds = [1]" + GENERATION + "[[prompts]]\nid = 'x'", "prompt x", 'Write prompt = "..."'),
        ("seeds = [1]" + GENERATION + "[[prompts]]\nid = 'x'\nprompt = ' '", "prompt x", "Write what"),
        ("seeds = [1]" + GENERATION + PROMPT + "depth = 'deep'", "prompt pink", "quick, medium, full"),
        ("seeds = [1]" + GENERATION + PROMPT + "depth = 'full'", "quick", "Mark at least one"),
        ("seeds = [1]" + GENERATION.replace("64", "63") + PROMPT, "generation.embedded", "multiples of 8"),
        ("seeds = [1]" + GENERATION.replace("4\nguidance", "0\nguidance") + PROMPT, "steps", "whole number"),
        ("seeds = [1]\n[generation.flux]\nwidth = 64" + PROMPT, "flux", "Known are"),
    ],
)
def test_a_fault_is_named_with_file_place_and_remedy(content: str, place: str, remedy: str, tmp_path: Path) -> None:
    path = written(tmp_path, content)
    with pytest.raises(SuiteError) as caught:
        load_suite(path)
    message = str(caught.value)
    assert str(path) in message
    assert place in message, message
    assert remedy in message, message


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match=r"nowhere\.toml"):
        load_suite(tmp_path / "nowhere.toml")


def test_the_kind_of_a_base_model_is_told_by_its_files_or_its_name(base_folder: Path, xl_folder: Path) -> None:
    assert base_kind(None) == "embedded"
    assert base_kind("stabilityai/stable-diffusion-xl-base-1.0") == "sdxl"
    assert base_kind("somebody/some-model") == "sd"
    assert base_kind(base_folder) == "embedded", "a model as narrow as the embedded one"
    assert base_kind(xl_folder) in {"embedded", "sdxl"}
