"""Step five of the loop: what to run next."""

from pixel_lora_pipeline.improve.calibration import Calibration, PredictedOutcome, calibrate
from pixel_lora_pipeline.improve.hypotheses import LeftOut, Proposals, propose_experiments, weigh_experiments
from pixel_lora_pipeline.improve.hypothesis import Hypothesis
from pixel_lora_pipeline.improve.incumbent import Incumbent, best_so_far
from pixel_lora_pipeline.improve.landscape import Landscape, survey
from pixel_lora_pipeline.improve.prediction import Prediction, predict_trial_outcome
from pixel_lora_pipeline.improve.queue_document import queue_markdown
from pixel_lora_pipeline.improve.search import Suggestion, propose, suggest
from pixel_lora_pipeline.improve.search_space import SearchSpace
from pixel_lora_pipeline.improve.stopping import CampaignVerdict, judge_campaign
from pixel_lora_pipeline.improve.study import SearchStudy
from pixel_lora_pipeline.improve.training_parameters import training_parameters
from pixel_lora_pipeline.improve.unexplored_parameters import unset_values

__all__ = [
    "Calibration",
    "CampaignVerdict",
    "Hypothesis",
    "Incumbent",
    "Landscape",
    "LeftOut",
    "PredictedOutcome",
    "Prediction",
    "Proposals",
    "SearchSpace",
    "SearchStudy",
    "Suggestion",
    "best_so_far",
    "calibrate",
    "judge_campaign",
    "predict_trial_outcome",
    "propose",
    "propose_experiments",
    "queue_markdown",
    "suggest",
    "survey",
    "training_parameters",
    "unset_values",
    "weigh_experiments",
]
