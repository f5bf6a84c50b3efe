"""What Dagster's UI shows of what was learnt."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import dagster as dg
import pandas as pd

from pixel_lora_pipeline.learn import Principle
from pixel_lora_pipeline.learning import DiagnosedRun
from pixel_lora_pipeline.training_history import TrainingHistory

# Rows of a table: what is further down is improbable, and stored.
_MOST_ROWS: Final = 15


def evidence_metadata(
    history: TrainingHistory, evidence: Mapping[str, pd.DataFrame]
) -> dict[str, dg.MetadataValue[Any]]:
    """How much there is to learn from, and a table a metric."""
    decided = sum(int((table["category"].isin(["CRITICAL", "HIGH"])).sum()) for table in evidence.values())
    return {
        "n_runs": dg.MetadataValue.float(float(len(history.runs))),
        "n_parameters_that_varied": dg.MetadataValue.float(
            float(sum(history.runs[name].nunique(dropna=False) > 1 for name in history.parameters))
        ),
        "n_found": dg.MetadataValue.float(float(decided)),
        **{
            f"left_out_of_version_{version}": dg.MetadataValue.float(float(count))
            for version, count in history.left_out.items()
        },
        **{metric: _evidence_table(table) for metric, table in evidence.items() if len(table)},
    }


def _evidence_table(table: pd.DataFrame) -> dg.TableMetadataValue:
    return dg.MetadataValue.table(
        [
            dg.TableRecord(
                {
                    "parameters": ", ".join(row.parameters),
                    "category": f"{row.category}{' (aliased)' if row.aliased else ''}",
                    "probability": round(float(row.pip), 3),
                    "effect": _shown(row.effect),
                    "95 % from": _shown(row.effect_low),
                    "95 % to": _shown(row.effect_high),
                    "Pearson r": _shown(row.pearson_r),
                    "p": _shown(row.p_exact),
                    "BH q": _shown(row.q_bh),
                    "runs": int(row.n_runs),
                    "why": row.reason,
                }
            )
            for row in table.head(_MOST_ROWS).itertuples()
        ]
    )


def diagnosis_metadata(diagnosed: DiagnosedRun) -> dict[str, dg.MetadataValue[Any]]:
    """The causes of every issue as one table, and what to do."""
    causes = [
        dg.TableRecord(
            {
                "issue": issue["label"],
                "cause": cause.cause,
                "confidence": round(cause.confidence, 3),
                "recommendation": cause.recommendation,
                "evidence": cause.evidence.sentence,
            }
        )
        for issue, found in zip(diagnosed.issues, diagnosed.causes, strict=True)
        for cause in found
    ]
    return {
        "epoch": dg.MetadataValue.float(float(diagnosed.epoch)),
        "n_issues": dg.MetadataValue.float(float(len(diagnosed.issues))),
        "next_steps": dg.MetadataValue.json(diagnosed.next_steps),
        **({"causes": dg.MetadataValue.table(causes)} if causes else {}),
    }


def principles_metadata(principles: Sequence[Principle]) -> dict[str, dg.MetadataValue[Any]]:
    """How many there are of each status, and all that are not revoked."""
    statuses = [principle.status for principle in principles]
    valid = [
        dg.TableRecord(
            {
                "principle": principle.statement,
                "status": principle.status,
                "probability": round(principle.pip, 3),
                "confirmed by": ", ".join(principle.confirming_runs) or "–",
                "against": ", ".join(principle.counter_examples) or "–",
                "lacks": "; ".join(principle.lacks()) or "–",
                "why": principle.reason,
                "id": principle.id,
            }
        )
        for principle in principles
        if principle.status != "revoked"
    ]
    return {
        **{
            f"n_{status}": dg.MetadataValue.float(float(statuses.count(status)))
            for status in ("proposed", "soft", "hard", "revoked")
        },
        **({"principles": dg.MetadataValue.table(valid)} if valid else {}),
    }


def report_metadata(page: Path) -> dict[str, dg.MetadataValue[Any]]:
    """The report itself, and where its files lie."""
    return {
        "report": dg.MetadataValue.md(page.with_suffix(".md").read_text(encoding="utf-8")),
        "page": dg.MetadataValue.path(page),
        "figures": dg.MetadataValue.path(page.with_suffix(".json")),
    }


def _shown(value: float) -> str:
    return "–" if value != value else f"{value:.3g}"
