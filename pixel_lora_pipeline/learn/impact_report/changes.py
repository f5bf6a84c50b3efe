"""What is new since the last report."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from pixel_lora_pipeline.learn.impact_report.finding import CATEGORIES, Finding
from pixel_lora_pipeline.learn.impact_report.shown import counted, joined, listed, shown_name

# How much each word says: what nothing is known of says least.
_SAYS: Final = {
    category: rank for rank, category in enumerate(("INSUFFICIENT", "NONE", "MODERATE", "HIGH", "CRITICAL"))
}
_GONE: Final = "revoked"


def changes_since(
    previous: Mapping[str, Any] | None,
    schema: int,
    run_names: Sequence[str],
    findings: Sequence[Finding],
    principles: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Compare with the document of the last report.

    Returns
    -------
    dict
        ``since``: when that was written, None for the first report or one that cannot be compared; ``sentence``;
        ``new_runs``, ``gone_runs``: names; ``moved``: findings whose category changed; ``separated``: parameters
        that could not be told apart and now can; ``principles``: new ones and those whose status changed; ``method``:
        the version before, if it was another.
    """
    empty: dict[str, Any] = {
        "since": None,
        "new_runs": [],
        "gone_runs": [],
        "moved": [],
        "separated": [],
        "principles": [],
        "method": None,
    }
    if previous is None:
        return {**empty, "sentence": "This is the first report."}
    if previous.get("schema") != schema:
        return {**empty, "sentence": "The last report was written by another version and cannot be compared."}
    before_names, now_names = set(previous["run_names"]), set(run_names)
    before = _by_parameter(previous["findings"])
    changes = {
        "since": previous["created_at"],
        "new_runs": [name for name in run_names if name not in before_names],
        "gone_runs": [name for name in previous["run_names"] if name not in now_names],
        "moved": _moved(before, findings),
        "separated": _separated(before, findings),
        "principles": _principles(previous["principles"], principles),
        "method": _other_method(previous, findings),
    }
    return {**changes, "sentence": _sentence(changes)}


def _by_parameter(findings: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], Mapping[str, Any]]:
    return {(finding["metric"], name): finding for finding in findings for name in finding["parameters"]}


def _moved(before: Mapping[tuple[str, str], Mapping[str, Any]], findings: Iterable[Finding]) -> list[dict[str, Any]]:
    moved = []
    for finding in findings:
        earlier = next((before[key] for name in finding.parameters if (key := (finding.metric, name)) in before), None)
        if earlier is None or earlier["category"] == finding.category or earlier["category"] not in CATEGORIES:
            continue
        rises = _SAYS[finding.category] > _SAYS[earlier["category"]]
        moved.append(
            {
                "parameters": list(finding.parameters),
                "metric": finding.metric,
                "direction": "up" if rises else "down",
                "before": {"category": earlier["category"], "pip": earlier["pip"]},
                "now": {"category": finding.category, "pip": finding.pip},
            }
        )
    return sorted(moved, key=lambda move: (-_SAYS[move["now"]["category"]], -move["now"]["pip"], move["parameters"]))


def _separated(
    before: Mapping[tuple[str, str], Mapping[str, Any]], findings: Iterable[Finding]
) -> list[dict[str, Any]]:
    """Classes of aliases that have fallen apart, a row each, of the first metric that shows it."""
    now = {(finding.metric, name): finding.parameters for finding in findings for name in finding.parameters}
    apart: dict[tuple[str, ...], str] = {}
    for (metric, _), earlier in before.items():
        together = tuple(earlier["parameters"])
        classes = {now[metric, name] for name in together if (metric, name) in now}
        if len(classes) > 1:
            apart.setdefault(together, metric)
    return [{"parameters": list(together), "metric": metric} for together, metric in sorted(apart.items())]


def _principles(before: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    known = {principle["statement"]: principle["status"] for principle in before}
    changed = [
        {**principle, "before": known.get(principle["statement"])}
        for principle in now
        if known.get(principle["statement"]) != principle["status"]
    ]
    stated = {principle["statement"] for principle in now}
    dropped = [
        {**principle, "before": principle["status"], "status": _GONE, "reason": "It is not stated any more."}
        for principle in before
        if principle["statement"] not in stated and principle["status"] != _GONE
    ]
    return changed + dropped


def _other_method(previous: Mapping[str, Any], findings: Sequence[Finding]) -> str | None:
    now = {finding.method_version for finding in findings}
    before = {str(version) for version in previous["method"]["versions"]}
    return None if before == now or not before or not now else listed(sorted(before))


def _sentence(changes: Mapping[str, Any]) -> str:
    parts = []
    if changes["new_runs"]:
        parts.append(f"{counted(len(changes['new_runs']), 'new run')}")
    if changes["gone_runs"]:
        parts.append(f"{counted(len(changes['gone_runs']), 'run')} fewer")
    for move in changes["moved"][:3]:
        parts.append(
            f"{joined(move['parameters'])} went from {move['before']['category']} to {move['now']['category']} on "
            f"{shown_name(move['metric'])}"
        )
    if len(changes["moved"]) > 3:
        parts.append(f"{len(changes['moved']) - 3} more verdicts changed")
    if changes["separated"]:
        parts.append(f"{counted(len(changes['separated']), 'group')} of parameters can now be told apart")
    if changes["principles"]:
        parts.append(f"{counted(len(changes['principles']), 'change')} of principles")
    if changes["method"]:
        parts.append("the method of judging changed")
    if not parts:
        return "Nothing new since the last report."
    return f"Since the last report: {listed(parts)}."
