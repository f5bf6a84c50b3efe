"""The queue of experiments as markdown, in the form of the roadmap's example (§4.3)."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from pixel_lora_pipeline.improve.configuration import number_of
from pixel_lora_pipeline.improve.wording import shown
from pixel_lora_pipeline.learn.impact_report.markdown import escaped

_SECTIONS: Final = {
    "HIGH": "High Priority (Run Next)",
    "MEDIUM": "Medium Priority",
    "LOW": "Low Priority / Exploratory",
}
_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_HOUR: Final = 3600.0


def queue_markdown(experiments: Sequence[Mapping[str, Any]], created_at: datetime) -> str:
    """Write the queue down.

    Parameters
    ----------
    experiments
        In their order: what `Hypothesis.to_dict` returns, and what the queue adds to it (`status`, if it is not the
        `state` any more). Whatever is missing is left out; without a known priority, an experiment is exploratory.
    created_at
        For the heading.
    """
    lines = [f"# Experiment Queue - Generated {created_at:%Y-%m-%d}"]
    lettered = [(_letter(at), experiment) for at, experiment in enumerate(_sorted(experiments))]
    for priority, title in _SECTIONS.items():
        lines += ["", f"## {title}"]
        inside = [(letter, each) for letter, each in lettered if _priority(each) == priority]
        for letter, experiment in inside:
            lines += ["", f'### Experiment {letter}: "{escaped(str(experiment.get("title") or "without a title"))}"']
            lines += [f"**{label}:** {escaped(text)}  " for label, text in experiment_fields(experiment)]
        if not inside:
            lines += ["", "Nothing at present."]
    return "\n".join(lines) + "\n"


def experiment_fields(experiment: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What a person decides an experiment by, as labels and plain texts; what is not known is left out."""
    parameters = experiment.get("parameters") or {}
    if rationale := experiment.get("rationale"):
        yield "Hypothesis", str(rationale)
    if changes := experiment.get("changes"):
        told = (f"{each['parameter']}: {shown(each.get('before'))} → {shown(each.get('after'))}" for each in changes)
        yield "Parameters to Change", ", ".join(told)
    if based_on := experiment.get("based_on"):
        yield "Based On", str(based_on)
    if expected := experiment.get("expected"):
        told = (f"{metric} {_effect(effect)}" for metric, effect in expected.items())
        yield "Expected Outcome", "; ".join(told)
    if (prediction := experiment.get("prediction")) and number_of(prediction.get("predicted")) is not None:
        yield "Predicted", f"{prediction.get('metric', 'metric')} {_figure(prediction['predicted'])}"
    if (confidence := number_of(experiment.get("confidence"))) is not None:
        yield "Confidence", f"{confidence:.0%}"
    if risk := experiment.get("risk"):
        yield "Risk", str(risk)
    if time := _hours(experiment.get("gpu_seconds")):
        epochs = number_of(parameters.get("max_train_epochs"))
        yield "Estimated GPU Time", time if epochs is None else f"{time} ({epochs:g} epochs)"
    if cost := _dollars(experiment.get("cost_usd")):
        yield "Estimated Cost", cost
    yield "Status", str(experiment.get("status") or experiment.get("state") or "PROPOSED")


def _sorted(experiments: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """By priority, else in their order: letters run through the document."""
    return sorted(experiments, key=lambda experiment: list(_SECTIONS).index(_priority(experiment)))


def _priority(experiment: Mapping[str, Any]) -> str:
    priority = str(experiment.get("priority") or "").upper()
    return priority if priority in _SECTIONS else "LOW"


def _letter(at: int) -> str:
    """A to Z, then AA."""
    rest, last = divmod(at, len(_LETTERS))
    return (_letter(rest - 1) if rest else "") + _LETTERS[last]


def _figure(value: Any) -> str:
    number = number_of(value)
    return "unknown" if number is None else f"{number:.3g}"


def _effect(effect: Mapping[str, Any]) -> str:
    low, high, mean = (number_of(effect.get(key)) for key in ("low", "high", "mean"))
    told = "unknown" if mean is None else f"{mean:+.3g}"
    return told if low is None or high is None else f"{told} ({low:+.3g} to {high:+.3g})"


def _hours(estimate: Mapping[str, Any] | None) -> str | None:
    if not estimate or (value := number_of(estimate.get("value"))) is None:
        return None
    low, high = number_of(estimate.get("low")), number_of(estimate.get("high"))
    unit, per = ("hours", _HOUR) if value >= _HOUR else ("minutes", 60.0)
    span = "" if low is None or high is None else f", {low / per:.2g} to {high / per:.2g}"
    return f"{value / per:.2g} {unit}{span}"


def _dollars(estimate: Mapping[str, Any] | None) -> str | None:
    if not estimate or (value := number_of(estimate.get("value"))) is None:
        return None
    low, high = number_of(estimate.get("low")), number_of(estimate.get("high"))
    span = "" if low is None or high is None else f", {low:.2f} to {high:.2f}"
    return f"{value:.2f} USD{span}"
