"""What Dagster's UI shows of a verdict."""

import dagster as dg

from pixel_lora_pipeline.analyze.convergence import Convergence


def convergence_metadata(verdict: Convergence) -> dict[str, dg.MetadataValue]:
    """The verdict in words, its numbers as floats that plot over time, and its curve as a table."""
    first, last = verdict.best_epoch_interval or (None, None)
    numbers = {
        "best_epoch": verdict.best_epoch,
        "best_epoch_first": first,
        "best_epoch_last": last,
        "probability_of_gain": verdict.probability_of_gain,
        "expected_gain": verdict.expected_gain,
        "noise": verdict.noise,
    }
    curve = [
        dg.TableRecord(
            {
                "epoch": point.epoch,
                "score": "–" if point.score is None else round(point.score, 2),
                "rolling average": "–" if point.rolling_average is None else round(point.rolling_average, 2),
                "fitted": round(point.fitted, 2),
                "80 % from": round(point.low, 2),
                "80 % to": round(point.high, 2),
            }
        )
        for point in verdict.curve
    ]
    return {
        "status": dg.MetadataValue.text(verdict.status),
        "reason": dg.MetadataValue.text(verdict.reason),
        "should_stop": dg.MetadataValue.bool(verdict.should_stop),
        "trend": dg.MetadataValue.text(verdict.trend),
        **{name: dg.MetadataValue.float(float(value)) for name, value in numbers.items() if value is not None},
        **({"curve": dg.MetadataValue.table(curve)} if curve else {}),
    }
