"""The report as markdown, in the form of the roadmap's example."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from pixel_lora_pipeline.analyze.report.frame import probability
from pixel_lora_pipeline.learn.impact_report.shown import figure, joined, listed, shown_name

# Whatever is markup inside a line: names and values come from anywhere. An underscore inside a word is none.
_MARKUP: Final = re.compile(r"[\\`*\[\]#|~$<]|&(?=#?\w+;)|:(?=//)|(?<![^\W_])_|_(?![^\W_])|(?<=\bwww)\.", re.IGNORECASE)
# What makes a line a list, a quotation or a heading.
_FIRST: Final = re.compile(r"^([-+=>]|\d{1,9}(?=[.)](\s|$)))")
# Forges and chats ring for "@name", and make a link of "name@host".
_AT: Final = "\N{FULLWIDTH COMMERCIAL AT}"
_MOST_RUNS: Final = 12
_MOST_ROWS: Final = 60
_MOST_ENTRIES: Final = 12

_SECTIONS: Final = {
    "critical": ("Critical Parameters (Change These to Fix Issues)", "No parameter can be called critical yet."),
    "secondary": ("Secondary Parameters (Fine-tuning)", "None."),
    "non_critical": (
        "Non-Critical Parameters (Don't Worry About These)",
        "Of no parameter it is known that it does nothing.",
    ),
}


def impact_markdown(document: Mapping[str, Any]) -> str:
    """The whole report."""
    lines = [*_opening(document)]
    for key, (title, nothing) in _SECTIONS.items():
        lines += ["", f"## {title}"]
        lines += [line for entry in document[key][:_MOST_ENTRIES] for line in _entry(entry, document)] or ["", nothing]
        lines += _in_short(document[key][_MOST_ENTRIES:])
    for part in (_untold, _experiments, _interactions, _principles, _method, _runs):
        lines += part(document)
    return "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    """Text within a line in which no character means anything to markdown."""
    return _MARKUP.sub(lambda found: f"\\{found[0]}", " ".join(text.split()).replace("@", _AT))


def paragraph(text: str) -> str:
    """The same at the beginning of a line or an item."""
    inside = escaped(text)
    return _FIRST.sub(lambda found: f"{found[0]}\\" if found[0].isdigit() else f"\\{found[0]}", inside)


def _opening(document: Mapping[str, Any]) -> Iterator[str]:
    verdict, changes = document["verdict"], document["changes"]
    yield f"# Parameter Impact Report - Generated {document['created_at'][:10]}"
    yield ""
    sure = (
        ""
        if verdict["confidence"] is None
        else f" ({probability(verdict['confidence'])} sure {escaped(verdict['meaning'])})"
    )
    yield f"**{escaped(verdict['text'])}**{sure}"
    yield ""
    yield paragraph(verdict["reason"])
    if document["recommendations"]:
        yield ""
        yield from (f"- {paragraph(text)}" for text in document["recommendations"])
    yield ""
    yield "## What Changed"
    yield ""
    yield paragraph(changes["sentence"])
    told = list(_changes(changes))
    if told:
        yield ""
        yield from told


def _changes(changes: Mapping[str, Any]) -> Iterator[str]:
    for key, label in (("new_runs", "New runs"), ("gone_runs", "Runs that are gone")):
        if changes[key]:
            yield f"- {label}: {escaped(listed(map(shown_name, changes[key]), most=_MOST_RUNS))}"
    for move in changes["moved"]:
        before, now = (f"{each['category']} ({probability(each['pip'])})" for each in (move["before"], move["now"]))
        told = f"{joined(move['parameters'])} on {shown_name(move['metric'])}: {move['direction']}, {before} → {now}"
        yield f"- {paragraph(told)}"
    for apart in changes["separated"]:
        yield f"- {paragraph(joined(apart['parameters']))} can now be told apart"
    for principle in changes["principles"]:
        before = f"{principle['before']} → " if principle["before"] else "new: "
        yield f"- Principle: {escaped(principle['statement'])} ({escaped(before + principle['status'])})"
    if changes["method"]:
        yield f"- The method of judging changed; before it was version {escaped(changes['method'])}"


def _entry(entry: Mapping[str, Any], document: Mapping[str, Any]) -> Iterator[str]:
    yield ""
    yield f"### {escaped(entry['title'])}"
    for label, text in (
        ("Impact", entry["impact"]),
        ("Correlation", entry["correlation"]),
        ("Finding", entry["finding"]),
        ("Recommendation", entry["recommendation"]),
        ("Rule", entry["rule"]),
        ("Evidence", entry["evidence"]),
    ):
        if text:
            yield f"- **{label}:** {escaped(text)}"
    runs = [_names(entry[side], document) for side in ("runs_low", "runs_high")]
    if any(runs):
        yield f"- **Runs:** {escaped(' against '.join(runs))}"
    yield from (f"- **Note:** {escaped(note)}" for note in entry["notes"])
    if entry["on_other_metrics"]:
        yield f"- **On other metrics:** {escaped(' · '.join(entry['on_other_metrics']))}"


def _in_short(entries: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if entries:
        yield ""
        yield from _table(
            ["Parameter", "Impact", "Recommendation"],
            ([entry["title"], entry["impact"], entry["recommendation"]] for entry in entries),
        )


def _names(side: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    names = [shown_name(document["run_names"][row]) for row in side["rows"][:_MOST_RUNS]]
    return listed([*names, f"{side['n'] - len(names)} more"] if side["n"] > len(names) else names)


def _untold(document: Mapping[str, Any]) -> Iterator[str]:
    told = document["untold"]
    yield from ("", "## What Could Not Be Told")
    if told["open"]:
        yield ""
        yield from _table(
            [
                "Parameter",
                "Metric",
                "Probability",
                "Configurations",
                "Would have been seen",
                "Runs still needed",
                "Because",
            ],
            (
                [
                    row["title"],
                    shown_name(row["metric"]),
                    probability(row["pip"]),
                    f"{row['n_low']} / {row['n_high']}",
                    row["detectable"],
                    row["needed"],
                    row["because"],
                ]
                for row in told["open"][:_MOST_ROWS]
            ),
        )
    lists = (
        ("Never varied", [f"{shown_name(each['parameter'])} = {each['value']}" for each in told["never_varied"]]),
        ("Known of no run", list(map(shown_name, told["never_known"]))),
        ("Different in every run", list(map(shown_name, told["different_in_every_run"]))),
        ("Too few runs, or the metric never varied", list(map(shown_name, told["not_judged"]))),
    )
    for label, names in lists:
        if names:
            yield from ("", f"**{label}:** {escaped(listed(names, most=_MOST_ROWS))}")
    if not told["open"] and not any(names for _, names in lists):
        yield from ("", "Nothing: every parameter has a verdict.")


def _experiments(document: Mapping[str, Any]) -> Iterator[str]:
    if document["experiments"]:
        yield from ("", "## Cheapest Experiments", "")
        for number, experiment in enumerate(document["experiments"][:_MOST_ROWS], 1):
            yield f"{number}. {paragraph(experiment['sentence'])}"


def _interactions(document: Mapping[str, Any]) -> Iterator[str]:
    if document["interactions"]:
        yield from ("", "## Interactions Named by the Documents", "")
        for each in document["interactions"]:
            yield f"- **{escaped(each['product'])}** ({escaped(each['reason'])}): {escaped(each['sentence'])}"


def _principles(document: Mapping[str, Any]) -> Iterator[str]:
    if document["principles"]:
        yield from ("", "## Principles", "")
        for each in document["principles"]:
            reason = f": {each['reason']}" if each["reason"] else ""
            yield f"- {paragraph(each['statement'])} ({escaped(each['status'])}){escaped(reason)}"


def _method(document: Mapping[str, Any]) -> Iterator[str]:
    yield from ("", "## Method and Its Limits", "")
    for label, text in document["method"]["texts"].items():
        yield f"- **{label}:** {escaped(text)}"
    for each in document["method"]["metrics"]:
        yield f"- **{escaped(shown_name(each['metric']))}:** {escaped(each['sentence'])}"


def _runs(document: Mapping[str, Any]) -> Iterator[str]:
    rows, parameters = document["runs"]["rows"], document["runs"]["parameters"]
    yield from ("", "## Runs", "")
    if not rows:
        yield "None."
        return
    yield from _table(
        ["Run", "Date", *map(shown_name, document["metrics"]), *map(shown_name, parameters)],
        (
            [shown_name(row["name"]), row["date"] or "–", *map(figure, row["metrics"]), *row["parameters"]]
            for row in rows[-_MOST_ROWS:]
        ),
    )
    if len(rows) > _MOST_ROWS:
        yield from ("", f"The newest {_MOST_ROWS} of {document['n_runs']} runs.")


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(map(escaped, head))} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(map(escaped, row))} |"
