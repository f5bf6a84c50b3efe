"""Findings about the same parameters, on all metrics, together."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from pixel_lora_pipeline.learn.domain_priors import DomainRule, domain_prior, domain_rules
from pixel_lora_pipeline.learn.impact_report.finding import Finding
from pixel_lora_pipeline.learn.impact_report.shown import joined

Section = Literal["critical", "secondary", "non_critical", "untold"]


@dataclass(frozen=True, eq=False)
class Entry:
    """What is said of some parameters.

    Attributes
    ----------
    lead
        The strongest finding: it says in which section the entry stands.
    others
        Findings on other metrics, the strongest first. Where runs lack a metric, the parameters that go together may
        be others.
    """

    lead: Finding
    others: tuple[Finding, ...]

    @property
    def section(self) -> Section:
        """Of the report."""
        match self.lead.category:
            case "CRITICAL":
                return "critical"
            case "HIGH" | "MODERATE":
                return "secondary"
            case "NONE":
                return "non_critical"
        return "untold"

    @property
    def parameters(self) -> tuple[str, ...]:
        """The one most believed to act first."""
        return by_belief(self.lead.parameters, self.lead.metric)

    @property
    def title(self) -> str:
        """Of the entry."""
        return joined(self.parameters)


def entries_of(findings: Iterable[Finding]) -> list[Entry]:
    """An entry for each parameter, or class of parameters, the most important first."""
    leads: list[Finding] = []
    others: dict[int, list[Finding]] = {}
    of_parameter: dict[str, set[int]] = {}
    for finding in sorted(findings, key=lambda finding: finding.strength):
        known = sorted(set().union(*(of_parameter.get(name, set()) for name in finding.parameters)))
        if not known:
            others[len(leads)] = []
            known = [len(leads)]
            leads.append(finding)
        else:
            for place in known:
                others[place].append(finding)
        for name in finding.parameters:
            of_parameter.setdefault(name, set()).update(known)
    entries = [Entry(lead, tuple(others[place])) for place, lead in enumerate(leads)]
    return sorted(entries, key=_importance)


def by_belief(parameters: Iterable[str], metric: str) -> tuple[str, ...]:
    """Parameters, those that the written rules say most of first."""
    names = tuple(parameters)
    believed = domain_prior(names, metric)
    return tuple(sorted(names, key=lambda name: (-believed[name], name)))


def rule_about(parameter: str, metric: str) -> DomainRule | None:
    """The written rule that gave the parameter its prior probability for this metric."""
    believed = domain_prior([parameter], metric)[parameter]
    return next((rule for rule in domain_rules() if rule.parameter == parameter and rule.probability == believed), None)


def _importance(entry: Entry) -> tuple[object, ...]:
    rank, is_left_out, is_silent, *_ = entry.lead.strength
    return rank, is_left_out, is_silent, -round(entry.lead.pip, 2), -round(entry.lead.share, 3), entry.title
