"""The prompt suite: what is asked of every epoch, and what each prompt should show."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    Strict,
    StringConstraints,
    model_validator,
)

from pixel_lora_pipeline.validate.batches import ImageRequest
from pixel_lora_pipeline.validate.caption_words import ACCESSORY_NOUNS
from pixel_lora_pipeline.validate.depth import DEPTHS, Depth
from pixel_lora_pipeline.validate.expectation import Expectation, parse_expectation
from pixel_lora_pipeline.validate.text_width import cross_attention_width

BUILT_IN: Final = Path(__file__).parent / "suites"
BaseKind = Literal["embedded", "sd", "sdxl"]

# Width of the text features of SDXL and of the narrowest Stable Diffusion; the embedded model's are narrower.
_SDXL_WIDTH: Final = 2048
_SD_WIDTH: Final = 768
_VERSION_LENGTH: Final = 12
_MOST_SEEDS: Final = 64


class SuiteError(ValueError):
    """A suite that cannot be used: says which file, which prompts, and what to do."""


def _known_accessory(name: str) -> str:
    if name not in ACCESSORY_NOUNS.values():
        known = ", ".join(dict.fromkeys(ACCESSORY_NOUNS.values()))
        raise ValueError(f"{name} cannot be recognised in images. Known are {known}")
    return name


_Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_]*$")]
_Count = Annotated[int, Strict()]
_Side = Annotated[int, Strict(), Field(ge=16, le=4096, multiple_of=8, description="Give pixels: 64, 512, 1024, ….")]
_Color = Annotated[str, StringConstraints(pattern=r"^(#[0-9a-fA-F]{6}|any)$", to_lower=True)]
_Region = Annotated[_Color | None, Field(description='Write "#rrggbb", or "any" for what is not judged.')]


class SuiteTable(BaseModel):
    """A table of a suite file; the descriptions of its fields are the remedies in error messages."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class GenerationSettings(SuiteTable):
    """How images are generated for one kind of base model: size in pixels, denoising steps, guidance scale."""

    width: _Side
    height: _Side
    steps: _Count = Field(ge=1, le=1000, description="Give a whole number of denoising steps.")
    guidance: Annotated[float, Strict()] = Field(ge=0, le=50, description="Give a number from 0 to 50.")


class Expects(SuiteTable):
    """What a prompt should show where its words do not say it, or say it otherwise; "any" is not judged."""

    background: _Region = None
    hair: _Region = None
    skin: _Region = None
    lips: _Region = None
    accessories: dict[Annotated[str, AfterValidator(_known_accessory)], _Color] | None = Field(
        None, description='Write all that must be there, as { crown = "#ffd700", hat = "any" }, or {} for nothing.'
    )

    def correct(self, parsed: Expectation) -> Expectation:
        """The expectation that the words give, with what is said here in its place."""
        said = self.model_dump(exclude_none=True)
        if "accessories" in said:
            said["accessories"] = {name: _judged(color) for name, color in said["accessories"].items()}
        regions = {region: _judged(said[region]) for region in said.keys() - {"accessories"}}
        return replace(parsed, **{**said, **regions, "unknown": []}) if said else parsed


class Prompt(SuiteTable):
    """One prompt of a suite.

    Attributes
    ----------
    category
        What it tests: prompts of one category are also judged together.
    depth
        The shallowest depth at which it is generated.
    seeds
        One image each. Only a full look takes more than the first.
    generation
        Settings by kind of base model; it is not asked of other kinds.
    """

    id: _Name = Field(description="Use lower-case letters, digits and underscores.")
    prompt: Annotated[str, StringConstraints(pattern=r"\S")] = Field(description="Write what the image should show.")
    category: _Name = Field("general", description="Use lower-case letters, digits and underscores.")
    depth: Depth = Field(DEPTHS[0], description="It says from which depth on the prompt is generated.")
    seeds: tuple[Annotated[int, Strict(), Field(ge=0, lt=2**63)], ...] = Field(
        description="Give whole numbers from 0, here or at the top of the file: seeds = [1, 2]."
    )
    negative_prompt: str = Field("", description="Write what the image should not show.")
    generation: dict[BaseKind, GenerationSettings] = Field(
        description="Add [generation.KIND] with width, height, steps and guidance, for KIND embedded, sd or sdxl."
    )
    expects: Expects = Field(Expects(), description='Write a table: expects = { hair = "#ff69b4" }.')

    @model_validator(mode="after")
    def _gives_images(self) -> Self:
        if not self.generation:
            raise ValueError("generation has no settings. Add a table [generation.KIND], KIND embedded, sd or sdxl")
        if not 1 <= len(self.seeds) <= _MOST_SEEDS or len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds are {[*self.seeds]}. Give 1 to {_MOST_SEEDS}, each once: it is the same image")
        return self

    @cached_property
    def expectation(self) -> Expectation:
        """What its words name, as `expects` corrects it."""
        return self.expects.correct(parse_expectation(self.prompt))


@dataclass(frozen=True)
class Suite:
    """Prompts with what they expect.

    Attributes
    ----------
    name
        For people.
    version
        Hash of all that shapes the images and of what they are judged by, not of order, depth or category.
    prompts
        In the order of the files.
    """

    name: str
    version: str
    prompts: tuple[Prompt, ...]

    def at_depth(self, depth: Depth) -> "Suite":
        """What is generated at this depth; version and order stay."""
        included = DEPTHS[: DEPTHS.index(depth) + 1]
        most_seeds = None if depth == DEPTHS[-1] else 1
        prompts = (
            prompt.model_copy(update={"seeds": prompt.seeds[:most_seeds]})
            for prompt in self.prompts
            if prompt.depth in included
        )
        return replace(self, prompts=tuple(prompts))

    def requests(self, kind: BaseKind) -> list[ImageRequest]:
        """Every image of the suite, prompt by prompt and seed by seed, for a base model of this kind.

        Prompts without settings for it are left out: they are for other base models.

        Raises
        ------
        SuiteError
            If none has any.
        """
        requests = [
            ImageRequest(
                prompt_id=prompt.id,
                prompt=prompt.prompt,
                negative_prompt=prompt.negative_prompt,
                seed=seed,
                **prompt.generation[kind].model_dump(),
            )
            for prompt in self.prompts
            if kind in prompt.generation
            for seed in prompt.seeds
        ]
        if not requests:
            raise SuiteError(
                f"Suite {self.name!r} has no settings for base models of kind {kind!r}. "
                f"Add a table [generation.{kind}] with width, height, steps and guidance to its file."
            )
        return requests

    def expectations(self) -> dict[str, Expectation]:
        """What each prompt should show, by its id."""
        return {prompt.id: prompt.expectation for prompt in self.prompts}

    def categories(self) -> dict[str, str]:
        """What each prompt tests, by its id."""
        return {prompt.id: prompt.category for prompt in self.prompts}

    def to_content(self) -> dict[str, Any]:
        """The suite as its file could say it: `read_suite` makes the same suite of it."""
        return {"name": self.name, "prompts": [prompt.model_dump(exclude_defaults=True) for prompt in self.prompts]}


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


def _judged(color: str) -> str | None:
    return None if color == "any" else color
