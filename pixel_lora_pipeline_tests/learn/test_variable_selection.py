"""The search finds what counting every model one by one finds."""

from itertools import chain, combinations, product

import numpy as np
import pytest

from pixel_lora_pipeline.learn.alias_classes import alias_classes
from pixel_lora_pipeline.learn.beliefs import undoubted
from pixel_lora_pipeline.learn.candidate_causes import candidate_causes
from pixel_lora_pipeline.learn.configurations import read_configurations
from pixel_lora_pipeline.learn.encodings import standardised
from pixel_lora_pipeline.learn.posterior import posterior_of
from pixel_lora_pipeline.learn.variable_selection import Candidates, g_values, search_models
from pixel_lora_pipeline_tests.learn.histories import NO_BELIEF, PARAMETERS, independent_history


def some_candidates(n: int, sources: int, seed: int) -> Candidates:
    """Two forms of each source."""
    random = np.random.default_rng(seed)
    matrix = np.array([standardised(random.normal(size=n)) for _ in range(2 * sources)]).T
    return Candidates(matrix, np.repeat(np.arange(sources), 2), np.full(2 * sources, 0.5))


def explained(columns: np.ndarray, metric: np.ndarray) -> float:
    """R² by least squares."""
    centred = metric - metric.mean()
    if columns.shape[1] == 0:
        return 0.0
    slopes = np.linalg.lstsq(columns, centred, rcond=None)[0]
    return float(1 - ((centred - columns @ slopes) ** 2).sum() / (centred**2).sum())


def test_every_model_with_up_to_three_columns_is_weighed() -> None:
    n, sources = 9, 4
    candidates = some_candidates(n, sources, seed=1)
    random = np.random.default_rng(2)
    metric = 3 * candidates.matrix[:, 0] + 2 * candidates.matrix[:, 5] + random.normal(0, 0.5, n)
    odds = np.array([0.3, 0.1, 0.2, 0.05])
    models = search_models(candidates, metric, np.log(odds / (1 - odds)))

    expected: dict[tuple[int, ...], float] = {}
    for chosen in chain.from_iterable(combinations(range(sources), size) for size in range(4)):
        for forms in product((0, 1), repeat=len(chosen)):
            columns = tuple(2 * source + form for source, form in zip(chosen, forms, strict=True))
            r_squared = explained(candidates.matrix[:, columns], metric)
            factors = (1 + g_values(n)) ** ((n - 1 - len(columns)) / 2) / (1 + g_values(n) * (1 - r_squared)) ** (
                (n - 1) / 2
            )
            expected[columns] = float(np.log(factors.mean()))
    assert models.exhaustive_size == 3
    found = {
        tuple(int(column) for column in columns if column >= 0): float(evidence)
        for columns, evidence in zip(models.columns, models.log_evidence, strict=True)
    }
    small = {columns: evidence for columns, evidence in found.items() if len(columns) <= 3}
    for columns, evidence in small.items():
        assert evidence == pytest.approx(expected[columns], abs=1e-6), columns
    # What is less probable than the best by e^-16 may be forgotten.
    log_odds, share = np.log(odds / (1 - odds)), np.log(0.5)
    scores = {of: evidence + sum(log_odds[at // 2] + share for at in of) for of, evidence in expected.items()}
    assert {of for of, score in scores.items() if score > max(scores.values()) - 15} <= small.keys()


def test_a_model_larger_than_three_is_found_where_there_are_runs_enough() -> None:
    random = np.random.default_rng(3)
    candidates = some_candidates(120, 12, seed=3)
    truth = [0, 3, 6, 9, 12, 15]
    metric = candidates.matrix[:, truth] @ np.array([9.0, -8, 7, -6, 8, 7]) + random.normal(0, 0.4, 120)
    models = search_models(candidates, metric, np.full(12, np.log(0.1 / 0.9)))
    best = models.columns[np.argmax(models.log_evidence)]
    assert sorted(best[best >= 0].tolist()) == truth


def test_probabilities_are_those_of_counting() -> None:
    """Posterior inclusion probabilities against a sum over all models, written out."""
    runs = independent_history(6, seed=4)
    chosen = ["network_dim", "flip_aug", "clip_skip"]
    configurations = read_configurations(runs, chosen, "quality", None)
    classes = alias_classes(configurations.columns)
    causes = candidate_causes(classes, NO_BELIEF, 6)
    posterior = posterior_of(causes, configurations.metric)
    matrix, source = causes.candidates.matrix, causes.candidates.source
    beliefs = undoubted(causes.flat)
    total, including = 0.0, np.zeros(len(classes))
    for size in range(4):
        for columns in combinations(range(matrix.shape[1]), size):
            sources = source[list(columns)]
            picked = matrix[:, columns]
            is_degenerate = size > 0 and np.linalg.svd(picked, compute_uv=False)[-1] ** 2 < 1e-6
            if len(set(sources.tolist())) < size or is_degenerate:
                continue
            prior = np.prod(np.where(np.isin(np.arange(len(beliefs.average)), sources), causes.flat, 1 - causes.flat))
            r_squared = explained(picked, configurations.metric)
            likelihood = ((1 + g_values(6)) ** ((5 - size) / 2) / (1 + g_values(6) * (1 - r_squared)) ** 2.5).mean()
            weight = likelihood * prior * np.prod(causes.candidates.share[list(columns)])
            total += weight
            including[np.unique(sources[sources < len(classes)])] += weight
    np.testing.assert_allclose(posterior.pip_flat, including / total, atol=1e-4)


def test_the_number_of_runs_limits_what_can_be_said() -> None:
    for n in (4, 5, 6):
        runs = independent_history(n, seed=n)
        configurations = read_configurations(runs, PARAMETERS, "quality", None)
        causes = candidate_causes(alias_classes(configurations.columns), NO_BELIEF, n)
        models = posterior_of(causes, configurations.metric).models
        assert (models.columns >= 0).sum(axis=1).max() <= n - 3
