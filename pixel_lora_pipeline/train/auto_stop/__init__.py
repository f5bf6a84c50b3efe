"""When a training's machine is stopped: what is read, what decides, and how it is stopped."""

from pixel_lora_pipeline.train.auto_stop.decision import Action, Decision, News, Topic, decide
from pixel_lora_pipeline.train.auto_stop.policy import Mode, Policy
from pixel_lora_pipeline.train.auto_stop.reading import Look, MachineReading, Spent, State, Verdict
from pixel_lora_pipeline.train.auto_stop.watch import PastLook, Phase, Rule, Watch

__all__ = [
    "Action",
    "Decision",
    "Look",
    "MachineReading",
    "Mode",
    "News",
    "PastLook",
    "Phase",
    "Policy",
    "Rule",
    "Spent",
    "State",
    "Topic",
    "Verdict",
    "Watch",
    "decide",
]
