-- Machines that the guard may stop, every decision about each, and the kill switch.
--
-- Nothing is stopped that is not in auto_stop_machines: trainings that we have started get there by themselves, pods and
-- processes by hand. All moments are of this database's clock, so that no two machines' clocks are ever compared.

SELECT pixel_lora.ensure_table('auto_stop_machines');
SELECT pixel_lora.ensure_reference('auto_stop_machines', 'experiment_id', 'experiments', 'SET NULL');

ALTER TABLE auto_stop_machines
    ADD COLUMN IF NOT EXISTS kind text CHECK (kind IN ('training', 'pod', 'process')),
    ADD COLUMN IF NOT EXISTS name text,                  -- of the pod, of the process with its host, of the training
    ADD COLUMN IF NOT EXISTS found_by jsonb,             -- by what it is found again
    ADD COLUMN IF NOT EXISTS run_name text,              -- whose verdict counts
    ADD COLUMN IF NOT EXISTS folder text,                -- the training's own, in which its checkpoints land
    ADD COLUMN IF NOT EXISTS usd_limit numeric CHECK (usd_limit > 0),
    ADD COLUMN IF NOT EXISTS hours_limit double precision CHECK (hours_limit > 0),
    ADD COLUMN IF NOT EXISTS registered_by text,
    ADD COLUMN IF NOT EXISTS registered_at timestamptz DEFAULT clock_timestamp(),
    ADD COLUMN IF NOT EXISTS unwatched_at timestamptz,
    -- What is remembered from look to look, see train/auto_stop/watch.py.
    ADD COLUMN IF NOT EXISTS phase text DEFAULT 'armed' CHECK (phase IN ('armed', 'stopping', 'stopped', 'gone')),
    ADD COLUMN IF NOT EXISTS armed_at timestamptz DEFAULT clock_timestamp(),
    ADD COLUMN IF NOT EXISTS looked_at timestamptz,
    ADD COLUMN IF NOT EXISTS last_good_at timestamptz DEFAULT clock_timestamp(),
    ADD COLUMN IF NOT EXISTS highest_rate numeric,       -- US$ an hour
    ADD COLUMN IF NOT EXISTS due_since timestamptz,
    ADD COLUMN IF NOT EXISTS stop_asked_at timestamptz,
    ADD COLUMN IF NOT EXISTS previous jsonb;             -- what the last look has found

-- One pod is watched once, under one set of limits.
CREATE UNIQUE INDEX IF NOT EXISTS auto_stop_machines_watched ON auto_stop_machines (name) WHERE unwatched_at IS NULL;
-- A training that somebody does not want to be watched is not registered again.
CREATE UNIQUE INDEX IF NOT EXISTS auto_stop_machines_experiment ON auto_stop_machines (experiment_id);

SELECT pixel_lora.ensure_table('auto_stop_decisions');
SELECT pixel_lora.ensure_reference('auto_stop_decisions', 'machine_id', 'auto_stop_machines', 'SET NULL');

ALTER TABLE auto_stop_decisions
    ADD COLUMN IF NOT EXISTS at timestamptz DEFAULT clock_timestamp(),
    ADD COLUMN IF NOT EXISTS machine text,               -- its name, which outlives its row
    ADD COLUMN IF NOT EXISTS action text,
    ADD COLUMN IF NOT EXISTS rules text[],
    ADD COLUMN IF NOT EXISTS reason text,
    ADD COLUMN IF NOT EXISTS phase text,                 -- afterwards
    ADD COLUMN IF NOT EXISTS mode text,
    ADD COLUMN IF NOT EXISTS policy jsonb,
    ADD COLUMN IF NOT EXISTS reading jsonb,              -- what was read
    ADD COLUMN IF NOT EXISTS age_seconds double precision,  -- how old that was when it was decided on
    ADD COLUMN IF NOT EXISTS previous jsonb,             -- the look before, as it took part in the decision
    ADD COLUMN IF NOT EXISTS version text,               -- of the code that decided
    ADD COLUMN IF NOT EXISTS decided_by text;            -- host and process, or the person

CREATE INDEX IF NOT EXISTS auto_stop_decisions_machine ON auto_stop_decisions (machine_id, at DESC);
CREATE INDEX IF NOT EXISTS auto_stop_decisions_at ON auto_stop_decisions (at DESC);

-- The newest row counts. Every change stays on record.
SELECT pixel_lora.ensure_table('auto_stop_switches');

ALTER TABLE auto_stop_switches
    ADD COLUMN IF NOT EXISTS is_off boolean,
    ADD COLUMN IF NOT EXISTS why text,
    ADD COLUMN IF NOT EXISTS switched_by text,
    ADD COLUMN IF NOT EXISTS at timestamptz DEFAULT clock_timestamp();
