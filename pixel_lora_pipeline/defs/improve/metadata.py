"""What Dagster's UI shows of what is to be run next."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import dagster as dg

from pixel_lora_pipeline.defs.validate.metadata import picture
from pixel_lora_pipeline.improve import Calibration, CampaignVerdict, Proposals
from pixel_lora_pipeline.improve.pareto import Goal, ParetoFront
from pixel_lora_pipeline.improve.pareto_picture import pareto_picture
from pixel_lora_pipeline.improve.starting_point import StartingPoint
from pixel_lora_pipeline.store import Experiment


def proposals_metadata(proposals: Proposals) -> dict[str, dg.MetadataValue[Any]]:
    """The experiments as a table, and what was considered and left out."""
    rows = [
        dg.TableRecord(
            {
                "experiment": hypothesis.title,
                "priority": hypothesis.priority,
                "confidence": round(hypothesis.confidence, 3),
                "change": ", ".join(f"{one.parameter}: {one.before} → {one.after}" for one in hypothesis.changes),
                "risk": f"{hypothesis.risk}: {hypothesis.risk_reason}",
                "why": hypothesis.rationale,
                "source": hypothesis.source,
            }
        )
        for hypothesis in proposals.hypotheses
    ]
    left_out = [dg.TableRecord({"experiment": each.title, "because": each.reason}) for each in proposals.left_out]
    return {
        "n_proposed": dg.MetadataValue.float(float(len(rows))),
        **({"experiments": dg.MetadataValue.table(rows)} if rows else {}),
        **({"left_out": dg.MetadataValue.table(left_out)} if left_out else {}),
        **({} if proposals.starting_point is None else _starting_point(proposals.starting_point)),
    }


def _starting_point(found: StartingPoint) -> dict[str, dg.MetadataValue[Any]]:
    """Where to start, and the gain that speaks for it."""
    gain = found.gain
    numbers = {"starting_gain": gain.gain, "n_from_checkpoint": gain.n_treated, "n_from_base": gain.n_others}
    return {
        "starting_point": dg.MetadataValue.text(f"{found.start}: {found.reason}"),
        **({"starting_epoch": dg.MetadataValue.text(found.epoch_reason)} if found.epoch_reason else {}),
        **{name: dg.MetadataValue.float(float(value)) for name, value in numbers.items() if value is not None},
    }


def queue_metadata(experiments: Sequence[Experiment], document: str) -> dict[str, dg.MetadataValue[Any]]:
    """How many experiments are in which state, and the queue to read."""
    return {
        **{
            f"n_{state.lower().replace(' ', '_')}": dg.MetadataValue.float(float(count))
            for state, count in Counter(experiment.state for experiment in experiments).items()
        },
        "queue": dg.MetadataValue.md(document),
    }


def calibration_metadata(found: Calibration) -> dict[str, dg.MetadataValue[Any]]:
    """The figures as numbers that plot over time, and the verdict."""
    figures = {
        "coverage": found.coverage,
        "within_15_percent": found.within_15,
        "within_5_percent": found.within_5,
        "skill_over_the_mean": found.skill,
    }
    return {
        "n": dg.MetadataValue.float(float(found.n)),
        "verdict": dg.MetadataValue.text(found.verdict),
        **{name: dg.MetadataValue.float(figure.value) for name, figure in figures.items() if figure is not None},
    }


def search_metadata(found: tuple[CampaignVerdict, Sequence[str]] | None) -> dict[str, dg.MetadataValue[Any]]:
    """Whether to go on and why, the best so far, and what could not be read of the runs."""
    if found is None:
        return {"verdict": dg.MetadataValue.text("No run has ended yet")}
    verdict, remarks = found
    numbers = {"expected_improvement": verdict.improvement, "noise": verdict.noise}
    best = verdict.incumbent
    return {
        "verdict": dg.MetadataValue.text(f"{verdict.action}: {verdict.reason}"),
        **{name: dg.MetadataValue.float(float(value)) for name, value in numbers.items() if value is not None},
        **(
            {}
            if best is None
            else {
                "incumbent": dg.MetadataValue.json(best.parameters),
                "incumbent_expected": dg.MetadataValue.float(float(best.expected)),
                "incumbent_reason": dg.MetadataValue.text(best.reason),
            }
        ),
        **({"remarks": dg.MetadataValue.json(list(remarks))} if remarks else {}),
    }


def trade_offs_metadata(found: tuple[ParetoFront, list[Goal]] | None) -> dict[str, dg.MetadataValue[Any]]:
    """The choices in words, the runs as a table, and the picture."""
    if found is None:
        return {"verdict": dg.MetadataValue.text("No run has both a result and something to weigh it against yet")}
    front, goals = found
    rows = [
        dg.TableRecord(
            {
                "run": str(row["run_name"]),
                **{goal.column: round(float(row[goal.column]), 4) for goal in goals},
                "worth choosing": bool(row["on_front"]),
                "beaten by": row["dominated_by"] or "",
            }
        )
        for row in front.table.to_dict("records")
    ]
    return {
        "n_worth_choosing": dg.MetadataValue.float(float(front.table["on_front"].sum())),
        **{choice.name: dg.MetadataValue.text(f"{choice.run_name}. {choice.sentence}") for choice in front.choices},
        "runs": dg.MetadataValue.table(rows),
        "picture": picture("trade-offs", pareto_picture(front, goals)),
    }
