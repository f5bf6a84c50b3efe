-- What used a machine from when to when, what that costs, and what it may cost.
--
-- Everything is UTC, every period is half-open, money is numeric. Several rows may tell of the same time of a machine
-- (the process, its epochs, the readings of its pod): whoever counts takes each moment of a machine once, see
-- train/costs/shares.py. No constraint forbids overlaps, because none of those rows is wrong.

-- When a checkpoint was saved, by its own header (ss_training_finished_at).
ALTER TABLE epoch_results ADD COLUMN IF NOT EXISTS saved_at timestamptz;

-- What we have counted of a run, with how sure that is. Its gpu_type, gpu_seconds and cost_usd are ours as long as they
-- say the same; anything else was written by somebody else and stays.
ALTER TABLE training_runs ADD COLUMN IF NOT EXISTS cost_counted jsonb;

SELECT pixel_lora.ensure_table('gpu_usage');
-- What a deleted run has cost was spent nevertheless.
SELECT pixel_lora.ensure_reference('gpu_usage', 'training_run_id', 'training_runs', 'SET NULL');
SELECT pixel_lora.ensure_reference('gpu_usage', 'epoch_result_id', 'epoch_results', 'SET NULL');
SELECT pixel_lora.ensure_reference('gpu_usage', 'experiment_id', 'experiments', 'SET NULL');

ALTER TABLE gpu_usage
    ADD COLUMN IF NOT EXISTS kind text CHECK (kind IN ('training', 'evaluation', 'storage')),
    ADD COLUMN IF NOT EXISTS source text CHECK (source IN ('header', 'trainer', 'pod', 'measured')),
    ADD COLUMN IF NOT EXISTS machine text,               -- host:NAME, runpod:POD, or run:ID:… where only files are known
    ADD COLUMN IF NOT EXISTS provider text,              -- null, as gpu and cloud: what the configuration says
    ADD COLUMN IF NOT EXISTS gpu text,
    ADD COLUMN IF NOT EXISTS cloud text,
    ADD COLUMN IF NOT EXISTS period tstzrange
        CHECK (lower_inc(period) AND NOT upper_inc(period) AND NOT lower_inf(period) AND NOT upper_inf(period)),
    ADD COLUMN IF NOT EXISTS seconds numeric GENERATED ALWAYS AS (
        extract(epoch FROM upper(period) AT TIME ZONE 'UTC') - extract(epoch FROM lower(period) AT TIME ZONE 'UTC')
    ) STORED,
    ADD COLUMN IF NOT EXISTS usd_per_hour numeric CHECK (usd_per_hour >= 0),  -- as the provider said meanwhile
    ADD COLUMN IF NOT EXISTS gigabytes numeric CHECK (gigabytes >= 0),        -- of storage
    ADD COLUMN IF NOT EXISTS storage text CHECK (storage IN ('container', 'volume', 'stopped volume', 'network volume'));

-- What tells of the same thing again is the same row.
CREATE UNIQUE INDEX IF NOT EXISTS gpu_usage_fact ON gpu_usage (
    machine, source, kind, (coalesce(storage, '')), (coalesce(epoch_result_id::text, '')),
    (coalesce(training_run_id::text, '')), (coalesce(experiment_id::text, '')), lower(period)
);
CREATE INDEX IF NOT EXISTS gpu_usage_period ON gpu_usage USING gist (period);
CREATE INDEX IF NOT EXISTS gpu_usage_run ON gpu_usage (training_run_id);

-- List prices as providers' catalogues said them; those that are shipped stand in train/prices.toml.
SELECT pixel_lora.ensure_table('gpu_prices');

ALTER TABLE gpu_prices
    ADD COLUMN IF NOT EXISTS provider text,
    ADD COLUMN IF NOT EXISTS gpu text,
    ADD COLUMN IF NOT EXISTS gpu_id text,                -- what the provider calls it in orders
    ADD COLUMN IF NOT EXISTS cloud text,
    ADD COLUMN IF NOT EXISTS usd_per_hour numeric CHECK (usd_per_hour >= 0),
    ADD COLUMN IF NOT EXISTS source text,
    ADD COLUMN IF NOT EXISTS source_url text,
    ADD COLUMN IF NOT EXISTS retrieved timestamptz,      -- when it was last seen to be so
    ADD COLUMN IF NOT EXISTS valid tstzrange;            -- from when it was first seen, until another was

CREATE UNIQUE INDEX IF NOT EXISTS gpu_prices_current ON gpu_prices (provider, gpu, cloud) WHERE upper_inf(valid);

-- What providers have billed, as their records say it.
SELECT pixel_lora.ensure_table('billing_records');

ALTER TABLE billing_records
    ADD COLUMN IF NOT EXISTS provider text,
    ADD COLUMN IF NOT EXISTS machine text,               -- as gpu_usage has it
    ADD COLUMN IF NOT EXISTS period tstzrange,
    ADD COLUMN IF NOT EXISTS compute_usd numeric,
    ADD COLUMN IF NOT EXISTS storage_usd numeric,
    ADD COLUMN IF NOT EXISTS read_at timestamptz;

CREATE UNIQUE INDEX IF NOT EXISTS billing_records_bucket ON billing_records (machine, period);
CREATE INDEX IF NOT EXISTS billing_records_period ON billing_records USING gist (period);

-- What may be spent: in a month, or for a campaign or an experiment. The newest row of each counts.
SELECT pixel_lora.ensure_table('budgets');
SELECT pixel_lora.ensure_reference('budgets', 'campaign_id', 'campaigns', 'CASCADE');
SELECT pixel_lora.ensure_reference('budgets', 'experiment_id', 'experiments', 'CASCADE');

ALTER TABLE budgets
    ADD COLUMN IF NOT EXISTS month date CHECK (extract(day FROM month) = 1),
    ADD COLUMN IF NOT EXISTS amount_usd numeric CHECK (amount_usd >= 0),
    ADD COLUMN IF NOT EXISTS set_by text,
    ADD COLUMN IF NOT EXISTS set_at timestamptz DEFAULT now();
