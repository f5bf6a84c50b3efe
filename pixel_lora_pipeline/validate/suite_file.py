"""Suite files: TOML to a suite, or to everything that is wrong with it."""

import hashlib
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Self

from pydantic import Field, ValidationError, model_validator

from pixel_lora_pipeline.validate.depth import DEPTHS
from pixel_lora_pipeline.validate.suite import Expects, GenerationSettings, Prompt, Suite, SuiteError, SuiteTable

BUILT_IN: Final = Path(__file__).parent / "suites"

_VERSION_LENGTH: Final = 12


class _SuiteFile(SuiteTable):
    name: str | None = Field(None, description="Write a text, or leave it out.")
    # Said once for all prompts; a prompt's own wins.
    seeds: Any = None
    negative_prompt: Any = None
    generation: Any = None
    prompts: tuple[Prompt, ...] = Field(description="Add at least one table [[prompts]].")

    @model_validator(mode="before")
    @classmethod
    def _hand_down(cls, content: dict[str, Any]) -> dict[str, Any]:
        shared = {key: content[key] for key in ("seeds", "negative_prompt", "generation") if key in content}
        prompts = content.get("prompts")
        if not isinstance(prompts, list):
            return content
        return content | {"prompts": [shared | prompt if isinstance(prompt, dict) else prompt for prompt in prompts]}

    @model_validator(mode="after")
    def _prompts_fit_together(self) -> Self:
        if not self.prompts:
            raise ValueError("there is no prompt. Add at least one table [[prompts]]")
        if twice := _repeated(self.prompts):
            raise ValueError(f"more than one prompt is called {', '.join(twice)}. Rename them")
        if all(prompt.depth != DEPTHS[0] for prompt in self.prompts):
            raise ValueError(f'no prompt is generated at {DEPTHS[0]} depth. Mark one with depth = "{DEPTHS[0]}"')
        return self


# By the key under which such a table stands.
_TABLES: Final[Mapping[Any, type[SuiteTable]]] = {
    "": _SuiteFile,
    "prompts": Prompt,
    "generation": GenerationSettings,
    "expects": Expects,
}


def load_suite(source: Path | Sequence[Path] | None = None) -> Suite:
    """Read and check a suite: a TOML file, or several whose prompts are asked together.

    Parameters
    ----------
    source
        Paths; a bare name as `portraits` is a built-in suite if there is no such file. Without any, that one.

    Raises
    ------
    SuiteError
        Naming the file and, of everything that is wrong in it, the prompt, the field and the remedy.
    """
    paths = [source] if isinstance(source, Path) else list(source or [Path("portraits")])
    suites = [_read_file(BUILT_IN / f"{path}.toml" if _is_built_in(path) else path) for path in paths]
    prompts = tuple(prompt for suite in suites for prompt in suite.prompts)
    if twice := _repeated(prompts):
        names = ", ".join(map(str, paths))
        raise SuiteError(f"Suites {names}: more than one prompt is called {', '.join(twice)}. Rename them.")
    return Suite(" + ".join(suite.name for suite in suites), _version(prompts), prompts)


def read_suite(content: Mapping[str, Any], source: str) -> Suite:
    """Check the content of a suite file; errors, and a suite without a name, call it `source`.

    Raises
    ------
    SuiteError
        As `load_suite`.
    """
    try:
        file = _SuiteFile.model_validate(content)
    except ValidationError as error:
        # A fault in what is said once for all prompts is told once.
        faults = dict.fromkeys(_explained(fault, content) for fault in error.errors())
        raise SuiteError("\n  ".join([f"Suite {source}:", *faults])) from error
    return Suite(file.name or source, _version(file.prompts), file.prompts)


def _is_built_in(path: Path) -> bool:
    return not path.exists() and (BUILT_IN / f"{path}.toml").is_file()


def _read_file(path: Path) -> Suite:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SuiteError(
            f"Suite {path} cannot be read ({error.strerror}). Correct the path, or leave it out for the built-in suite."
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SuiteError(f"Suite {path} is not valid TOML: {error}. Correct it there.") from error
    suite = read_suite(content, str(path))
    return suite if "name" in content else replace(suite, name=path.stem)


def _repeated(prompts: Sequence[Prompt]) -> list[str]:
    ids = [prompt.id for prompt in prompts]
    return sorted({name for name in ids if ids.count(name) > 1})


def _version(prompts: Sequence[Prompt]) -> str:
    content = [
        prompt.model_dump(exclude={"depth", "category"}, exclude_none=True)
        for prompt in sorted(prompts, key=lambda prompt: prompt.id)
    ]
    canonical = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:_VERSION_LENGTH]


def _explained(fault: Any, content: Mapping[str, Any]) -> str:
    """Where it is, what is wrong, and what to do, of one of pydantic's errors."""
    location: list[Any] = [part for part in fault["loc"] if part != "[key]"]
    table, remedy = _TABLES[""], ""
    for part in location:
        field = table.model_fields.get(part)
        remedy = (field.description if field else None) or remedy
        table = _TABLES.get(part, table)
    prompt = ""
    if location[:1] == ["prompts"] and len(location) > 1:
        number, location = location[1], location[2:]
        given = content["prompts"][number]
        name = given.get("id", number + 1) if isinstance(given, dict) else number + 1
        is_handed_down = bool(location) and location[0] not in given and location[0] in content
        prompt = "" if is_handed_down else f"prompt {name}: "
    place = ".".join(map(str, location)) or "this"
    match fault["type"]:
        case "missing":
            said = f"{place} is missing. {remedy}"
        case "extra_forbidden":
            said = f"{place} is not known. Known are {', '.join(sorted(table.model_fields))}."
        case "string_pattern_mismatch":
            said = f"{place} {fault['input']!r} cannot be used. {remedy}"
        case "value_error":
            said = f"{fault['ctx']['error']}."
        case _:
            said = f"{place} is {fault['input']!r}: {fault['msg'].lower()}. {remedy}"
    return prompt + said
