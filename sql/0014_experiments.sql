-- The queue of trainings to run next, with what was expected of each and what came of it.

SELECT pixel_lora.ensure_table('experiments');
SELECT pixel_lora.ensure_reference('experiments', 'training_run_id', 'training_runs');

ALTER TABLE experiments
    ADD COLUMN IF NOT EXISTS title text,
    ADD COLUMN IF NOT EXISTS rationale text,
    ADD COLUMN IF NOT EXISTS source text,                -- what proposed it: diagnosis, evidence, search, a person
    ADD COLUMN IF NOT EXISTS priority text CHECK (priority IN ('HIGH', 'MEDIUM', 'LOW')),
    ADD COLUMN IF NOT EXISTS state text CHECK (state IN (
        'PROPOSED', 'QUEUED', 'RUNNING', 'EVALUATING', 'DONE', 'FAILED', 'SKIPPED', 'PENDING DATA',
        'REQUIRES DATASET WORK')),
    ADD COLUMN IF NOT EXISTS place double precision,     -- within the queue, the smallest first
    ADD COLUMN IF NOT EXISTS parameters jsonb,           -- the whole configuration
    ADD COLUMN IF NOT EXISTS configuration text,         -- its hash: what is open or was run is not proposed again
    ADD COLUMN IF NOT EXISTS proposal jsonb,             -- changes, expectations, confidence, estimates, risk
    ADD COLUMN IF NOT EXISTS prediction jsonb,
    ADD COLUMN IF NOT EXISTS outcome jsonb,
    ADD COLUMN IF NOT EXISTS output_name text,           -- of the training that was started for it
    ADD COLUMN IF NOT EXISTS decisions jsonb DEFAULT '[]',  -- who did what, when: nothing is overwritten
    ADD COLUMN IF NOT EXISTS created_at timestamptz DEFAULT now(),
    ADD COLUMN IF NOT EXISTS started_at timestamptz,
    ADD COLUMN IF NOT EXISTS ended_at timestamptz;

-- One configuration is open once.
CREATE UNIQUE INDEX IF NOT EXISTS experiments_open ON experiments (configuration)
    WHERE state NOT IN ('DONE', 'FAILED', 'SKIPPED');
CREATE UNIQUE INDEX IF NOT EXISTS experiments_output ON experiments (output_name);

-- What was predicted of trainings before they were run; each is compared with what came of it.
SELECT pixel_lora.ensure_table('trial_predictions');

ALTER TABLE trial_predictions
    ADD COLUMN IF NOT EXISTS metric text,
    ADD COLUMN IF NOT EXISTS parameters jsonb,           -- those that were asked about
    ADD COLUMN IF NOT EXISTS prediction jsonb,           -- value, interval, risk, recommendation, model, skill
    ADD COLUMN IF NOT EXISTS predicted_at timestamptz DEFAULT now();
