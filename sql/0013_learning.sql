-- What all runs together say: which parameters matter, which rules held up, and the reports on both.

-- Colours of the pictures that a run was trained on, as #rrggbb, once they were looked at.
ALTER TABLE training_runs ADD COLUMN IF NOT EXISTS training_palette text[];

-- One row for each metric and class of parameters that the runs cannot tell apart, as of the last assessment.
SELECT pixel_lora.ensure_table('parameter_evidence');

ALTER TABLE parameter_evidence
    ADD COLUMN IF NOT EXISTS metric text,
    ADD COLUMN IF NOT EXISTS parameters text[],
    ADD COLUMN IF NOT EXISTS rank integer,              -- within the metric, the most probable first
    ADD COLUMN IF NOT EXISTS category text
        CHECK (category IN ('CRITICAL', 'HIGH', 'MODERATE', 'NONE', 'INSUFFICIENT')),
    ADD COLUMN IF NOT EXISTS aliased boolean,
    ADD COLUMN IF NOT EXISTS pip double precision,      -- posterior inclusion probability
    ADD COLUMN IF NOT EXISTS effect double precision,
    ADD COLUMN IF NOT EXISTS n_runs integer,
    ADD COLUMN IF NOT EXISTS evidence jsonb,            -- every column of learn.assess_parameters
    ADD COLUMN IF NOT EXISTS assessed_at timestamptz DEFAULT now();

CREATE UNIQUE INDEX IF NOT EXISTS parameter_evidence_rank ON parameter_evidence (metric, rank);

-- Rules that were stated at some time, with what became of them; none is ever deleted.
SELECT pixel_lora.ensure_table('general_principles');

ALTER TABLE general_principles
    ADD COLUMN IF NOT EXISTS principle_id text,
    ADD COLUMN IF NOT EXISTS statement text,
    ADD COLUMN IF NOT EXISTS metric text,
    ADD COLUMN IF NOT EXISTS status text,
    ADD COLUMN IF NOT EXISTS principle jsonb,           -- all of it: evidence, counter-examples, history, revocation rule
    ADD COLUMN IF NOT EXISTS first_stated_at timestamptz DEFAULT now(),
    ADD COLUMN IF NOT EXISTS updated_at timestamptz DEFAULT now();

CREATE UNIQUE INDEX IF NOT EXISTS general_principles_id ON general_principles (principle_id);

SELECT pixel_lora.ensure_table('impact_reports');

ALTER TABLE impact_reports
    ADD COLUMN IF NOT EXISTS created_at timestamptz DEFAULT now(),
    ADD COLUMN IF NOT EXISTS period_end date,           -- of a weekly one, the day it was due; null if asked for
    ADD COLUMN IF NOT EXISTS page text,                 -- path of the HTML file
    ADD COLUMN IF NOT EXISTS document jsonb;            -- its figures, which the next one is compared with
