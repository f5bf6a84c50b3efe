"""Scores of epochs that were looked at with different prompts, as if all had been asked the same."""

import math
from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from pixel_lora_pipeline.analyze.tested_image import Question, TestedImage, measured, question

# Numbers of different versions of the metrics do not compare, so that they answer different questions.
VersionedQuestion: TypeAlias = tuple[Question, str | None]

_OVERALL: Final = ("overall_score",)


def shared_prompts(*epochs: Iterable[TestedImage]) -> set[VersionedQuestion]:
    """What all of these epochs were asked and measured on: prompt, negative prompt, seed, version of the metrics."""
    asked = [{_asked(image) for image in images if image.metrics is not None} for images in epochs]
    return set.intersection(*asked) if asked else set()


def comparable_scores(epochs: Mapping[int, Iterable[TestedImage]], path: tuple[str, ...] = _OVERALL) -> pd.DataFrame:
    """Each epoch's score on all prompts, with those that it was not asked filled in from how hard they are.

    A quick look has one prompt and a full one all of them; their plain means differ by how hard the prompts are
    and not only by how good the epochs are. So a score is taken to be the sum of an epoch's quality and a prompt's
    ease (least squares over all images), and what is returned is the quality at the mean ease. Where all epochs
    were asked the same this is the plain mean over prompts.

    Parameters
    ----------
    epochs
        Images by epoch. Those in which the score could not be told take no part.
    path
        Where the score is in the measurements of an image.

    Returns
    -------
    DataFrame, sorted by epoch, without epochs that have no score
        `epoch`; `score`; `standard_error`, NaN where no image is left to tell it from; `n_images`, `n_prompts`;
        `group`: only epochs of one group compare, directly or through others that share a prompt with both; 0 is
        the group with the most images.

    Notes
    -----
    Assumes that what is hard for one epoch is as much harder for the others; where a prompt breaks that rule, a
    look that has this prompt alone is off by it, and `standard_error` includes it.
    """
    scored = [
        (epoch, _asked(image), score)
        for epoch, images in epochs.items()
        for image in images
        if (score := measured(image, path)) is not None and math.isfinite(score)
    ]
    columns = ["epoch", "score", "standard_error", "n_images", "n_prompts", "group"]
    if not scored:
        return pd.DataFrame({name: pd.Series(dtype=float) for name in columns})
    table = pd.DataFrame(scored, columns=["epoch", "asked", "score"])
    table["group"] = _groups(table)
    fitted = pd.concat(
        [_fitted(own).assign(group=group) for group, (_, own) in enumerate(_largest_first(table))], ignore_index=True
    )
    return fitted[columns].sort_values("epoch", ignore_index=True)


def _asked(image: TestedImage) -> VersionedQuestion:
    return question(image), image.metrics_version


def _groups(table: pd.DataFrame) -> NDArray[np.int_]:
    """Which connected part of the graph of epochs and questions each image belongs to."""
    epoch, epochs = pd.factorize(table["epoch"])
    asked, questions = pd.factorize(table["asked"])
    size = len(epochs) + len(questions)
    graph = coo_array((np.ones(len(table)), (epoch, asked + len(epochs))), shape=(size, size))
    _, labels = connected_components(graph, directed=False)
    return np.asarray(labels[epoch])


def _largest_first(table: pd.DataFrame) -> list[tuple[int, pd.DataFrame]]:
    return sorted(table.groupby("group"), key=lambda part: (-len(part[1]), part[0]))


def _fitted(table: pd.DataFrame) -> pd.DataFrame:
    """The epochs of one group."""
    epoch, epochs = pd.factorize(table["epoch"], sort=True)
    asked, questions = pd.factorize(table["asked"])
    prompts = pd.factorize(pd.Series([question[0] for (question, _) in questions]))[0]
    rows = np.arange(len(table))
    design = np.zeros((len(table), len(epochs) + len(questions)))
    design[rows, epoch] = design[rows, len(epochs) + asked] = 1.0
    # One redundant direction, a shift between qualities and eases, which the contrasts below do not see.
    inverse = np.linalg.pinv(design)
    parameters = inverse @ table["score"].to_numpy()
    contrasts = np.hstack([np.eye(len(epochs)), np.tile(_prompt_weights(prompts), (len(epochs), 1))])
    residuals = table["score"].to_numpy() - design @ parameters
    freedom = len(table) - (len(epochs) + len(questions) - 1)
    variance = float(residuals @ residuals) / freedom if freedom > 0 else math.nan
    by_epoch = pd.DataFrame({"epoch": epoch, "prompt": prompts[asked]}).groupby("epoch")["prompt"]
    return pd.DataFrame(
        {
            "epoch": epochs,
            "score": contrasts @ parameters,
            "standard_error": np.sqrt(variance * np.sum((contrasts @ inverse) ** 2, axis=1)),
            "n_images": by_epoch.size().to_numpy(),
            "n_prompts": by_epoch.nunique().to_numpy(),
        }
    )


def _prompt_weights(prompts: NDArray[np.int_]) -> NDArray[np.float64]:
    """Weight of each question, so that each prompt counts once, whatever its number of seeds."""
    seeds = np.bincount(prompts)
    weights: NDArray[np.float64] = 1.0 / seeds[prompts] / len(seeds)
    return weights
