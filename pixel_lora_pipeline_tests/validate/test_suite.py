"""A suite asks every checkpoint the same, and says what is wrong with it where something is."""

import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from pixel_lora_pipeline.validate import Expectation, SuiteError, base_kind, load_suite, read_suite
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
PROMPT2 = """
[[prompts]]
id = "blue"
prompt = "blue hair"
"""
SUITE = "seeds = [1, 2]" + GENERATION + PROMPT + PROMPT2


def written(folder: Path, content: str, name: str = "suite.toml") -> Path:
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return path


def test_the_built_in_suite_covers_the_plan_and_more() -> None:
    suite = load_suite()
    ids = {prompt.id for prompt in suite.prompts}
    assert ids >= {
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
    }
    assert len(ids) == len(suite.prompts) >= 15
    assert {prompt.category for prompt in suite.prompts} == {
        "colour",
        "accessory",
        "skin_tone",
        "expression",
        "combination",
        "long_caption",
        "robustness",
    }
    assert all(len(prompt.seeds) > 1 for prompt in suite.prompts), "a prompt with one seed tells nothing of chance"
    codes = [len(re.findall("#[0-9a-f]{6}", prompt.prompt)) for prompt in suite.prompts]
    assert max(codes) >= 12, "no caption with many hex codes"
    assert any("pixchar" not in prompt.prompt for prompt in suite.prompts), "no prompt goes without the trigger"


def test_weak_areas_can_be_told_because_important_things_are_asked_more_than_once() -> None:
    asked: Counter[str] = Counter()
    for prompt in load_suite().prompts:
        asked.update([f"hair {prompt.expectation.hair}", *prompt.expectation.accessories])
    once = [thing for thing in ("hair #ff69b4", "hair #2f5fd0", "crown", "sunglasses", "necklace") if asked[thing] < 2]
    assert once == []


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
    asked = [
        {(request.prompt_id, request.seed) for request in suite.at_depth(depth).requests("embedded")}
        for depth in DEPTHS
    ]
    assert [len(images) for images in asked[:2]] == [1, 5]
    assert asked[0] < asked[1] < asked[2]
    assert asked[2] == {(request.prompt_id, request.seed) for request in suite.requests("embedded")}
    assert {suite.at_depth(depth).version for depth in DEPTHS} == {suite.version}


@pytest.mark.parametrize(("kind", "width"), [("embedded", 64), ("sd", 512), ("sdxl", 1024)])
def test_there_is_a_request_for_every_prompt_and_seed(kind: str, width: int) -> None:
    suite = load_suite()
    requests = suite.requests(kind)  # type: ignore[arg-type]
    assert len(requests) == sum(len(prompt.seeds) for prompt in suite.prompts)
    assert {request.width for request in requests} == {width}


def test_what_is_said_at_the_top_holds_for_prompts_that_do_not_say_otherwise(tmp_path: Path) -> None:
    own = (
        'seeds = [3]\nnegative_prompt = "hat"\n[prompts.generation.embedded]\nwidth=32\nheight=32\nsteps=2\nguidance=1'
    )
    content = 'seeds = [1, 2]\nnegative_prompt = "blurry"' + GENERATION + PROMPT + own + PROMPT2
    requests = load_suite(written(tmp_path, content)).requests("embedded")
    assert [(r.prompt_id, r.seed, r.negative_prompt, r.width, r.steps) for r in requests] == [
        ("pink", 3, "hat", 32, 2),
        ("blue", 1, "blurry", 64, 4),
        ("blue", 2, "blurry", 64, 4),
    ]


def test_an_explicit_expectation_wins_over_the_words(tmp_path: Path) -> None:
    expects = 'expects = { background = "any", hair = "#FFAACC", accessories = { crown = "#ffd700", hat = "any" } }'
    pink, blue = load_suite(written(tmp_path, SUITE.replace(PROMPT, PROMPT + expects))).prompts
    assert pink.expectation == Expectation(
        background=None, hair="#ffaacc", accessories={"crown": "#ffd700", "hat": None}
    )
    assert blue.expectation == Expectation(hair="#2f5fd0")


def test_several_suites_are_asked_together(tmp_path: Path) -> None:
    own = written(tmp_path, SUITE, "own.toml")
    together, built_in = load_suite([Path("portraits"), own]), load_suite()
    assert together.name == "portraits + own"
    assert [prompt.id for prompt in together.prompts][-2:] == ["pink", "blue"]
    assert len(together.prompts) == len(built_in.prompts) + 2
    assert together.version not in {built_in.version, load_suite(own).version}
    assert len(together.requests("sd")) == len(built_in.requests("sd")), "the own suite is for the embedded model only"
    with pytest.raises(SuiteError, match="called blue, pink"):
        load_suite([own, written(tmp_path, SUITE, "copy.toml")])


def test_a_kind_without_settings_is_refused_with_what_to_add(tmp_path: Path) -> None:
    suite = load_suite(written(tmp_path, SUITE))
    with pytest.raises(SuiteError, match=r"\[generation\.sd\]"):
        suite.requests("sd")


def test_the_version_changes_with_what_shapes_and_judges_images_and_with_nothing_else(tmp_path: Path) -> None:
    def version(content: str) -> str:
        return load_suite(written(tmp_path, content)).version

    plain = version(SUITE)
    assert version("# a comment\nname = 'mine'\nseeds = [1, 2]" + PROMPT2 + PROMPT + GENERATION) == plain
    assert version(SUITE + "depth = 'full'\ncategory = 'colour'") == plain
    for changed in (
        SUITE.replace("[1, 2]", "[1, 3]"),
        SUITE.replace("steps = 4", "steps = 5"),
        SUITE.replace("pink hair", "red hair"),
        "negative_prompt = 'blurry'\n" + SUITE,
        SUITE.removesuffix(PROMPT2),
        SUITE + "expects = { hair = '#0000ff' }",
    ):
        assert version(changed) != plain, changed


def test_a_stored_suite_is_read_back_as_it_was() -> None:
    suite = load_suite()
    assert read_suite(json.loads(json.dumps(suite.to_content())), "stored") == suite
    assert replace(suite, name="x").to_content()["name"] == "x"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("name = ", "not valid TOML"),
        ("seeds = [1]" + PROMPT, "generation is missing. Add [generation.KIND]"),
        ("seeds = [1]\n[generation]" + PROMPT, "generation has no settings. Add a table [generation.KIND]"),
        ("seeds = [1]" + GENERATION, "prompts is missing. Add at least one table [[prompts]]"),
        ("seeds = [1]\nprompts = []" + GENERATION, "no prompt. Add at least one table [[prompts]]"),
        (GENERATION + PROMPT, "prompt pink: seeds is missing. Give whole numbers"),
        ("seeds = [1, 1]" + GENERATION + PROMPT, "prompt pink: seeds are [1, 1]. Give 1 to 64, each once"),
        ("seeds = []" + GENERATION + PROMPT, "prompt pink: seeds are []. Give 1 to 64"),
        ("seeds = [1, -1]" + GENERATION + PROMPT, "seeds.1 is -1: input should be greater than or equal to 0. Give"),
        ("seeds = [1.0]" + GENERATION + PROMPT, "seeds.0 is 1.0: input should be a valid integer. Give"),
        ("seeds = [1]\nsede = 2" + GENERATION + PROMPT, "sede is not known. Known are"),
        (SUITE + PROMPT, "more than one prompt is called pink. Rename"),
        (SUITE.replace('"pink"', '"Pink Hair"'), "prompt Pink Hair: id 'Pink Hair' cannot be used. Use lower-case"),
        ("seeds = [1]" + GENERATION + "[[prompts]]\nid = 'x'", "prompt x: prompt is missing. Write what"),
        ("seeds = [1]" + GENERATION + "[[prompts]]\nprompt = 'x'", "prompt 1: id is missing. Use lower-case"),
        (SUITE + "[[prompts]]\nid = 'x'\nprompt = ' '", "prompt x: prompt ' ' cannot be used. Write what"),
        (SUITE + "depth = 'deep'", "prompt blue: depth is 'deep': input should be 'quick', 'medium' or 'full'"),
        (
            "seeds = [1]" + GENERATION + PROMPT + "depth = 'full'",
            'no prompt is generated at quick depth. Mark one with depth = "quick"',
        ),
        (SUITE.replace("64", "63", 1), "generation.embedded.width is 63: input should be a multiple of 8. Give pixels"),
        (SUITE.replace("steps = 4", "steps = 0"), "generation.embedded.steps is 0: input should be greater"),
        (SUITE.replace("guidance = 2.0", "guidance = nan"), "generation.embedded.guidance is nan"),
        ("seeds = [1]\n[generation.flux]\nwidth = 64" + PROMPT, "'embedded', 'sd' or 'sdxl'"),
        (SUITE + "expects = { hair = 'red' }", "prompt blue: expects.hair 'red' cannot be used. Write \"#rrggbb\""),
        (SUITE + "expects = { nose = '#ff0000' }", "prompt blue: expects.nose is not known. Known are accessories"),
        (SUITE + "expects = { accessories = { monocle = 'any' } }", "monocle cannot be recognised in images. Known"),
    ],
)
def test_a_fault_is_named_with_file_place_and_remedy(content: str, said: str, tmp_path: Path) -> None:
    path = written(tmp_path, content)
    with pytest.raises(SuiteError) as caught:
        load_suite(path)
    message = str(caught.value)
    assert str(path) in message
    assert said in message, message


def test_all_faults_are_named_at_once_and_a_shared_one_once(tmp_path: Path) -> None:
    content = SUITE.replace("[1, 2]", "[-1]").replace('"pink"', '"Pink"') + "depth = 'deep'"
    with pytest.raises(SuiteError) as caught:
        load_suite(written(tmp_path, content))
    faults = str(caught.value).splitlines()[1:]
    assert len(faults) == 3, faults
    for fault, start in zip(sorted(faults), ("prompt Pink: id", "prompt blue: depth", "seeds.0 is -1"), strict=True):
        assert fault.strip().startswith(start)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match=r"nowhere\.toml"):
        load_suite(tmp_path / "nowhere.toml")


def test_the_kind_of_a_base_model_is_told_by_its_files_or_its_name(base_folder: Path, xl_folder: Path) -> None:
    assert base_kind(None) == "embedded"
    assert base_kind("stabilityai/stable-diffusion-xl-base-1.0") == "sdxl"
    assert base_kind("somebody/some-model") == "sd"
    assert base_kind(base_folder) == "embedded", "a model as narrow as the embedded one"
    assert base_kind(xl_folder) in {"embedded", "sdxl"}
