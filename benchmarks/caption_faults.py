"""What goes wrong when people type captions: slips of the hand, of copy and paste, of editors and of file managers.

Every fault says which checks may report it, and which others may rightly complain in its wake: a caption whose "lips"
are misspelt does not name the lips any more.
"""

# ruff: noqa: ARG001 - injectors share a signature, and not each needs all of it

import string
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

KEYBOARD = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
HEX = string.digits + "abcdef"
# A word that is gone may be the trigger, the lips, the expression or a colour's noun.
LOST_WORD = frozenset({"lips-missing", "expression-missing", "tag-order"})


@dataclass(frozen=True)
class Fault:
    """One kind of mistake. `inject` returns the new text, or None if this caption gives no occasion for it."""

    name: str
    found_as: frozenset[str]
    inject: "Callable[[np.random.Generator, str, str], str | None]"
    wake: frozenset[str] = frozenset()


def _tags(text: str) -> list[str]:
    return text.split(", ")


def _words(text: str, trigger: str, shortest: int = 4) -> list[tuple[int, str]]:
    found, at = [], 0
    for word in text.replace(",", " ").split(" "):
        if len(word) >= shortest and word.isalpha() and word != trigger:
            found.append((at, word))
        at += len(word) + 1
    return found


def _codes(text: str) -> list[int]:
    return [at for at, letter in enumerate(text) if letter == "#"]


def _neighbour(rng: np.random.Generator, letter: str) -> str:
    for number, row in enumerate(KEYBOARD):
        if letter in row:
            column = row.index(letter)
            near = [row[at] for at in (column - 1, column + 1) if 0 <= at < len(row)]
            near += [KEYBOARD[each][column] for each in (number - 1, number + 1)
                     if 0 <= each < 3 and column < len(KEYBOARD[each])]  # fmt: skip
            return str(rng.choice(near))
    return letter


def swapped(rng: np.random.Generator, word: str) -> str:
    at = int(rng.integers(0, len(word) - 1))
    return word[:at] + word[at + 1] + word[at] + word[at + 2 :]


def omitted(rng: np.random.Generator, word: str) -> str:
    at = int(rng.integers(1, len(word)))
    return word[:at] + word[at + 1 :]


def doubled(rng: np.random.Generator, word: str) -> str:
    at = int(rng.integers(0, len(word)))
    return word[: at + 1] + word[at:]


def mistaken(rng: np.random.Generator, word: str) -> str:
    at = int(rng.integers(0, len(word)))
    return word[:at] + _neighbour(rng, word[at]) + word[at + 1 :]


def _in_a_word(
    slip: Callable[[np.random.Generator, str], str],
) -> Callable[[np.random.Generator, str, str], str | None]:
    def inject(rng: np.random.Generator, text: str, trigger: str) -> str | None:
        words = _words(text, trigger)
        if not words:
            return None
        at, word = words[int(rng.integers(len(words)))]
        wrong = slip(rng, word)
        return None if wrong == word else text[:at] + wrong + text[at + len(word) :]

    return inject


def _in_the_trigger(
    slip: Callable[[np.random.Generator, str], str],
) -> Callable[[np.random.Generator, str, str], str | None]:
    def inject(rng: np.random.Generator, text: str, trigger: str) -> str | None:
        wrong = slip(rng, trigger)
        return None if wrong == trigger else text.replace(trigger, wrong, 1)

    return inject


def _in_a_code(
    slip: Callable[[np.random.Generator, str], str],
) -> Callable[[np.random.Generator, str, str], str | None]:
    """`slip` gets "#rrggbb"."""

    def inject(rng: np.random.Generator, text: str, trigger: str) -> str | None:
        places = _codes(text)
        if not places:
            return None
        at = int(rng.choice(places))
        code = text[at : at + 7]
        wrong = slip(rng, code)
        return None if wrong == code else text[:at] + wrong + text[at + 7 :]

    return inject


def _between_tags(mark: str) -> Callable[[np.random.Generator, str, str], str | None]:
    """The mark in place of one ", "."""

    def inject(rng: np.random.Generator, text: str, trigger: str) -> str | None:
        places = [at for at in range(len(text)) if text.startswith(", ", at)]
        if not places:
            return None
        at = int(rng.choice(places))
        return text[:at] + mark + text[at + 2 :]

    return inject


def _between_words(mark: str) -> Callable[[np.random.Generator, str, str], str | None]:
    def inject(rng: np.random.Generator, text: str, trigger: str) -> str | None:
        places = [at for at in range(1, len(text)) if text[at] == " " and text[at - 1].isalpha()]
        if not places:
            return None
        at = int(rng.choice(places))
        return text[:at] + mark + text[at + 1 :]

    return inject


def _forgotten_comma(rng: np.random.Generator, text: str, trigger: str) -> str | None:
    return _between_tags(" ")(rng, text, trigger) if len(_tags(text)) > 6 else None


def _grown_together(rng: np.random.Generator, text: str, trigger: str) -> str | None:
    pairs = [
        at
        for at in range(1, len(text) - 1)
        if text[at] == " " and text[:at].split(" ")[-1].isalpha() and text[at + 1 :].split(" ")[0].strip(",").isalpha()
        and not text[:at].endswith(trigger)
    ]  # fmt: skip
    pairs = [at for at in pairs if len(text[:at].split(" ")[-1]) > 2 and len(text[at + 1 :].split(" ")[0]) > 2]
    if not pairs:
        return None
    at = int(rng.choice(pairs))
    return text[:at] + text[at + 1 :]


def _torn(rng: np.random.Generator, word: str) -> str:
    at = int(rng.integers(2, len(word) - 1))
    return f"{word[:at]} {word[at:]}"


def _forgotten_tag(*marks: str) -> Callable[[np.random.Generator, str, str], str | None]:
    def inject(rng: np.random.Generator, text: str, trigger: str) -> str | None:
        tags = _tags(text)
        kept = [tag for tag in tags if not any(mark in tag for mark in marks)]
        return ", ".join(kept) if len(tags) >= 6 and 0 < len(tags) - len(kept) <= 2 and kept[0] == tags[0] else None

    return inject


_MOODS = ("smile", "frown", "expression", "grin", "pout", "angry", "closed mouth", "expressionless")


def _second_mood(rng: np.random.Generator, text: str, trigger: str) -> str | None:
    happy = any(mark in text for mark in ("smile", "grin", "happy", "smiling"))
    sad = any(mark in text for mark in ("sad", "frown"))
    if not happy and not sad:
        return None
    other = "crying" if happy else "big smile"
    tags = _tags(text)
    at = next((at for at, tag in enumerate(tags) if any(mark in tag for mark in _MOODS) or "smiling" in tag), None)
    return None if at is None else ", ".join([*tags[: at + 1], other, *tags[at + 1 :]])


def _moved_tag(rng: np.random.Generator, text: str, trigger: str) -> str | None:
    """One described part is dragged to another place."""
    tags = _tags(text)
    described = [at for at, tag in enumerate(tags) if at > 1 and any(
        noun in tag for noun in (" hair", "background", "skin", "shirt", " eyes"))]  # fmt: skip
    if len(described) < 3:
        return None
    tag = tags.pop(int(rng.choice(described[:2])))
    tags.append(tag)
    return ", ".join(tags) if tags[0].startswith(trigger) else None


def _trigger_last(rng: np.random.Generator, text: str, trigger: str) -> str | None:
    tags = _tags(text)
    return ", ".join([*tags[1:], trigger]) if tags[0] == trigger else None


def _no_trigger(rng: np.random.Generator, text: str, trigger: str) -> str | None:
    return (
        text.replace(f"{trigger}, ", "", 1) if text.startswith(f"{trigger}, ") else text.replace(f"{trigger} ", "", 1)
    )


def _copied_tag(rng: np.random.Generator, text: str, trigger: str) -> str | None:
    tags = _tags(text)
    at = int(rng.integers(1, len(tags)))
    return ", ".join([*tags, tags[at]]) if len(tags) > 3 else None


def _fewer_codes(rng: np.random.Generator, text: str, trigger: str) -> str | None:
    return text[: text.index(", palette")] if ", palette" in text else None


def _capital(rng: np.random.Generator, word: str) -> str:
    return word.capitalize()


def _shouted(rng: np.random.Generator, text: str, trigger: str) -> str | None:
    tags = _tags(text)
    at = int(rng.integers(1, len(tags))) if len(tags) > 1 else 0
    loud = tags[at].upper() if "#" not in tags[at] else tags[at].title()
    return None if loud == tags[at] or trigger in tags[at] else ", ".join([*tags[:at], loud, *tags[at + 1 :]])


def _sentence(rng: np.random.Generator, text: str, trigger: str) -> str | None:
    tags = _tags(text)
    if len(tags) < 8:
        return None
    return f"{tags[0]} this is a picture that shows {' and also '.join(tags[2:])} in the middle of the frame"


def _third_digit(rng: np.random.Generator, code: str) -> str:
    return code[:4]


def _other_high_digit(rng: np.random.Generator, code: str) -> str:
    at = int(rng.choice([1, 3, 5]))
    digit = HEX[(int(code[at], 16) + int(rng.integers(5, 11))) % 16]
    return code[:at] + digit + code[at + 1 :]


def _other_last_digit(rng: np.random.Generator, code: str) -> str:
    at = int(rng.choice([2, 4, 6]))
    value = int(code[at], 16)
    return code[:at] + HEX[value + 1 if value < 15 else 14] + code[at + 1 :]


def _pasted_story(rng: np.random.Generator, text: str, trigger: str) -> str | None:
    story = (
        ", she was born in a small village by the river and left it early to see the world and its wonders, "
        "later she became the captain of a ship that sailed far beyond the charts of her time, and many songs tell "
        "of her travels and of the treasures that she brought home"
    )
    return text + story * 3


def _cut(at: int) -> Callable[[np.random.Generator, str], str]:
    return lambda _, code: code[:at] + code[at + 1 :]


ABSENT = frozenset({"hex-absent"})
INVALID = frozenset({"hex-invalid"})
SPELLING = frozenset({"spelling"})
TRIGGER = frozenset({"trigger-misspelt"})
SPACING = frozenset({"spacing"})

TYPED: tuple[Fault, ...] = (
    Fault("letters swapped", SPELLING, _in_a_word(swapped), LOST_WORD),
    Fault("letter left out", SPELLING, _in_a_word(omitted), LOST_WORD),
    Fault("letter doubled", SPELLING, _in_a_word(doubled), LOST_WORD),
    Fault("wrong key", SPELLING, _in_a_word(mistaken), LOST_WORD),
    Fault("no space between words", SPELLING, _grown_together, LOST_WORD),
    Fault("space within a word", SPELLING, _in_a_word(_torn), LOST_WORD),
    Fault("trigger: letters swapped", TRIGGER, _in_the_trigger(swapped)),
    Fault("trigger: letter left out", TRIGGER, _in_the_trigger(omitted)),
    Fault("trigger: wrong key", TRIGGER, _in_the_trigger(mistaken)),
    Fault("trigger: torn apart", TRIGGER, _in_the_trigger(_torn)),
    Fault("trigger: capital", frozenset({"trigger-case"}), _in_the_trigger(_capital)),
    Fault("trigger: forgotten", frozenset({"trigger-missing"}), _no_trigger),
    Fault("trigger: last", frozenset({"trigger-place"}), _trigger_last, frozenset({"tag-order"})),
    Fault("code: digit left out", INVALID, _in_a_code(lambda rng, code: _cut(int(rng.integers(1, 7)))(rng, code))),
    Fault("code: digit doubled", INVALID, _in_a_code(lambda rng, code: "#" + doubled(rng, code[1:]))),
    Fault("code: letter beyond f", INVALID,
          _in_a_code(lambda rng, code: code[:3] + str(rng.choice(list("gtvr"))) + code[4:])),
    Fault("code: O for 0", INVALID, _in_a_code(lambda _, code: code.replace("0", "o", 1))),
    Fault("code: no #", frozenset({"hex-form", "hex-invalid"}), _in_a_code(
        lambda _, code: code[1:] if any(map(str.isdigit, code)) and any(map(str.isalpha, code)) else code)),
    Fault("code: ##", frozenset({"hex-form"}), _in_a_code(lambda _, code: "#" + code)),
    Fault("code: space after #", frozenset({"hex-form"}), _in_a_code(lambda _, code: "# " + code[1:])),
    Fault("code: capitals", frozenset({"hex-form"}), _in_a_code(lambda _, code: code.upper())),
    Fault("code: three digits", frozenset({"hex-form", "hex-absent"}), _in_a_code(_third_digit),
          frozenset({"hex-absent", "hex-inexact", "hex-form"})),
    Fault("code: another colour", ABSENT | {"hex-inexact"}, _in_a_code(_other_high_digit)),
    Fault("code: last digit", ABSENT | {"hex-inexact"}, _in_a_code(_other_last_digit)),
    Fault("code: forgotten ones", frozenset({"hex-count"}), _fewer_codes),
    Fault("lips forgotten", frozenset({"lips-missing"}), _forgotten_tag("lips"), frozenset({"hex-count"})),
    Fault("expression forgotten", frozenset({"expression-missing"}), _forgotten_tag(*_MOODS)),
    Fault("two expressions", frozenset({"expression-conflict"}), _second_mood),
    Fault("comma forgotten", frozenset({"missing-separator"}), _forgotten_comma,
          LOST_WORD | {"trigger-misspelt", "expression-missing"}),
    Fault("comma doubled", frozenset({"loose-separator"}), _between_tags(",, "), SPACING),
    Fault("comma at the end", frozenset({"loose-separator"}), lambda _, text, __: text + ","),
    Fault("semicolon for a comma", frozenset({"other-separator"}), _between_tags("; "), LOST_WORD),
    Fault("full stop for a comma", frozenset({"other-separator"}), _between_tags(". "), LOST_WORD),
    Fault("no space after a comma", SPACING, _between_tags(",")),
    Fault("space before a comma", SPACING, _between_tags(" , ")),
    Fault("two spaces", SPACING, _between_words("  ")),
    Fault("tab", SPACING, _between_words("\t")),
    Fault("space at the end", SPACING, lambda _, text, __: text + " "),
    Fault("tag twice", frozenset({"repeated-tag"}), _copied_tag),
    Fault("tag dragged away", frozenset({"tag-order"}), _moved_tag),
    Fault("capital", frozenset({"letter-case"}), _in_a_word(_capital)),
    Fault("capitals", frozenset({"letter-case"}), _shouted, frozenset({"hex-form"})),
    Fault("underscore", frozenset({"underscores"}), _between_words("_")),
    Fault("sentence among tags", frozenset({"caption-style"}), _sentence,
          LOST_WORD | {"tag-order", "trigger-misspelt", "missing-separator", "expression-conflict", "hex-count"}),
    Fault("no-break space", frozenset({"typography"}), _between_words("\u00a0")),
    Fault("curly quotes", frozenset({"typography"}), lambda _, text, __: text + ", \u201cportrait\u201d"),
    Fault("full-width comma", frozenset({"typography"}), _between_tags("\uff0c"), LOST_WORD | {"missing-separator"}),
    Fault("zero-width space", frozenset({"invisible-characters"}), _between_words(" \u200b")),
    Fault("byte order mark", frozenset({"invisible-characters"}), lambda _, text, __: "\ufeff" + text),
    Fault("line end in the middle", frozenset({"second-line"}), _between_tags(",\n"),
          LOST_WORD | {"hex-count", "caption-style", "loose-separator", "duplicate-caption"}),
    Fault("empty file", frozenset({"empty-caption"}), lambda _, __, ___: ""),
    Fault("story pasted", frozenset({"too-many-tokens"}), _pasted_story,
          frozenset({"caption-style", "repeated-tag", "spelling", "tag-order", "letter-case"})),
)  # fmt: skip
