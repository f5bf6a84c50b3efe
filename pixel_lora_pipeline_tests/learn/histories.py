"""Small histories of runs in which it is known what acts."""

import numpy as np
import pandas as pd


def independent_history(n: int, seed: int, noise: float = 2.0) -> pd.DataFrame:
    """Settings that were drawn independently; quality falls by 20 above a rank of 32, and rises with kept tokens."""
    random = np.random.default_rng(seed)
    runs = pd.DataFrame(
        {
            "run_name": [f"run_{at}" for at in range(n)],
            "network_dim": random.choice([16, 32, 64, 128], n),
            "keep_tokens": random.choice([0, 1, 2, 3], n),
            "learning_rate": random.choice([5e-5, 1e-4, 2e-4], n),
            "optimizer_type": random.choice(["AdamW", "Prodigy", "Lion"], n),
            "flip_aug": random.random(n) < 0.5,
            "clip_skip": random.choice([1, 2], n),
            "mixed_precision": random.choice(["fp16", "bf16"], n),
            "num_repeats": random.choice([5, 10, 20], n),
        }
    )
    runs["quality"] = 75.0 - 20.0 * (runs["network_dim"] > 32) + 4.0 * runs["keep_tokens"] + random.normal(0, noise, n)
    return runs


PARAMETERS = [
    *("network_dim", "keep_tokens", "learning_rate", "optimizer_type"),
    *("flip_aug", "clip_skip", "mixed_precision", "num_repeats"),
]
NO_BELIEF = dict.fromkeys(PARAMETERS, 0.1)


def row_of(table: pd.DataFrame, parameter: str) -> pd.Series:
    """The class that a parameter is in."""
    found = table[table["parameters"].map(lambda names: parameter in names)]
    assert len(found) == 1, f"{parameter} is in {len(found)} classes"
    return found.iloc[0]
