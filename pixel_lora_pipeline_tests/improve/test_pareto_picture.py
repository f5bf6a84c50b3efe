"""The picture of trade-offs is small enough for Dagster's database and shows every run."""

import io

import numpy as np
from PIL import Image

from pixel_lora_pipeline.improve.pareto import pareto_front
from pixel_lora_pipeline.improve.pareto_picture import pareto_picture
from pixel_lora_pipeline_tests.improve.test_pareto import CONFIGURATIONS, COST, QUALITY, TIME


def test_the_picture_is_small_and_differs_where_the_runs_differ() -> None:
    goals = [QUALITY, TIME, COST]
    png = pareto_picture(pareto_front(CONFIGURATIONS, goals), goals)
    assert len(png) < 200_000
    fewer = pareto_picture(pareto_front(CONFIGURATIONS.iloc[:4], goals), goals)
    one, other = (np.asarray(Image.open(io.BytesIO(each)).convert("L")) for each in (png, fewer))
    assert one.shape == other.shape and (one != other).any()
    assert png == pareto_picture(pareto_front(CONFIGURATIONS, goals), goals)
