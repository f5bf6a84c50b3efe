"""What was believed of the parameters before any run was looked at; the beliefs are in `domain_priors.toml`."""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

# Of a parameter that no rule names, and of every parameter if the written rules are left aside.
UNNAMED: Final = 0.02
FLAT: Final = 0.10
# The data must be able to overrule a belief.
_LEAST, _MOST = 0.001, 0.95


@dataclass(frozen=True)
class DomainRule:
    """A belief about one parameter.

    Attributes
    ----------
    parameter
        Its name.
    topics
        What it is believed to act on; "all" for every metric.
    probability
        That it does, before the runs are looked at.
    reason, source
        Why, and where it is written.
    """

    parameter: str
    topics: tuple[str, ...]
    probability: float
    reason: str
    source: str


@cache
def domain_rules() -> tuple[DomainRule, ...]:
    """Every written belief."""
    document = tomllib.loads(files(__package__).joinpath("domain_priors.toml").read_text(encoding="utf-8"))
    return tuple(
        DomainRule(name, tuple(rule["topics"]), rule["probability"], rule["reason"], rule["source"])
        for rule in document["rule"]
        for name in rule["parameters"]
    )


@cache
def _topics() -> Mapping[str, tuple[str, ...]]:
    document = tomllib.loads(files(__package__).joinpath("domain_priors.toml").read_text(encoding="utf-8"))
    return {topic: tuple(words) for topic, words in document["topics"].items()}


def domain_prior(parameters: Iterable[str], metric: str) -> dict[str, float]:
    """Probability that each parameter acts on a metric, by the written rules.

    A metric belongs to the topics that have a word in its name. A metric of no topic is taken for a measure of
    overall quality, on which everything acts that acts on anything.
    """
    words = metric.lower()
    topics = {topic for topic, known in _topics().items() if any(word in words for word in known)}
    prior: dict[str, float] = {}
    for rule in domain_rules():
        if not topics or "all" in rule.topics or topics & set(rule.topics):
            prior[rule.parameter] = max(rule.probability, prior.get(rule.parameter, 0.0))
    return {name: prior.get(name, UNNAMED) for name in parameters}


def usable_prior(prior: Mapping[str, float], parameters: Iterable[str]) -> dict[str, float]:
    """A prior that was given, for each parameter; those it does not name have `UNNAMED`.

    Raises
    ------
    ValueError
        If something in it is not a probability.
    """
    wrong = {name: value for name, value in prior.items() if not 0 <= value <= 1}
    if wrong:
        name, value = next(iter(wrong.items()))
        raise ValueError(f"the prior of {name} is {value}: give the probability, 0 to 1, that it acts on the metric")
    return {name: min(max(prior.get(name, UNNAMED), _LEAST), _MOST) for name in parameters}
