-- What is concluded of runs and epochs beside scores, and which checkpoint is in production.

ALTER TABLE epoch_results
    ADD COLUMN IF NOT EXISTS convergence jsonb,          -- the verdict on the run as it stood at this epoch
    ADD COLUMN IF NOT EXISTS report text,                -- path of the epoch's report
    ADD COLUMN IF NOT EXISTS reported_at timestamptz;

ALTER TABLE training_runs
    ADD COLUMN IF NOT EXISTS convergence jsonb,          -- the verdict as of the last epoch
    ADD COLUMN IF NOT EXISTS convergence_status text
        CHECK (convergence_status IN ('continue', 'plateau', 'degrading', 'optimal')),
    ADD COLUMN IF NOT EXISTS analyzed_until timestamptz, -- measurements up to then have entered the verdict
    ADD COLUMN IF NOT EXISTS report text;                -- path of the run's report

-- One row each time a checkpoint was promoted. The baseline is that of the last row that was not undone.
SELECT pixel_lora.ensure_table('baselines');
SELECT pixel_lora.ensure_reference('baselines', 'epoch_result_id', 'epoch_results');

ALTER TABLE baselines
    ADD COLUMN IF NOT EXISTS promoted_at timestamptz DEFAULT now(),
    ADD COLUMN IF NOT EXISTS promoted_by text,
    ADD COLUMN IF NOT EXISTS undone_at timestamptz,
    ADD COLUMN IF NOT EXISTS undone_by text,
    ADD COLUMN IF NOT EXISTS release_folder text,        -- with the copy of the checkpoint and its model card
    ADD COLUMN IF NOT EXISTS checkpoint_file text,       -- name of the copy in it
    ADD COLUMN IF NOT EXISTS checkpoint_sha256 text;
