-- From which checkpoint each run started, and how that is known. training_runs.parent_run_id and starting_checkpoint
-- hold the answer; here is what it rests on, also where it is left open.

-- SHA-256 of the weights alone, as the file's header claims it: the same for a copy with another header.
ALTER TABLE epoch_results ADD COLUMN IF NOT EXISTS model_hash text;
CREATE INDEX IF NOT EXISTS epoch_results_sha256 ON epoch_results (checkpoint_sha256);

SELECT pixel_lora.ensure_table('run_lineage');
SELECT pixel_lora.ensure_reference('run_lineage', 'training_run_id', 'training_runs', 'CASCADE');
SELECT pixel_lora.ensure_reference('run_lineage', 'parent_run_id', 'training_runs', 'SET NULL');

ALTER TABLE run_lineage
    ADD COLUMN IF NOT EXISTS starting_path text,         -- what the run says of itself
    ADD COLUMN IF NOT EXISTS starting_sha256 text,       -- of that file, read once: it may be gone when its run is found
    ADD COLUMN IF NOT EXISTS starting_model_hash text,   -- of its weights alone
    ADD COLUMN IF NOT EXISTS file_is_of_then boolean,    -- whether that file was written before the run started
    ADD COLUMN IF NOT EXISTS written_checkpoint text,    -- what we wrote into starting_checkpoint: other texts are people's
    ADD COLUMN IF NOT EXISTS parent_epoch integer,
    ADD COLUMN IF NOT EXISTS parent_sha256 text,
    ADD COLUMN IF NOT EXISTS evidence text,
    ADD COLUMN IF NOT EXISTS confidence text CHECK (confidence IN ('certain', 'likely', 'guessed')),
    ADD COLUMN IF NOT EXISTS candidates jsonb DEFAULT '[]',  -- several, and nothing decided
    ADD COLUMN IF NOT EXISTS set_by text,                -- the person who said so: nothing else changes it then
    ADD COLUMN IF NOT EXISTS trace_key text,             -- of all that this was decided by
    ADD COLUMN IF NOT EXISTS traced_at timestamptz DEFAULT now();

CREATE UNIQUE INDEX IF NOT EXISTS run_lineage_run ON run_lineage (training_run_id);
