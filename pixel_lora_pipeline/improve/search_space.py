"""What a search may choose among: parameters, their values, and where each value lies."""

import math
import tomllib
from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Final, SupportsFloat, TypeAlias, Union

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError, field_validator, model_validator

Floats = NDArray[np.float64]
Scalar: TypeAlias = bool | int | float | str

# Numbers that differ by less, relatively, are the same: learning rates are written with rounding.
_SAME: Final = 1e-6
# A range is searched in steps: a run cannot tell a learning rate from one that is a fortieth of the range away.
_RANGE_STEPS: Final = 40
_RANGE_DIGITS: Final = 3
_MOST_FOREIGN: Final = 2.0  # lengths of the scale that a value outside may lie beyond its end
_BOOLEANS: Final = {"true": 1.0, "false": 0.0}

_FORMS: Final = (
    "Give a list of values, or a table: {levels = [..]}, {choices = [..]}, {low = .., high = ..} or "
    "{low = .., high = .., log = true}; {unset = ..} may be added."
)


class _Parameter(BaseModel):
    """One parameter: its values in their order, and the place of any value between 0 and 1."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, arbitrary_types_allowed=True)

    unset: Scalar | None = None

    @property
    def values(self) -> tuple[Scalar, ...]:
        """What may be suggested."""
        raise NotImplementedError

    @property
    def is_ordered(self) -> bool:
        """Whether the values are numbers that lie on a scale."""
        return True

    @property
    def is_range(self) -> bool:
        """Whether values between those that may be suggested are as good as them."""
        return False

    def filled(self, cell: Any) -> Any:
        """The value that a run had: `unset` for one that was not given any, None if that is not known."""
        return self.unset if _is_missing(cell) else cell

    def place(self, cell: Any) -> float:
        """Where a value lies, 0 for the lowest and 1 for the highest; below or above it if it lies outside.

        NaN for what is no number.
        """
        number = _number(cell)
        return math.nan if number is None else float(np.clip(self._place(number), -_MOST_FOREIGN, 1 + _MOST_FOREIGN))

    def contains(self, cell: Any) -> bool:
        """Whether a value is within what may be suggested; on a range, also between its steps."""
        raise NotImplementedError

    def read(self, cell: Any) -> Scalar:
        """A value that it contains, however it was written, as the space has it."""
        raise NotImplementedError

    def _place(self, number: float) -> float:
        raise NotImplementedError


class Levels(_Parameter):
    """Numbers in their order; they are taken to be equally far apart.

    Attributes
    ----------
    levels
        At least two, increasing.
    unset
        What the trainer does where the parameter is not given.
    """

    levels: tuple[int | float, ...] = Field(min_length=1)

    @field_validator("levels", mode="before")
    @classmethod
    def _numbers(cls, levels: Any) -> Any:
        if isinstance(levels, list | tuple) and any(isinstance(level, bool) for level in levels):
            raise ValueError("levels are numbers; true and false are choices")
        return levels

    @model_validator(mode="after")
    def _increasing(self) -> "Levels":
        if any(after <= before for before, after in zip(self.levels, self.levels[1:], strict=False)):
            raise ValueError(f"levels increase, and each is there once: {list(self.levels)} do not")
        return self

    @property
    def values(self) -> tuple[Scalar, ...]:
        """The levels."""
        return self.levels

    def contains(self, cell: Any) -> bool:
        """Whether it is one of the levels."""
        number = _number(cell)
        return number is not None and any(_same(number, level) for level in self.levels)

    def read(self, cell: Any) -> Scalar:
        """The level."""
        return next(level for level in self.levels if _same(_certain_number(cell), level))

    def _place(self, number: float) -> float:
        if len(self.levels) == 1:
            return 0.5 if _same(number, self.levels[0]) else 0.5 + math.copysign(1.0, number - self.levels[0])
        levels = np.array(self.levels, dtype=float)
        if levels[0] > 0 and number > 0:
            levels, number = np.log(levels), math.log(number)
        steps = np.arange(len(levels), dtype=float)
        # Beyond the last level, steps go on being as long as the last one.
        if number > levels[-1]:
            step = steps[-1] + (number - levels[-1]) / (levels[-1] - levels[-2])
        elif number < levels[0]:
            step = (number - levels[0]) / (levels[1] - levels[0])
        else:
            step = float(np.interp(number, levels, steps))
        return float(step / steps[-1])


class _Range(_Parameter):
    @model_validator(mode="after")
    def _ordered(self) -> "_Range":
        if self.low >= self.high:
            raise ValueError(f"low must be below high: {self.low} is not below {self.high}")
        return self

    low: int | float
    high: int | float

    @property
    def is_range(self) -> bool:
        """They are."""
        return True

    def contains(self, cell: Any) -> bool:
        """Whether it lies between the bounds."""
        number = _number(cell)
        return number is not None and (
            self.low <= number <= self.high or _same(number, self.low) or _same(number, self.high)
        )

    def read(self, cell: Any) -> Scalar:
        """The number, not beyond a bound by rounding."""
        return min(max(_certain_number(cell), self.low), self.high)

    def _place(self, number: float) -> float:
        return (number - self.low) / (self.high - self.low)


class IntegerRange(_Range):
    """Whole numbers from low to high."""

    low: int
    high: int

    @cached_property
    def values(self) -> tuple[Scalar, ...]:
        """All of them, or evenly chosen ones if they are many."""
        count = min(self.high - self.low + 1, _RANGE_STEPS + 1)
        return tuple(dict.fromkeys(round(value) for value in np.linspace(self.low, self.high, count)))

    def contains(self, cell: Any) -> bool:
        """Whether it is a whole number between the bounds."""
        number = _number(cell)
        return number is not None and number.is_integer() and self.low <= number <= self.high

    def read(self, cell: Any) -> Scalar:
        """The whole number."""
        return int(_certain_number(cell))


class LinearRange(_Range):
    """Numbers from low to high."""

    @cached_property
    def values(self) -> tuple[Scalar, ...]:
        """Evenly spaced, without more digits than anybody would write."""
        return _written(np.linspace(self.low, self.high, _RANGE_STEPS + 1))


class LogRange(_Range):
    """Positive numbers from low to high, which act by their order of magnitude."""

    log: bool

    @model_validator(mode="after")
    def _positive(self) -> "LogRange":
        if self.low <= 0:
            raise ValueError(f"a logarithmic range needs a low above 0, not {self.low}: leave log out, or raise low")
        return self

    @cached_property
    def values(self) -> tuple[Scalar, ...]:
        """Spaced by equal factors, without more digits than anybody would write."""
        return _written(np.geomspace(self.low, self.high, _RANGE_STEPS + 1))

    def _place(self, number: float) -> float:
        if number <= 0:
            return -math.inf
        return math.log(number / self.low) / math.log(self.high / self.low)


class Choice(_Parameter):
    """Things without an order.

    Attributes
    ----------
    choices
        Names, flags or numbers, each once.
    """

    choices: tuple[Scalar, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _distinct(self) -> "Choice":
        if len({_text(choice) for choice in self.choices}) < len(self.choices):
            raise ValueError(f"each choice is there once: {list(self.choices)} repeats one")
        if len({isinstance(choice, str) for choice in self.choices}) > 1:
            raise ValueError(
                f"choices are names, or they are not: {list(self.choices)} mixes names with something else"
            )
        return self

    @property
    def values(self) -> tuple[Scalar, ...]:
        """The choices."""
        return self.choices

    @property
    def is_ordered(self) -> bool:
        """They are not."""
        return False

    def place(self, cell: Any) -> float:
        """The number of the choice; NaN for anything else."""
        texts = [_text(choice) for choice in self.choices]
        return float(texts.index(_text(cell))) if _text(cell) in texts else math.nan

    def contains(self, cell: Any) -> bool:
        """Whether it is one of the choices, in whatever way it was written."""
        return not math.isnan(self.place(cell))

    def read(self, cell: Any) -> Scalar:
        """The choice."""
        return self.choices[int(self.place(cell))]


def _kind(parameter: Any) -> str | None:
    if isinstance(parameter, _Parameter):
        return type(parameter).__name__
    if not isinstance(parameter, Mapping):
        return None
    if "choices" in parameter:
        return "Choice"
    if "levels" in parameter:
        return "Levels"
    if parameter.get("log"):
        return "LogRange"
    bounds = (parameter.get("low"), parameter.get("high"))
    if None in bounds:
        return None
    return "IntegerRange" if all(isinstance(bound, int) for bound in bounds) else "LinearRange"


Parameter: TypeAlias = Annotated[
    Union[  # noqa: UP007 - the tags have to be evaluated as they are
        Annotated[Levels, Tag("Levels")],
        Annotated[IntegerRange, Tag("IntegerRange")],
        Annotated[LinearRange, Tag("LinearRange")],
        Annotated[LogRange, Tag("LogRange")],
        Annotated[Choice, Tag("Choice")],
    ],
    Discriminator(_kind, custom_error_type="form", custom_error_message="is in no known form. " + _FORMS),
]


class SearchSpace(BaseModel):
    """Parameters that a search chooses the values of, in their order.

    Attributes
    ----------
    parameters
        Name → `Levels`, `IntegerRange`, `LinearRange`, `LogRange` or `Choice`.
    """

    model_config = ConfigDict(frozen=True)

    parameters: dict[str, Parameter] = Field(min_length=1)

    @classmethod
    def default(cls) -> "SearchSpace":
        """The roadmap's."""
        source = files(__package__).joinpath("search_space.toml")
        return _validated(tomllib.loads(source.read_text(encoding="utf-8")), "search_space.toml")

    @classmethod
    def read(cls, path: str | Path) -> "SearchSpace":
        """Read a TOML file; its forms are described in `search_space.toml`.

        Raises
        ------
        ValueError
            If the file is no TOML, or describes no search space.
        """
        try:
            document = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as fault:
            raise ValueError(f"{path} is no TOML: {fault}") from fault
        return _validated(document, str(path))

    @classmethod
    def of(cls, space: "SearchSpace | str | Path | Mapping[str, Any]") -> "SearchSpace":
        """A search space, however it is given.

        Parameters
        ----------
        space
            A search space, the path of a TOML file, or a mapping of names to what such a file holds: lists (tuples)
            of values, tables, or Optuna's distributions.

        Raises
        ------
        ValueError
            If it describes no search space; says where, and what is expected.
        """
        if isinstance(space, SearchSpace):
            return space
        if isinstance(space, str | Path):
            return cls.read(space)
        if isinstance(space, Mapping):
            return _validated(space, "the search space")
        raise ValueError(f"a search space is a SearchSpace, a path or a mapping, not a {type(space).__name__}")

    @property
    def names(self) -> tuple[str, ...]:
        """Of the parameters."""
        return tuple(self.parameters)

    @property
    def size(self) -> int:
        """How many configurations there are; ranges count by their steps."""
        return math.prod(len(parameter.values) for parameter in self.parameters.values())

    def contains(self, configuration: Mapping[str, Any]) -> bool:
        """Whether every parameter has a value that may be suggested."""
        return all(parameter.contains(configuration.get(name)) for name, parameter in self.parameters.items())

    def canonical(self, configuration: Mapping[str, Any]) -> dict[str, Scalar]:
        """A configuration with its values as the space has them: 32 for "32", and what is unset filled in.

        Raises
        ------
        ValueError
            If it lies outside of the space, or something is not known of it.
        """
        outside = [
            f"{name} = {configuration.get(name)!r}"
            for name, parameter in self.parameters.items()
            if not parameter.contains(parameter.filled(configuration.get(name)))
        ]
        if outside:
            raise ValueError(f"{', '.join(outside)}: outside of the search space")
        return {
            name: parameter.read(parameter.filled(configuration.get(name)))
            for name, parameter in self.parameters.items()
        }

    def encode(self, runs: pd.DataFrame) -> Floats:
        """Where runs lie: float[n, parameters].

        Ordered parameters lie between 0 and 1 inside the space and beyond them outside. Choices are numbered; those
        that the space does not have go on after the last number, equal ones alike. NaN is what is not known.
        """
        places = np.full((len(runs), len(self.parameters)), np.nan)
        for column, (name, parameter) in enumerate(self.parameters.items()):
            cells = list(runs[name]) if name in runs else [None] * len(runs)
            cells = [parameter.filled(cell) for cell in cells]
            places[:, column] = [parameter.place(cell) for cell in cells]
            if not parameter.is_ordered:
                texts = [None if cell is None or parameter.contains(cell) else _text(cell) for cell in cells]
                foreign = sorted({text for text in texts if text is not None})
                for row, text in enumerate(texts):
                    if text is not None:
                        places[row, column] = len(parameter.values) + foreign.index(text)
        return places

    @cached_property
    def grid(self) -> tuple[Floats, ...]:
        """For each parameter, where each of its values lies: float[values]."""
        return tuple(
            np.array([parameter.place(value) for value in parameter.values]) for parameter in self.parameters.values()
        )

    def places(self, steps: NDArray[np.int64]) -> Floats:
        """Where configurations lie, int[n, parameters] numbers of values → float[n, parameters]."""
        return np.stack([grid[steps[:, column]] for column, grid in enumerate(self.grid)], axis=1)

    def decode(self, steps: Sequence[int] | NDArray[np.int64]) -> dict[str, Scalar]:
        """A configuration, from the number of each parameter's value."""
        return {
            name: parameter.values[int(step)]
            for (name, parameter), step in zip(self.parameters.items(), steps, strict=True)
        }

    @property
    def is_ordered(self) -> NDArray[np.bool_]:
        """bool[parameters]: which have an order."""
        return np.array([parameter.is_ordered for parameter in self.parameters.values()])


def _validated(document: Mapping[str, Any], source: str) -> SearchSpace:
    parameters = {str(name): _table(parameter) for name, parameter in document.items()}
    try:
        return SearchSpace(parameters=parameters)
    except ValidationError as fault:
        faults = "; ".join(
            f"{'.'.join(str(part) for part in error['loc'][1:] if part not in _CLASSES) or 'it'}: {error['msg']}"
            for error in fault.errors()
        )
        raise ValueError(f"{source} describes no search space: {faults}") from fault


_CLASSES: Final = ("Levels", "IntegerRange", "LinearRange", "LogRange", "Choice", "int", "float")


def _table(parameter: Any) -> Any:
    """The short forms, written out."""
    if isinstance(parameter, BaseDistribution):
        return _of_distribution(parameter)
    if isinstance(parameter, np.ndarray):
        parameter = parameter.tolist()
    if isinstance(parameter, list | tuple):
        are_numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in parameter)
        return {"levels": sorted(parameter)} if are_numbers and parameter else {"choices": parameter}
    return parameter


def _of_distribution(distribution: BaseDistribution) -> dict[str, Any]:
    match distribution:
        case CategoricalDistribution():
            return {"choices": distribution.choices}
        case IntDistribution(step=1) | FloatDistribution(step=None):
            bounds = {"low": distribution.low, "high": distribution.high}
            return {**bounds, "log": True} if distribution.log else bounds
        case IntDistribution(low=low, high=high, step=step) | FloatDistribution(low=low, high=high, step=float(step)):
            return {"levels": [low + step * count for count in range(round((high - low) / step) + 1)]}
    raise ValueError(f"{distribution} is no distribution of Optuna's that is known here. {_FORMS}")


def _written(values: Floats) -> tuple[float, ...]:
    return tuple(dict.fromkeys(float(f"{value:.{_RANGE_DIGITS}g}") for value in values))


def _is_missing(cell: Any) -> bool:
    return cell is None or cell is pd.NA or (isinstance(cell, float) and math.isnan(cell)) or cell == "None"


def _text(cell: Any) -> str:
    """The same for True and "true", and for 1 and 1.0."""
    number = _number(cell)
    return str(cell).strip().lower() if number is None else repr(number)


def _number(cell: Any) -> float | None:
    if isinstance(cell, str):
        text = cell.strip().lower()
        if text in _BOOLEANS:
            return _BOOLEANS[text]
        try:
            cell = float(text)
        except ValueError:
            return None
    if not isinstance(cell, SupportsFloat):
        return None
    number = float(cell)
    return number if math.isfinite(number) else None


def _certain_number(cell: Any) -> float:
    number = _number(cell)
    if number is None:
        raise ValueError(f"{cell!r} is no number")
    return number


def _same(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=_SAME, abs_tol=1e-12)
