"""The prompt suite: what is asked of every epoch, and what each prompt should show."""

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal, get_args

from pixel_lora_pipeline.validate.batches import ImageRequest
from pixel_lora_pipeline.validate.depth import DEPTHS, Depth
from pixel_lora_pipeline.validate.expectation import Expectation, parse_expectation
from pixel_lora_pipeline.validate.text_width import cross_attention_width

BUILT_IN: Final = Path(__file__).parent / "suites" / "portraits.toml"

BaseKind = Literal["embedded", "sd", "sdxl"]
BASE_KINDS: Final[tuple[BaseKind, ...]] = get_args(BaseKind)

# Width of the text features of SDXL and of the narrowest Stable Diffusion; the embedded model's are narrower.
_SDXL_WIDTH: Final = 2048
_SD_WIDTH: Final = 768

_ID: Final = re.compile(r"[a-z0-9][a-z0-9_]*")
_MOST_SEEDS: Final = 64
_LARGEST_SEED: Final = 2**63 - 1
_VERSION_LENGTH: Final = 12


class SuiteError(ValueError):
    """A suite that cannot be used: says which file, which prompt, and what to do."""


@dataclass(frozen=True)
class GenerationSettings:
    """How images are generated: size in pixels, denoising steps, guidance scale."""

    width: int
    height: int
    steps: int
    guidance: float


@dataclass(frozen=True)
class Prompt:
    """One prompt of a suite.

    `expectation` is what the prompt's own words name, `depth` the shallowest depth at which it is generated.
    """

    id: str
    prompt: str
    negative_prompt: str
    expectation: Expectation
    seeds: tuple[int, ...]
    depth: Depth


@dataclass(frozen=True)
class Suite:
    """Prompts with what they expect.

    Attributes
    ----------
    name
        For people.
    version
        Hash of all that shapes the images: only epochs evaluated under one version compare.
    prompts
        In the order of the file.
    generation
        Settings by kind of base model; a suite need not have all kinds.
    """

    name: str
    version: str
    prompts: tuple[Prompt, ...]
    generation: Mapping[BaseKind, GenerationSettings]

    def at_depth(self, depth: Depth) -> "Suite":
        """The prompts that are generated at this depth; version and order stay."""
        shown = DEPTHS[: DEPTHS.index(depth) + 1]
        return replace(self, prompts=tuple(prompt for prompt in self.prompts if prompt.depth in shown))

    def requests(self, kind: BaseKind) -> list[ImageRequest]:
        """Every image of the suite, prompt by prompt and seed by seed, for a base model of this kind.

        Raises
        ------
        SuiteError
            If the suite has no settings for it.
        """
        settings = self.generation.get(kind)
        if settings is None:
            raise SuiteError(
                f"Suite {self.name!r} has no settings for base models of kind {kind!r}. "
                f"Add a table [generation.{kind}] with width, height, steps and guidance to its file."
            )
        return [
            ImageRequest(
                prompt_id=prompt.id,
                prompt=prompt.prompt,
                negative_prompt=prompt.negative_prompt,
                seed=seed,
                width=settings.width,
                height=settings.height,
                steps=settings.steps,
                guidance=settings.guidance,
            )
            for prompt in self.prompts
            for seed in prompt.seeds
        ]


def base_kind(base_model: str | Path | None) -> BaseKind:
    """Which of a suite's generation settings a base model needs; None is the embedded model.

    Told by the width of its text features where the model lies on this machine, else by an "xl" in its name.
    """
    if base_model is None:
        return "embedded"
    width = cross_attention_width(base_model)
    if width is None:
        return "sdxl" if "xl" in str(base_model).lower() else "sd"
    if width < _SD_WIDTH:
        return "embedded"
    return "sdxl" if width >= _SDXL_WIDTH else "sd"


def load_suite(path: Path | None = None) -> Suite:
    """Read and check a suite file (TOML); without a path, the built-in suite.

    Raises
    ------
    SuiteError
        Naming the file, the prompt and the remedy.
    """
    path = path or BUILT_IN
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SuiteError(
            f"Suite {path} cannot be read ({error.strerror}). Correct the path, or leave it out for the built-in suite."
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SuiteError(f"Suite {path} is not valid TOML: {error}. Correct it there.") from error
    reader = _Reader(path)
    reader.only_keys(content, {"name", "seeds", "negative_prompt", "generation", "prompts"}, "at the top")
    name = reader.text(content, "name", "at the top", default=path.stem)
    generation = _read_generation(reader, content.get("generation"))
    prompts = _read_prompts(reader, content)
    return Suite(name, _version(prompts, generation), prompts, generation)


class _Reader:
    """Typed access to parsed TOML, with errors that name the file and the place."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def error(self, place: str, fault: str, remedy: str) -> SuiteError:
        return SuiteError(f"Suite {self.path}, {place}: {fault}. {remedy}")

    def only_keys(self, table: Mapping[str, Any], known: set[str], place: str) -> None:
        unknown = sorted(table.keys() - known)
        if unknown:
            raise self.error(place, f"unknown key {', '.join(unknown)}", f"Known are {', '.join(sorted(known))}.")

    def text(self, table: Mapping[str, Any], key: str, place: str, default: str | None = None) -> str:
        value = table.get(key, default)
        if not isinstance(value, str):
            fault = f"{key} is missing" if value is None else f"{key} is {value!r}, not a text"
            raise self.error(place, fault, f'Write {key} = "...".')
        return value

    def whole_number(self, table: Mapping[str, Any], key: str, place: str, low: int, high: int) -> int:
        value = table.get(key)
        if type(value) is not int or not low <= value <= high:
            raise self.error(place, f"{key} is {value!r}", f"Give a whole number from {low} to {high}.")
        return value

    def number(self, table: Mapping[str, Any], key: str, place: str, low: float, high: float) -> float:
        value = table.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise self.error(place, f"{key} is {value!r}", f"Give a number from {low:g} to {high:g}.")
        return float(value)


def _read_generation(reader: _Reader, tables: Any) -> dict[BaseKind, GenerationSettings]:
    known = ", ".join(BASE_KINDS)
    if not isinstance(tables, dict) or not tables:
        raise reader.error("generation", "no settings", f"Add a table [generation.KIND] for one or more of {known}.")
    reader.only_keys(tables, set(BASE_KINDS), "generation")
    generation: dict[BaseKind, GenerationSettings] = {}
    for kind in BASE_KINDS:
        if kind not in tables:
            continue
        table, place = tables[kind], f"generation.{kind}"
        if not isinstance(table, dict):
            raise reader.error(place, "this is not a table", f"Write [generation.{kind}] above its settings.")
        reader.only_keys(table, {"width", "height", "steps", "guidance"}, place)
        width, height = (reader.whole_number(table, key, place, 16, 4096) for key in ("width", "height"))
        if width % 8 or height % 8:
            raise reader.error(place, f"size {width} x {height}", "Use multiples of 8, as the models do.")
        steps = reader.whole_number(table, "steps", place, 1, 1000)
        generation[kind] = GenerationSettings(width, height, steps, reader.number(table, "guidance", place, 0, 50))
    return generation


def _read_prompts(reader: _Reader, content: Mapping[str, Any]) -> tuple[Prompt, ...]:
    tables = content.get("prompts")
    if not isinstance(tables, list) or not tables:
        raise reader.error("prompts", "there is no prompt", "Add at least one table [[prompts]].")
    shared = {key: content[key] for key in ("seeds", "negative_prompt") if key in content}
    prompts = []
    for number, table in enumerate(tables, start=1):
        if not isinstance(table, dict):
            raise reader.error(f"prompt {number}", "this is not a table", "Write [[prompts]] above its settings.")
        prompts.append(_read_prompt(reader, shared | table, number))
    ids = [prompt.id for prompt in prompts]
    twice = sorted({prompt_id for prompt_id in ids if ids.count(prompt_id) > 1})
    if twice:
        raise reader.error(f"prompt {twice[0]}", "two prompts have this id", "Rename one of them.")
    if all(prompt.depth != DEPTHS[0] for prompt in prompts):
        remedy = f'Mark at least one with depth = "{DEPTHS[0]}".'
        raise reader.error("prompts", f"none is generated at {DEPTHS[0]} depth", remedy)
    return tuple(prompts)


def _read_prompt(reader: _Reader, table: Mapping[str, Any], number: int) -> Prompt:
    prompt_id = reader.text(table, "id", f"prompt {number}")
    place = f"prompt {prompt_id}"
    if not _ID.fullmatch(prompt_id):
        raise reader.error(place, "this id cannot be used", "Use lower-case letters, digits and underscores.")
    reader.only_keys(table, {"id", "prompt", "negative_prompt", "seeds", "depth"}, place)
    text = reader.text(table, "prompt", place)
    if not text.strip():
        raise reader.error(place, "the prompt is empty", "Write what the image should show.")
    wanted = table.get("depth", DEPTHS[0])
    depth = next((known for known in DEPTHS if known == wanted), None)
    if depth is None:
        raise reader.error(place, f"depth is {wanted!r}", f"Use one of {', '.join(DEPTHS)}.")
    return Prompt(
        id=prompt_id,
        prompt=text,
        negative_prompt=reader.text(table, "negative_prompt", place, default=""),
        expectation=parse_expectation(text),
        seeds=_read_seeds(reader, table.get("seeds"), place),
        depth=depth,
    )


def _read_seeds(reader: _Reader, seeds: Any, place: str) -> tuple[int, ...]:
    is_list = isinstance(seeds, list) and 1 <= len(seeds) <= _MOST_SEEDS
    if not is_list or not all(type(seed) is int and 0 <= seed <= _LARGEST_SEED for seed in seeds):
        remedy = f"Give 1 to {_MOST_SEEDS} whole numbers, here or at the top of the file: seeds = [1, 2]."
        raise reader.error(place, f"seeds is {seeds!r}", remedy)
    if len(set(seeds)) != len(seeds):
        raise reader.error(place, f"seeds is {seeds!r}", "Give each seed once: the same seed is the same image.")
    return tuple(seeds)


def _version(prompts: tuple[Prompt, ...], generation: Mapping[BaseKind, GenerationSettings]) -> str:
    """Hash of what shapes the images; the suite's name, the order and depth of prompts do not."""
    content = {
        "prompts": [
            [prompt.id, prompt.prompt, prompt.negative_prompt, prompt.seeds]
            for prompt in sorted(prompts, key=lambda prompt: prompt.id)
        ],
        "generation": {
            kind: [settings.width, settings.height, settings.steps, settings.guidance]
            for kind, settings in sorted(generation.items())
        },
    }
    canonical = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:_VERSION_LENGTH]
