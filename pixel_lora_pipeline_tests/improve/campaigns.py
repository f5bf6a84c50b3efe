"""Small campaigns of which the truth is known."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

SPACE: dict[str, Any] = {
    "network_dim": [8, 16, 32, 64, 128],
    "learning_rate": {"low": 1e-5, "high": 1e-3, "log": True},
    "keep_tokens": [0, 1, 2, 3, 4],
    "optimizer_type": ["AdamW8bit", "Prodigy", "Lion"],
}
NOISE = 1.0


def quality(run: Mapping[str, Any]) -> float:
    """Best, with 90, at a small network, a learning rate of 1e-4, three tokens and AdamW8bit."""
    return float(
        90
        - 6 * max(np.log2(run["network_dim"] / 16), 0)
        - 12 * abs(np.log10(run["learning_rate"] / 1e-4))
        - 3 * (run["keep_tokens"] - 3) ** 2
        - {"AdamW8bit": 0, "Prodigy": 2, "Lion": 10}[run["optimizer_type"]]
    )


def a_history(n: int = 8, seed: int = 0, truth: Callable[[Mapping[str, Any]], float] = quality) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    runs = [
        {
            "run_name": f"run_{at}",
            "network_dim": int(random.choice(SPACE["network_dim"])),
            "learning_rate": float(10 ** random.uniform(-5, -3)),
            "keep_tokens": int(random.integers(5)),
            "optimizer_type": str(random.choice(SPACE["optimizer_type"])),
        }
        for at in range(n)
    ]
    return pd.DataFrame([{**run, "quality_score": truth(run) + random.normal(0, NOISE)} for run in runs])


@dataclass(frozen=True)
class Rule:
    """What a search wants to know of a principle."""

    holds: Callable[[Mapping[str, Any]], bool | None]
    status: str
    effect: float | None = 15.0
    metric: str = "quality_score"

    def holds_for(self, parameters: Mapping[str, Any]) -> bool | None:
        return self.holds(parameters)
