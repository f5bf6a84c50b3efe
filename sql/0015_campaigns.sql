-- Campaigns: trainings that are chosen, started and judged one after the other, by people's leave.

SELECT pixel_lora.ensure_table('campaigns');

ALTER TABLE campaigns
    ADD COLUMN IF NOT EXISTS state text CHECK (state IN ('ACTIVE', 'ENDED')),
    ADD COLUMN IF NOT EXISTS budget_runs integer CHECK (budget_runs > 0),
    ADD COLUMN IF NOT EXISTS most_running integer CHECK (most_running > 0),
    ADD COLUMN IF NOT EXISTS needs_approval boolean,     -- whether only what people queued is started
    ADD COLUMN IF NOT EXISTS target double precision,    -- of overall_score, at which it is over
    ADD COLUMN IF NOT EXISTS base jsonb,                 -- what all trainings share, in Kohya's names
    ADD COLUMN IF NOT EXISTS started_by text,
    ADD COLUMN IF NOT EXISTS reason text,                -- why it is over
    ADD COLUMN IF NOT EXISTS created_at timestamptz DEFAULT now(),
    ADD COLUMN IF NOT EXISTS ended_at timestamptz;

-- One at a time: two would learn nothing from each other's runs.
CREATE UNIQUE INDEX IF NOT EXISTS campaigns_active ON campaigns (state) WHERE state = 'ACTIVE';

SELECT pixel_lora.ensure_reference('experiments', 'campaign_id', 'campaigns');

ALTER TABLE experiments
    ADD COLUMN IF NOT EXISTS claimed_by text,            -- who starts and watches the training, as a Dagster run's id
    ADD COLUMN IF NOT EXISTS training jsonb;             -- by what the trainer finds it again
