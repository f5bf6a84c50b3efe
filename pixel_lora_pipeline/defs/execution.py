"""Where and how steps run."""

from typing import Final

import dagster as dg

GPU_POOL: Final = "gpu"
# Which machine's daemon asked for a run, and with the default launcher also runs it.
HOST_TAG: Final = "pixel_lora/host"
# Which training a run is about.
RUN_TAG: Final = "pixel_lora/run"
# Of runs that wait, the one with the highest number starts first.
PRIORITY_TAG: Final = "dagster/priority"
# An analysis takes seconds and tells people whether the evaluations behind it are still worth anything.
ANALYSIS_PRIORITY: Final = "2000000000"

GPU_QUEUE_TAG: Final = {"dagster-celery/queue": "gpu"}

# A checkpoint's four steps follow one another, so on one machine they share one process: libraries are imported
# once and not four times, which on a small machine costs more than a quick evaluation. Pools hold across runs.
single_machine_executor = dg.in_process_executor

# For what passes by itself: a database that restarts, a disk that is briefly full.
retry_transient_faults = dg.RetryPolicy(max_retries=2, delay=5, backoff=dg.Backoff.EXPONENTIAL)

OWNERS: Final = ["team:pixel-lora"]
