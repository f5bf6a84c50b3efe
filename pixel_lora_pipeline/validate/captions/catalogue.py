"""All checks of captions, in the order in which their findings are shown."""

from collections.abc import Iterator
from typing import Final

from pixel_lora_pipeline.validate.captions import (
    described_parts,
    formatting,
    hex_codes,
    kept_tags,
    pairs,
    spelling,
    tag_list,
    token_count,
    trigger,
)
from pixel_lora_pipeline.validate.captions.check import Check, Finding, found_by
from pixel_lora_pipeline.validate.captions.corpus import Corpus

CHECKS: Final[tuple[Check, ...]] = (
    *pairs.CHECKS,
    *trigger.CHECKS,
    *hex_codes.CHECKS,
    *described_parts.CHECKS,
    *kept_tags.CHECKS,
    *token_count.CHECKS,
    *spelling.CHECKS,
    *tag_list.CHECKS,
    *formatting.CHECKS,
)


def check_captions(corpus: Corpus) -> list[Finding]:
    """What is wrong with the captions, but for what the dataset's own rules ignore.

    Raises
    ------
    ValueError
        If these name a check that does not exist.
    """
    return list(_findings(corpus))


def _findings(corpus: Corpus) -> Iterator[Finding]:
    rules = corpus.rules
    known = {check.check_id for check in CHECKS}
    unknown = sorted({*rules.ignore, *rules.waived} - known)
    if unknown:
        raise ValueError(f"captions.toml names a check {unknown[0]!r}; there are {', '.join(sorted(known))}.")
    for check in CHECKS:
        if check.check_id in rules.ignore:
            continue
        waived = set(rules.waived.get(check.check_id, ()))
        for finding in found_by(check, corpus):
            if not (finding.files and waived.issuperset(finding.files)):
                yield finding
