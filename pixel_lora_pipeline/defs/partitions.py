"""The two partition sets: one key for each checkpoint file, one for each training run.

They are separate dynamic sets without a custom mapping between them: Dagster accepts such a mapping and then
never requests anything through it (see dagster issues 13139 and 28790). A sensor that knows a checkpoint's run
connects the two instead.
"""

import dagster as dg

checkpoints = dg.DynamicPartitionsDefinition(name="checkpoints")
training_runs = dg.DynamicPartitionsDefinition(name="training_runs")
