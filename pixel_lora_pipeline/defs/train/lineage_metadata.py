"""What Dagster's UI shows of where a run came from."""

from collections.abc import Sequence
from typing import Any

import dagster as dg

from pixel_lora_pipeline.lineage import Relative, how_known


def lineage_metadata(family: Sequence[Relative]) -> dict[str, dg.MetadataValue[Any]]:
    """A run's parent and what it brought, and its whole family as a table; nothing for a run without either."""
    own = next(relative for relative in family if relative.generation == 0)
    origin = own.origin
    found: dict[str, dg.MetadataValue[Any]] = {}
    if origin.parent_name is not None:
        found["parent"] = dg.MetadataValue.text(origin.parent_name)
        found["parent_known_by"] = dg.MetadataValue.text(how_known(origin))
        if origin.parent_epoch is not None:
            found["parent_epoch"] = dg.MetadataValue.float(float(origin.parent_epoch))
    if origin.candidates:
        found["parent_not_decided"] = dg.MetadataValue.text("; ".join(origin.candidates))
    if origin.starting_checkpoint is not None:
        found["starting_checkpoint"] = dg.MetadataValue.text(origin.starting_checkpoint)
    if own.gain is not None:
        for name, comparison in (
            ("gain_over_parents_best", own.gain.over_best),
            ("gain_over_start", own.gain.over_start),
        ):
            if comparison is not None:
                found[f"{name}_explained"] = dg.MetadataValue.text(comparison.sentence)
                if (gain := comparison.differences[0].difference) is not None:
                    found[name] = dg.MetadataValue.float(float(gain))
    if len(family) > 1:
        found["lineage"] = dg.MetadataValue.table([_record(relative) for relative in family])
    return found


def _record(relative: Relative) -> dg.TableRecord:
    origin = relative.origin
    return dg.TableRecord(
        {
            "generation": relative.generation,
            "run": origin.run_name,
            "from": origin.parent_name or "",
            "epoch": "" if origin.parent_epoch is None else str(origin.parent_epoch),
            "known by": "" if origin.parent_name is None else how_known(origin),
            "best epoch": "" if relative.best_epoch is None else str(relative.best_epoch),
        }
    )
