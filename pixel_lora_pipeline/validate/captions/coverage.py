"""What a dataset can teach: which colours and attributes its captions name, how often, and beside what."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal, TypeAlias

import numpy as np

from pixel_lora_pipeline.validate.captions.corpus import Corpus
from pixel_lora_pipeline.validate.colorspace import delta_e, rgb_of_hex
from pixel_lora_pipeline.validate.named_colors import NAMED_COLORS, SKIN_TONES, SYNONYMS

FEW: Final = 5
"""Pictures of a colour below which what they happen to share is learnt with it."""

# Colours that hair has and the common colour words do not tell apart.
_HAIR_COLORS: Final = {**NAMED_COLORS, **{name: SYNONYMS[name] for name in ("blonde", "ginger", "silver")}}

Teaching: TypeAlias = Literal["taught", "few", "tied", "not taught"]


@dataclass(frozen=True)
class ColorCount:
    """How often a region has a colour.

    Attributes
    ----------
    name, hex
        Of the named colour; the captions' colours count for the nearest.
    n
        Captions.
    teaching
        "not taught" if there is none, "few" below `FEW`, "tied" if all of them share one background.
    tied_to
        That background.
    """

    name: str
    hex: str
    n: int
    teaching: Teaching
    tied_to: str | None = None


@dataclass(frozen=True)
class Coverage:
    """What captions name, by region, and by accessory and expression the number of captions."""

    n_captions: int
    colors: Mapping[str, tuple[ColorCount, ...]]
    accessories: Mapping[str, int]
    expressions: Mapping[str, int]

    @property
    def hair_not_taught(self) -> list[str]:
        """The hair colours that no caption names."""
        return [each.name for each in self.colors["hair"] if each.teaching == "not taught"]


def coverage(corpus: Corpus) -> Coverage:
    """Count what the captions of a dataset name."""
    backgrounds = {
        name: nearest_name(color, "background") for name, color in corpus.colors_of("background").items() if color
    }
    tables = {"hair": _HAIR_COLORS, "background": NAMED_COLORS, "skin": SKIN_TONES}
    return Coverage(
        n_captions=len(corpus.written),
        colors={
            region: tuple(_counted(region, corpus.colors_of(region), table, backgrounds))
            for region, table in tables.items()
        },
        accessories=Counter(
            name for caption in corpus.written for tag in caption.tags for name in tag.asks_for.accessories
        ),
        expressions=Counter(
            name for stated in corpus.expressions.values() for name in dict.fromkeys(each for _, each in stated)
        ),
    )


def _counted(
    region: str, stated: Mapping[str, str | None], table: Mapping[str, str], backgrounds: Mapping[str, str]
) -> Iterable[ColorCount]:
    by_name: dict[str, list[str]] = defaultdict(list)
    for caption, color in stated.items():
        if color is not None:
            by_name[nearest_name(color, region)].append(caption)
    for name, color in table.items():
        captions = by_name[name]
        beside = Counter(backgrounds[caption] for caption in captions if caption in backgrounds)
        tied = region == "hair" and len(captions) > 1 and len(beside) == 1 and beside.total() == len(captions)
        teaching: Teaching = (
            "not taught" if not captions else "tied" if tied else "few" if len(captions) < FEW else "taught"
        )
        yield ColorCount(name, color, len(captions), teaching, next(iter(beside)) if tied else None)


@lru_cache(maxsize=65_536)
def nearest_name(color: str, region: str) -> str:
    """The named colour of a region that is nearest to `#rrggbb`."""
    table = {"hair": _HAIR_COLORS, "skin": SKIN_TONES}.get(region, NAMED_COLORS)
    differences = delta_e(rgb_of_hex(color)[None], np.stack([rgb_of_hex(each) for each in table.values()]))
    return list(table)[int(np.argmin(differences))]
