"""Which failures an epoch had, from its rollup alone: for epochs whose images nobody has, and those of old runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from pixel_lora_pipeline.validate.style import FEW_COLORS

# The documents call accuracies and purities of 70 to 90 good; below they are not.
_GOOD: Final = 70.0


@dataclass(frozen=True)
class RollupSign:
    """A number of the rollup that tells of a failure of the whole epoch."""

    path: tuple[str, ...]
    fails_when: Literal["below", "above"]
    threshold: float

    def tells(self, metrics: Mapping[str, Any]) -> bool | None:
        """Whether the epoch fails by it; None if the rollup does not have it."""
        value: Any = metrics
        for key in self.path:
            value = value.get(key) if isinstance(value, Mapping) else None
        if not isinstance(value, bool | int | float):
            return None
        return value < self.threshold if self.fails_when == "below" else value > self.threshold


# By the keys of `issues.DEFINITIONS`; of several signs the first that the rollup has is believed.
_SIGNS: Final[Mapping[str, tuple[RollupSign, ...]]] = {
    "photorealism": (RollupSign(("style_quality", "photorealism_score"), "above", 50.0),),
    "low_purity": (RollupSign(("style_quality", "pixel_art_purity"), "below", _GOOD),),
    "large_palette": (RollupSign(("style_quality", "color_palette_size"), "above", float(FEW_COLORS)),),
    "wrong_background": (RollupSign(("color_accuracy", "background_accuracy"), "below", _GOOD),),
    "wrong_hair_color": (RollupSign(("color_accuracy", "hair_accuracy"), "below", _GOOD),),
    "two_toned_hair": (
        RollupSign(("color_accuracy", "hair_two_toned_share"), "above", 0.5),
        RollupSign(("color_accuracy", "hair_two_toned"), "above", 0.5),
    ),
    "missing_accessory": (RollupSign(("color_accuracy", "accessory_accuracy"), "below", _GOOD),),
}


def rollup_issues(metrics: Mapping[str, Any]) -> dict[str, bool]:
    """Whether an epoch had each failure that its `quantitative_metrics` can tell of, by the key of the issue."""
    found = {}
    for key, signs in _SIGNS.items():
        answers = [tells for sign in signs if (tells := sign.tells(metrics)) is not None]
        if answers:
            found[key] = answers[0]
    return found
