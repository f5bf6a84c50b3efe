"""Questions to all runs as a person types them: `network_dim > 32 and (keep_tokens = 1 or seed is missing)`.

A question is parsed into conditions here, never into SQL: names and values travel to the database as parameters.
"""

import difflib
import math
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeAlias

from pixel_lora_pipeline.train.errors import printable
from pixel_lora_pipeline.train.taxonomy import ROADMAP_NAMES

GRAMMAR: Final = """\
An expression compares parameters, and columns such as `quality_score`, `best_epoch` or `run_date`, with values:

| form | true if |
|---|---|
| `network_dim > 32` | also `>=`, `<`, `<=`, `=`, `!=`; texts compare letter by letter, and so do dates |
| `lr_scheduler in (cosine, linear)` | it is one of these; `not in (…)`: it is known, and none of these |
| `caption_version is missing` | nothing is known of it; `is not missing`: something is |
| `noise_offset = none` | it is known to be unset |
| `A and B`, `A or B`, `(A)` | `and` binds closer than `or` |

Numbers, `true`, `false`, `none` and words stand as they are; a text with spaces in quotes. What is not known of a run
makes no comparison true, not even `!=`. Where the subsets of the training data differ, one fitting value is enough."""

Value: TypeAlias = str | int | float | bool | None
Operator = Literal["=", "!=", "<", "<=", ">", ">="]

_MAX_LENGTH: Final = 2_000
_MAX_DEPTH: Final = 50  # of parentheses
_OPERATORS: Final[dict[str, Operator]] = {
    "=": "=", "==": "=", "!=": "!=", "<>": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">=",
}  # fmt: skip
_TOKEN: Final = re.compile(
    r"""\s*(?:(?P<quoted>'[^']*'|"[^"]*")|(?P<operator><=|>=|!=|<>|==|=|<|>)|(?P<mark>[(),])"""
    r"""|(?P<word>[^\s()=<>!,'"]+))"""
)
_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)
_CONSTANTS: Final[dict[str, Value]] = {"true": True, "false": False, "none": None, "null": None}
_ORDERS: Final = ("<", "<=", ">", ">=")


class QueryError(ValueError):
    """A question that cannot be understood: says where, and what would be."""


@dataclass(frozen=True)
class Comparison:
    """A parameter against a value."""

    name: str
    operator: Operator
    value: Value


@dataclass(frozen=True)
class Membership:
    """A parameter against several values; negated if it must be none of them."""

    name: str
    values: tuple[Value, ...]
    negated: bool


@dataclass(frozen=True)
class Missing:
    """Nothing is known of a parameter; negated if something is."""

    name: str
    negated: bool


@dataclass(frozen=True)
class Combination:
    """Several conditions of which all, or one, must be true."""

    kind: Literal["and", "or"]
    parts: tuple["Condition", ...]


Condition: TypeAlias = Comparison | Membership | Missing | Combination


def parse_run_query(text: str, known: Collection[str]) -> Condition:
    """The conditions that an expression states, see `GRAMMAR`.

    Parameters
    ----------
    text
        The expression.
    known
        Names that may be asked for. The roadmap's names are understood as well.

    Raises
    ------
    QueryError
        If it is no expression, or asks for a name that is not known.
    """
    if len(text) > _MAX_LENGTH:
        raise QueryError(f"The expression has {len(text)} characters, more than {_MAX_LENGTH}.")
    parser = _Parser(text, known)
    condition = parser.alternatives()
    parser.expect_end()
    return condition


def names_in(condition: Condition) -> list[str]:
    """The parameters that a question is about, each once, in order."""
    return list(dict.fromkeys(_names(condition)))


def _names(condition: Condition) -> Iterator[str]:
    if isinstance(condition, Combination):
        for part in condition.parts:
            yield from _names(part)
    else:
        yield condition.name


class _Token(NamedTuple):
    kind: str
    text: str
    at: int

    @property
    def keyword(self) -> str:
        return self.text.lower() if self.kind in ("word", "mark") else ""


class _Parser:
    """One method a level of the grammar, loosest first."""

    def __init__(self, text: str, known: Collection[str]) -> None:
        self._text = text
        self._known = known
        self._tokens = list(self._tokenize())
        self._at = 0
        self._depth = 0

    def alternatives(self) -> Condition:
        return self._joined("or", self._conjunction)

    def expect_end(self) -> None:
        if self._next.kind != "end":
            raise self._fault(f"{self._shown()} cannot stand here; conditions are joined by `and` or `or`")

    def _conjunction(self) -> Condition:
        return self._joined("and", self._condition)

    def _joined(self, word: Literal["and", "or"], part: Callable[[], Condition]) -> Condition:
        parts = [part()]
        while self._next.keyword == word:
            self._take()
            parts.append(part())
        return parts[0] if len(parts) == 1 else Combination(word, tuple(parts))

    def _condition(self) -> Condition:
        if self._next.keyword == "(":
            self._depth += 1
            if self._depth > _MAX_DEPTH:
                raise self._fault(f"there are more than {_MAX_DEPTH} parentheses in each other")
            self._take()
            inner = self.alternatives()
            self._take(")")
            self._depth -= 1
            return inner
        name = self._name()
        if self._takes("is"):
            negated = self._takes("not")
            self._take("missing")
            return Missing(name, negated)
        if self._next.keyword in ("not", "in"):
            negated = self._takes("not")
            self._take("in")
            return Membership(name, self._values(), negated)
        if self._next.kind != "operator":
            raise self._fault(f"after {name} comes =, !=, <, <=, >, >=, `in (…)` or `is missing`, not {self._shown()}")
        operator = _OPERATORS[self._take().text]
        at = self._next
        value = self._value()
        if operator in _ORDERS and (value is None or isinstance(value, bool)):
            raise self._fault(f"{at.text} has no order: ask with = or !=", at)
        return Comparison(name, operator, value)

    def _name(self) -> str:
        token = self._next
        if token.kind != "word":
            raise self._fault(f"here has to be the name of a parameter, not {self._shown()}")
        name = token.text if token.text in self._known else ROADMAP_NAMES.get(token.text, token.text)
        if name not in self._known:
            close = difflib.get_close_matches(name, self._known, n=3)
            hint = f"did you mean {' or '.join(close)}?" if close else "`pixel-lora parameters` lists them"
            raise self._fault(f"no run has a parameter {printable(token.text)!r}: {hint}")
        self._take()
        return name

    def _values(self) -> tuple[Value, ...]:
        self._take("(")
        values = [self._value()]
        while self._next.keyword == ",":
            self._take()
            values.append(self._value())
        self._take(")")
        return tuple(values)

    def _value(self) -> Value:
        token = self._next
        if token.kind == "quoted":
            self._take()
            return token.text[1:-1]
        if token.kind != "word":
            raise self._fault(f"here has to be a value, not {self._shown()}")
        self._take()
        if token.keyword in _CONSTANTS:
            return _CONSTANTS[token.keyword]
        if not _NUMBER.fullmatch(token.text):
            return token.text
        number = int(token.text) if token.text.lstrip("+-").isdigit() else float(token.text)
        if not math.isfinite(number) or abs(number) >= 2**63:
            raise self._fault(f"{printable(token.text, 40)} is too large a number", token)
        return number

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _take(self, keyword: str | None = None) -> _Token:
        token = self._next
        if keyword is not None and token.keyword != keyword:
            raise self._fault(f"here has to be `{keyword}`, not {self._shown()}")
        self._at += 1
        return token

    def _takes(self, keyword: str) -> bool:
        """Whether a keyword comes next; takes it if so."""
        found = self._next.keyword == keyword
        self._at += found
        return found

    def _tokenize(self) -> Iterator[_Token]:
        at = 0
        text = self._text.rstrip()
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None:
                raise QueryError(f"At character {at + 1} of {printable(self._text)!r}: a quote or `!` stands alone.")
            kind = match.lastgroup or ""
            yield _Token(kind, match[kind], match.start(kind))
            at = match.end()
        yield _Token("end", "", len(text))

    def _shown(self) -> str:
        return "the end" if self._next.kind == "end" else f"`{printable(self._next.text, 40)}`"

    def _fault(self, what: str, token: _Token | None = None) -> QueryError:
        at = (token or self._next).at
        return QueryError(f"At character {at + 1} of {printable(self._text)!r}: {what}.".replace("?.", "?"))
