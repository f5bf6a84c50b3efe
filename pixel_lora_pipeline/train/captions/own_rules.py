"""What a dataset says of itself in a `captions.toml` beside its pictures, for the checks of its captions."""

import tomllib
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

FILE_NAME: Final = "captions.toml"


class OwnRules(BaseModel):
    """The contents of `captions.toml`; everything may be left out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    trigger: str | None = Field(default=None, min_length=1, description="The word that calls the style.")
    minimum_hex_codes: int = Field(default=12, ge=0, description="Colour codes that each caption has at least.")
    words: tuple[str, ...] = Field(default=(), description="Words that are spelt as they should be.")
    ignore: tuple[str, ...] = Field(default=(), description="Ids of checks that do not apply to this dataset.")
    waived: dict[str, tuple[str, ...]] = Field(
        default_factory=dict, description="By id of a check, the caption files that it does not apply to."
    )


def read_own_rules(folder: Path) -> OwnRules:
    """The folder's rules, the defaults where it has none.

    Raises
    ------
    ValueError
        If the file cannot be understood; says which file and what.
    """
    path = folder / FILE_NAME
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return OwnRules()
    try:
        return OwnRules.model_validate(tomllib.loads(text))
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        raise ValueError(f"{path}: {faults}. Known keys: {', '.join(OwnRules.model_fields)}.") from error
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path} is no TOML: {error}.") from error
