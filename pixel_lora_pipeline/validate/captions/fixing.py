"""Captions with what can be put right put right."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from pixel_lora_pipeline.validate.captions.catalogue import check_captions
from pixel_lora_pipeline.validate.captions.check import TIERS, Edit, Finding, Tier
from pixel_lora_pipeline.validate.captions.corpus import Corpus

# What one repair uncovers is repaired in the next round. Each takes something away or makes it usual, so that two or
# three are enough; the bound is for repairs that would go round in circles.
_MOST_ROUNDS: Final = 6


@dataclass(frozen=True)
class Fixed:
    """A file's new text, and the ids of the checks that led to it."""

    text: str
    reasons: tuple[str, ...]


def fix_captions(corpus: Corpus, tier: Tier = "safe") -> dict[str, Fixed]:
    """The texts of the files that change, by name.

    Edits are applied until none is left, so that fixing what was fixed changes nothing.

    Parameters
    ----------
    tier
        "safe" for what may be done unasked, "suggested" for what a person has agreed to as well.
    """
    allowed = TIERS[: TIERS.index(tier) + 1]
    fixed: dict[str, Fixed] = {}
    for _ in range(_MOST_ROUNDS):
        changed = _one_round(corpus, [each for each in check_captions(corpus) if each.tier in allowed and each.edits])
        if not changed:
            break
        for name, each in changed.items():
            earlier = fixed[name].reasons if name in fixed else ()
            fixed[name] = Fixed(each.text, tuple(dict.fromkeys((*earlier, *each.reasons))))
        corpus = _with_texts(corpus, changed)
    return fixed


def _one_round(corpus: Corpus, findings: Sequence[Finding]) -> dict[str, Fixed]:
    """Of edits in one place the first check's is made; the next round sees what is left to do."""
    by_file: dict[str, list[Finding]] = {}
    for finding in findings:
        by_file.setdefault(finding.files[0], []).append(finding)
    changed = {}
    for name, own in by_file.items():
        taken: list[Edit] = []
        reasons: list[str] = []
        for finding in own:
            if not any(_overlap(edit, other) for edit in finding.edits for other in taken):
                taken.extend(finding.edits)
                reasons.append(finding.check_id)
        before = corpus.by_name[name].text
        assert before is not None  # noqa: S101 - what has edits has a text
        after = apply_edits(before, taken)
        if after != before:
            changed[name] = Fixed(after, tuple(reasons))
    return changed


def _overlap(one: Edit, other: Edit) -> bool:
    """Whether two edits touch: what joins on to a changed place may not be right there any more."""
    return one.start <= other.end and other.start <= one.end


def apply_edits(text: str, edits: Sequence[Edit]) -> str:
    """The text with edits made that do not overlap."""
    for edit in sorted(edits, key=lambda each: (each.start, each.end), reverse=True):
        text = text[: edit.start] + edit.text + text[edit.end :]
    return text


def _with_texts(corpus: Corpus, changed: Mapping[str, Fixed]) -> Corpus:
    pictures = [
        replace(each, text=changed[each.name].text) if each.name in changed else each for each in corpus.pictures
    ]
    return Corpus(pictures, corpus.rules, corpus.encoders)
