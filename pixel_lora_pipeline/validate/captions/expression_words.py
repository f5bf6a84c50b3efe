"""The words by which captions say what a face expresses."""
# ruff: noqa: SIM905 - words are easier to read, sort and add to as running text

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

# What a face does: says it wherever it stands.
_DOING: Final[Mapping[str, str]] = {
    "happy": "smile smiles smiling smiled grin grins grinning laugh laughing laughs giggling beaming",
    "smug": "smirk smirks smirking sneer sneering",
    "sad": "frown frowns frowning cry cries crying sobbing weeping tearful pout pouting pouty",
    "angry": "scowl scowls scowling glare glaring snarl snarling",
    "afraid": "screaming terrified frightened",
    "neutral": "expressionless emotionless",
    "tired": "yawning yawn",
    "playful": "wink winking",
}
# What a face is: says it where the tag is about the face or the person. A calm background expresses nothing.
_BEING: Final[Mapping[str, str]] = {
    "happy": "happy cheerful joyful joyous amused delighted excited friendly merry content blissful warm",
    "smug": "smug cocky arrogant confident proud sly mischievous",
    "sad": "sad unhappy melancholic melancholy sorrowful depressed gloomy heartbroken upset worried disappointed",
    "angry": "angry mad furious annoyed irritated grumpy enraged fierce hostile",
    "afraid": "afraid scared fearful nervous anxious panicked horrified",
    "surprised": "surprised shocked astonished amazed startled stunned",
    "disgusted": "disgusted grossed",
    "neutral": "neutral blank calm serious stern stoic relaxed serene composed deadpan indifferent straight thoughtful "
    "pensive focused determined bored cold resting plain",
    "tired": "tired sleepy exhausted drowsy",
    "shy": "shy embarrassed bashful flustered",
    "playful": "playful teasing flirty seductive",
    "confused": "confused puzzled",
}
_FACE: Final = frozenset("expression expressions face faced facial look looking looks mood mouth emotion".split())
_PERSON: Final = frozenset(
    "man woman boy girl person guy lady character knight wizard witch warrior king queen prince princess elf "
    "portrait punk hero heroine child kid male female".split()
)
_FILLERS: Final = frozenset("a an the with and slightly slight very big small little bit of her his their is".split())
# A neutral mouth beside a proud or a tired face is no contradiction, nor a wink beside a smile.
_GO_TOGETHER: Final = frozenset(
    frozenset(pair.split())
    for pair in (
        "neutral smug,neutral tired,neutral sad,neutral angry,happy smug,happy playful,happy shy,smug playful,"
        "sad tired,sad afraid,sad shy,afraid surprised,happy surprised,surprised confused,sad confused,"
        "neutral confused,angry disgusted,shy playful,afraid confused,sad angry,neutral shy,angry smug,"
        "happy tired,neutral disgusted"
    ).split(",")
)
# "Not smiling" and "laugh lines" say nothing of what the face does.
_NO_EXPRESSION: Final = re.compile(
    r"\b(?:no|not|without|never)\s+(?:a\s+|an\s+)?[a-z]+|\b(?:laugh|smile|frown)\s+(?:lines?|wrinkles?|marks?)\b"
)
_WORD: Final = re.compile(r"[a-z]+")

CLASS_OF_DOING: Final = {word: name for name, words in _DOING.items() for word in words.split()}
CLASS_OF_BEING: Final = {word: name for name, words in _BEING.items() for word in words.split()}
EXPRESSION_WORDS: Final = CLASS_OF_DOING.keys() | CLASS_OF_BEING.keys() | _FACE


@lru_cache(maxsize=32_768)
def expression_classes(form: str) -> frozenset[str]:
    """The classes of expression that a tag names: happy, sad, angry, neutral, …; none if it is about something else.

    Of several words in one tag ("sad smile") the last one says what the face does.
    """
    words = _WORD.findall(_NO_EXPRESSION.sub(" ", form))
    doing = [CLASS_OF_DOING[word] for word in words if word in CLASS_OF_DOING]
    if doing:
        return frozenset(doing[-1:])
    being = [at for at, word in enumerate(words) if word in CLASS_OF_BEING]
    found = [
        CLASS_OF_BEING[words[at]]
        for at in being
        if all(word in _FILLERS or word in CLASS_OF_BEING for word in words) or _next_noun(words, at) in _FACE | _PERSON
    ]
    return frozenset(found[-1:])


def names_a_face(form: str) -> bool:
    """Whether a tag is about an expression, whatever it calls it."""
    words = _WORD.findall(form)
    return bool(words) and words[-1] in ("expression", "emotion", "mood")


def contradict(first: str, second: str) -> bool:
    """Whether no face can have both classes of expression."""
    return first != second and frozenset((first, second)) not in _GO_TOGETHER


def _next_noun(words: list[str], at: int) -> str:
    """The word after a run of adjectives of expression: that which they belong to."""
    return next((word for word in words[at + 1 : at + 3] if word not in CLASS_OF_BEING), "")
