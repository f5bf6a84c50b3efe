"""What someone who uses a released checkpoint has to know of it, as the README beside the file."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pixel_lora_pipeline.analyze.comparison import Comparison
from pixel_lora_pipeline.analyze.issues import Issue
from pixel_lora_pipeline.analyze.rollup_figures import SCORES

# Tags in at least this share of all captions are what the LoRA was trained under; a few captions are always odd.
_TRIGGER_SHARE: Final = 0.95
_PARAMETERS: Final = (
    "network_dim",
    "network_alpha",
    "conv_dim",
    "conv_alpha",
    "learning_rate",
    "unet_lr",
    "text_encoder_lr",
    "optimizer_type",
    "lr_scheduler",
    "resolution",
    "img_count",
    "seed",
)


@dataclass(frozen=True)
class CardContent:
    """What a model card says.

    Attributes
    ----------
    metrics
        The epoch's rollup, in the shape of `epoch_results.quantitative_metrics`.
    strength
        At which it was measured, and which is therefore recommended.
    comparison
        With the baseline before it; None if it is the first.
    """

    run_name: str
    epoch: int | None
    file_name: str
    sha256: str
    base_model: str | None
    parameters: Mapping[str, Any]
    metrics: Mapping[str, Any]
    strength: float
    suite: str
    example_prompt: str | None
    issues: Sequence[Issue]
    comparison: Comparison | None
    released_at: datetime
    released_by: str


def trigger_words(parameters: Mapping[str, Any]) -> list[str]:
    """What a prompt has to begin with: the trigger phrase of the metadata, else the tags of nearly all captions.

    Commonest first; empty if neither is known.

    Parameters
    ----------
    parameters
        By Kohya's names; `tag_frequency` counts tags by folder.
    """
    phrase = parameters.get("metadata_trigger_phrase")
    if isinstance(phrase, str) and phrase.strip():
        return [phrase.strip()]
    images = parameters.get("img_count")
    folders = parameters.get("tag_frequency")
    if not isinstance(folders, Mapping) or not isinstance(images, int) or images < 1:
        return []
    counts: dict[str, int] = {}
    for tags in folders.values():
        for tag, count in tags.items() if isinstance(tags, Mapping) else ():
            if isinstance(count, int):
                counts[tag] = counts.get(tag, 0) + count
    common = [tag for tag, count in counts.items() if count >= _TRIGGER_SHARE * images]
    return sorted(common, key=lambda tag: -counts[tag])


def model_card(content: CardContent) -> str:
    """Markdown with the front matter that model hubs read. Texts from files appear as code, never as Markdown."""
    triggers = trigger_words(content.parameters)
    epoch = "" if content.epoch is None else f", epoch {content.epoch}"
    parts = [
        _front_matter(content, triggers),
        f"# {_code(content.run_name)}{epoch}",
        "## How to use it",
        _list(
            {
                "File": _code(content.file_name),
                "SHA-256": _code(content.sha256),
                "Base model": _code(content.base_model or "unknown"),
                "Trigger words": ", ".join(map(_code, triggers)) or "not known: the file does not say",
                "Recommended strength": f"{content.strength:g}, at which it was measured",
            }
        ),
        *([] if content.example_prompt is None else ["A prompt it was measured with:", _block(content.example_prompt)]),
        "## Figures",
        f"{content.metrics.get('n_images', '?')} images of {content.metrics.get('n_prompts', '?')} prompts of suite "
        f"{_code(content.suite)}; scores from 0 to 100, intervals 95 %.",
        _figures(content.metrics),
        *([] if content.comparison is None else [f"Against the release before it: {content.comparison.sentence}"]),
        "## Known issues",
        _issues(content.issues),
        "## Training",
        _list({name: _code(content.parameters[name]) for name in _PARAMETERS if _is_told(content.parameters, name)}),
        f"Released {content.released_at:%Y-%m-%d %H:%M %Z} by {_code(content.released_by)}.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _front_matter(content: CardContent, triggers: Sequence[str]) -> str:
    # JSON's texts are YAML's too.
    lines = ["---", "tags: [lora, pixel-art]"]
    if content.base_model:
        lines.append(f"base_model: {json.dumps(content.base_model)}")
    if triggers:
        lines.append(f"instance_prompt: {json.dumps(', '.join(triggers))}")
    return "\n".join([*lines, "---"])


def _figures(metrics: Mapping[str, Any]) -> str:
    rows = ["| Measure | Score | 95 % interval |", "|---|---:|---:|"]
    for label, path in SCORES.items():
        value, interval = _at(metrics, path), _at(metrics.get("intervals") or {}, path)
        if isinstance(value, int | float):
            between = f"{interval[0]:.1f} to {interval[1]:.1f}" if isinstance(interval, list | tuple) else ""
            rows.append(f"| {label} | {value:.1f} | {between} |")
    return "\n".join(rows)


def _issues(issues: Sequence[Issue]) -> str:
    lines = [
        f"- {issue.label}: {issue.latest.failing} of {issue.latest.judged} images ({issue.state})"
        for issue in issues
        if issue.state != "resolved"
    ]
    return "\n".join(lines) or "None of the measured failures."


def _at(document: Mapping[str, Any], path: Sequence[str]) -> Any:
    value: Any = document
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _is_told(parameters: Mapping[str, Any], name: str) -> bool:
    return parameters.get(name) is not None


def _list(items: Mapping[str, str]) -> str:
    return "\n".join(f"- {label}: {text}" for label, text in items.items())


def _code(value: object) -> str:
    """Inline code that no content can end: in a fence longer than any run of backticks inside, on one line."""
    text = " ".join(str(value).split()) or " "
    fence = "`" * (max((len(run) for run in re.findall("`+", text)), default=0) + 1)
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def _block(text: str) -> str:
    fence = "`" * max(3, max((len(run) for run in re.findall("`+", text)), default=0) + 1)
    return f"{fence}text\n{text}\n{fence}"
