-- How thoroughly each epoch is looked at, and the prompt suites by which its images were asked for.

ALTER TABLE epoch_results
    ADD COLUMN IF NOT EXISTS depth text CHECK (depth IN ('quick', 'medium', 'full')),
    ADD COLUMN IF NOT EXISTS depth_decided_at timestamptz;  -- after measured_at: a finer look is still to come

-- Epochs that were evaluated before there were depths had been asked the whole suite of their time.
UPDATE epoch_results SET depth = 'full' WHERE depth IS NULL AND evaluation_status IN ('generated', 'evaluated');

SELECT pixel_lora.ensure_table('prompt_suites');

ALTER TABLE prompt_suites
    ADD COLUMN IF NOT EXISTS suite_name text,
    ADD COLUMN IF NOT EXISTS suite_version text,           -- as prompt_test_results has it
    ADD COLUMN IF NOT EXISTS content jsonb,                -- what the suite's file said
    ADD COLUMN IF NOT EXISTS first_used_at timestamptz;

CREATE UNIQUE INDEX IF NOT EXISTS prompt_suites_version ON prompt_suites (suite_name, suite_version);
