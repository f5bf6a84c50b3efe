"""What trainings and evaluations cost, without database or clock: exact in what is known, clear about what is not."""

from pixel_lora_pipeline.train.costs.amount import NOTHING, UNKNOWN, Amount, Kind, rounded, total
from pixel_lora_pipeline.train.costs.charges import Bill, Charge, Charges, charge
from pixel_lora_pipeline.train.costs.epoch_times import EpochTime, Save, TrainingTimes, epoch_times, whole_time
from pixel_lora_pipeline.train.costs.prices import (
    NoPrice,
    Price,
    PriceBook,
    PriceTableError,
    StoragePrice,
    read_prices,
    shipped_prices,
)
from pixel_lora_pipeline.train.costs.shares import Share, shares
from pixel_lora_pipeline.train.costs.sums import RunCost, Sum, add_up, by_day, by_kind, by_run
from pixel_lora_pipeline.train.costs.usage import Storage, Usage, UsageKind

__all__ = [
    "NOTHING",
    "UNKNOWN",
    "Amount",
    "Bill",
    "Charge",
    "Charges",
    "EpochTime",
    "Kind",
    "NoPrice",
    "Price",
    "PriceBook",
    "PriceTableError",
    "RunCost",
    "Save",
    "Share",
    "Storage",
    "StoragePrice",
    "Sum",
    "TrainingTimes",
    "Usage",
    "UsageKind",
    "add_up",
    "by_day",
    "by_kind",
    "by_run",
    "charge",
    "epoch_times",
    "read_prices",
    "rounded",
    "shares",
    "shipped_prices",
    "total",
    "whole_time",
]
