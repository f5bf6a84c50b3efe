"""What Dagster's UI shows of costs: dollars and seconds as floats that plot, and in words what is not known."""

import dagster as dg

from pixel_lora_pipeline.cost_report import CostReport
from pixel_lora_pipeline.costs import CountedRun
from pixel_lora_pipeline.train.costs import Amount, Sum


def cost_metadata(counted: CountedRun, epoch: int | None) -> dict[str, dg.MetadataValue]:
    """Of a run so far, and of one of its epochs."""
    metadata = {
        **_numbers("training", counted.cost.training),
        "training_cost": dg.MetadataValue.text(_said(counted.cost.training)),
    }
    if epoch is not None and epoch in counted.cost.epochs:
        metadata |= _numbers("epoch", counted.cost.epochs[epoch])
    return metadata


def month_metadata(report: CostReport) -> dict[str, dg.MetadataValue]:
    """Of a month."""
    budget, outlook = report.budget, report.forecast
    numbers = {
        "budget_usd": None if budget is None else float(budget.limit),
        "budget_share": None if budget is None else float(budget.share),
        "forecast_usd": None if outlook is None else outlook.expected,
        "forecast_usd_low": None if outlook is None else outlook.low,
        "forecast_usd_high": None if outlook is None else outlook.high,
        "hours_without_price": sum(float(seconds) for seconds in report.unknown.values()) / 3600,
    }
    rows = [
        dg.TableRecord(
            {
                "run": line.cost.run,
                "hours": round(line.cost.training.hours, 2),
                "training": str(line.cost.training.amount),
                "evaluation": str(line.cost.evaluation.amount),
                "failure": line.failure or "",
            }
        )
        for line in report.runs
    ]
    return {
        "month": dg.MetadataValue.text(f"{report.month:%Y-%m}"),
        "total": dg.MetadataValue.text(str(report.total)),
        **_dollars("total_usd", report.total),
        **{name: value for kind, found in report.kinds.items() for name, value in _numbers(kind, found).items()},
        **{name: dg.MetadataValue.float(number) for name, number in numbers.items() if number is not None},
        **({"runs": dg.MetadataValue.table(rows)} if rows else {}),
    }


def _numbers(name: str, found: Sum) -> dict[str, dg.MetadataValue]:
    """No dollars where nothing is known: a plot has no word for that, and 0 would be a lie."""
    return {
        f"{name}_seconds": dg.MetadataValue.float(float(found.seconds)),
        **_dollars(f"{name}_usd", found.amount),
    }


def _dollars(name: str, amount: Amount) -> dict[str, dg.MetadataValue]:
    return {} if amount.exact is None else {name: dg.MetadataValue.float(float(amount.exact))}


def _said(found: Sum) -> str:
    told = "; ".join([*found.bases, *found.unknown])
    return f"{found.amount} ({told})" if told else "no use of a machine is known"
