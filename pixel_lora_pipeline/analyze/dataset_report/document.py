"""The report's figures and sentences: what the page shows, and what machines read."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

from pixel_lora_pipeline.analyze.dataset_report.content import DatasetContent
from pixel_lora_pipeline.validate.captions import CHECKS, Finding
from pixel_lora_pipeline.validate.captions.coverage import FEW, ColorCount, Coverage

_REGIONS: Final = {"hair": "Hair", "background": "Background", "skin": "Skin"}


def dataset_document(content: DatasetContent) -> dict[str, Any]:
    """All of the report, JSON-ready."""
    errors = [finding for finding in content.findings if finding.severity == "error"]
    covered = content.coverage
    return {
        "kind": "dataset",
        "dataset": content.dataset,
        "created_at": content.created_at.isoformat(timespec="seconds"),
        "verdict": _verdict(content, errors),
        "recommendations": _recommendations(content, covered),
        "n_pictures": content.n_pictures,
        "n_captions": content.n_captions,
        "n_errors": len(errors),
        "n_warnings": len(content.findings) - len(errors),
        "trigger": content.trigger,
        "checks": _by_check(content.findings),
        "n_checks": len(CHECKS),
        "coverage": {
            region: {
                "title": title,
                "colors": [_color(each, covered.n_captions) for each in covered.colors[region]],
                "n_stated": sum(each.n for each in covered.colors[region]),
            }
            for region, title in _REGIONS.items()
        },
        "hair_not_taught": covered.hair_not_taught,
        "few": FEW,
        "accessories": _counts(covered.accessories, covered.n_captions),
        "expressions": _counts(covered.expressions, covered.n_captions),
    }


def _verdict(content: DatasetContent, errors: Sequence[Finding]) -> dict[str, Any]:
    if errors:
        files = {name for finding in errors for name in finding.files}
        text = "Not fit for a training yet"
        reason = f"{len(errors)} errors in {len(files)} of {content.n_captions} captions."
    else:
        text = "Fit for a training"
        reason = "No check found an error in the captions."
    return {"text": text, "reason": reason, "tone": "go on" if errors else "stop", "confidence": None}


def _recommendations(content: DatasetContent, covered: Coverage) -> list[str]:
    fixable = [finding for finding in content.findings if finding.edits]
    said = []
    if fixable:
        safe = sum(finding.tier == "safe" for finding in fixable)
        said.append(
            f"{len(fixable)} of {len(content.findings)} findings can be put right by `pixel-lora captions fix`, "
            f"{safe} of them without asking."
        )
    missing = covered.hair_not_taught
    if missing and covered.n_captions:
        said.append(f"Hair that these captions cannot teach: {', '.join(missing)}.")
    return said


def _by_check(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """Findings by check, errors first, the most frequent first."""
    groups: dict[tuple[str, str], list[Finding]] = defaultdict(list)
    for finding in findings:
        groups[finding.severity, finding.check_id].append(finding)
    return [
        {
            "check": check_id,
            "severity": severity,
            "n": len(found),
            "n_fixable": sum(bool(finding.edits) for finding in found),
            "findings": [{"files": list(each.files), "message": each.message, "tier": each.tier} for each in found],
        }
        for (severity, check_id), found in sorted(groups.items(), key=lambda item: (item[0][0], -len(item[1])))
    ]


def _color(counted: ColorCount, n_captions: int) -> dict[str, Any]:
    said = {
        "taught": "",
        "few": f"fewer than {FEW} pictures",
        "tied": f"always before a {counted.tied_to} background: the two cannot be told apart",
        "not taught": "no picture: cannot be taught",
    }[counted.teaching]
    share = counted.n / n_captions if n_captions else 0.0
    return {"name": counted.name, "hex": counted.hex, "n": counted.n, "share": share, "teaching": counted.teaching,
            "remark": said}  # fmt: skip


def _counts(counted: Any, n_captions: int) -> list[dict[str, Any]]:
    return [
        {"name": name, "n": n, "share": n / n_captions if n_captions else 0.0}
        for name, n in sorted(counted.items(), key=lambda item: (-item[1], item[0]))
    ]
