"""What the runs say of the products of parameters that the documents name as what really acts."""

from collections.abc import Sequence
from typing import Any

from pixel_lora_pipeline.learn.alias_classes import alias_classes
from pixel_lora_pipeline.learn.derived_features import PRODUCTS, Product, derived_features
from pixel_lora_pipeline.learn.impact_report.finding import Finding
from pixel_lora_pipeline.learn.impact_report.run_table import RunTable
from pixel_lora_pipeline.learn.impact_report.shown import listed, shown_name


def interactions(findings: Sequence[Finding], table: RunTable) -> list[dict[str, Any]]:
    """A row for each product whose factors are all among the parameters that were judged."""
    parameters = sorted({name for finding in findings for name in finding.parameters})
    classes = alias_classes([table.column(name) for name in parameters])
    judged = {feature.column.name for feature in derived_features(classes)}
    return [
        {
            "product": product.name,
            "parameters": list(product.factors),
            "reason": product.reason,
            "is_judged": product.name in judged,
            "sentence": _sentence(product, product.name in judged, findings, table),
        }
        for product in PRODUCTS
        if product.factors.keys() <= set(parameters)
    ]


def _sentence(product: Product, is_judged: bool, findings: Sequence[Finding], table: RunTable) -> str:
    constant = [name for name in product.factors if not table.column(name).is_varied]
    if constant:
        return f"Cannot be told: {listed(map(shown_name, constant))} never varied."
    if not is_judged:
        return "Cannot be told: in these runs it says the same as a single parameter."
    through = [
        each for each in findings if each.encoding == "product" and (each.statement or "").startswith(product.name)
    ]
    strong = sorted(
        (each for each in through if each.category in ("CRITICAL", "HIGH", "MODERATE")), key=lambda each: each.strength
    )
    if not strong:
        return "Judged with the others; no parameter shows its effect through it."
    told = [f"{shown_name(each.statement or '')} on {shown_name(each.metric)} ({each.category})" for each in strong]
    return f"The most probable form: {listed(dict.fromkeys(told), most=4)}."
