-- Blind comparisons of checkpoints by people: the tests, who judges, and every vote.

SELECT pixel_lora.ensure_table('ab_tests');

ALTER TABLE ab_tests
    ADD COLUMN IF NOT EXISTS name text,
    ADD COLUMN IF NOT EXISTS models jsonb,               -- epoch_id, run_name, epoch of each: A, B, … in this order
    ADD COLUMN IF NOT EXISTS cases jsonb,                -- prompts with seeds, and of each the image of every model
    ADD COLUMN IF NOT EXISTS created_at timestamptz DEFAULT now(),
    ADD COLUMN IF NOT EXISTS created_by text,
    ADD COLUMN IF NOT EXISTS ended_at timestamptz,       -- from then on nobody votes
    ADD COLUMN IF NOT EXISTS decisions jsonb DEFAULT '[]';  -- who ended it or left a judge out, when and why

SELECT pixel_lora.ensure_table('ab_judges');
SELECT pixel_lora.ensure_reference('ab_judges', 'ab_test_id', 'ab_tests');

ALTER TABLE ab_judges
    ADD COLUMN IF NOT EXISTS judge text,
    ADD COLUMN IF NOT EXISTS joined_at timestamptz DEFAULT now(),
    ADD COLUMN IF NOT EXISTS joined_by text,             -- the login behind the name
    ADD COLUMN IF NOT EXISTS secret_sha256 text,         -- of what proves that a vote is this judge's
    ADD COLUMN IF NOT EXISTS plan jsonb,                 -- what is shown, in order and with sides
    ADD COLUMN IF NOT EXISTS counts boolean DEFAULT true,  -- false once left out of the result
    ADD COLUMN IF NOT EXISTS shown_position integer,     -- the pair before the judge's eyes
    ADD COLUMN IF NOT EXISTS shown_at timestamptz,
    ADD COLUMN IF NOT EXISTS token_sha256 text;          -- of what votes on that pair, once

CREATE UNIQUE INDEX IF NOT EXISTS ab_judges_name ON ab_judges (ab_test_id, lower(judge));

SELECT pixel_lora.ensure_table('ab_votes');
SELECT pixel_lora.ensure_reference('ab_votes', 'ab_test_id', 'ab_tests');
SELECT pixel_lora.ensure_reference('ab_votes', 'ab_judge_id', 'ab_judges');

ALTER TABLE ab_votes
    ADD COLUMN IF NOT EXISTS position integer,           -- in the judge's plan
    ADD COLUMN IF NOT EXISTS case_number integer,        -- place in ab_tests.cases, from 0
    ADD COLUMN IF NOT EXISTS prompt_id text,
    ADD COLUMN IF NOT EXISTS seed bigint,
    ADD COLUMN IF NOT EXISTS kind text CHECK (kind IN ('comparison', 'repeat', 'same')),
    ADD COLUMN IF NOT EXISTS left_model smallint,        -- place in ab_tests.models, from 0
    ADD COLUMN IF NOT EXISTS right_model smallint,
    ADD COLUMN IF NOT EXISTS choice text CHECK (choice IN ('left', 'right', 'tie')),
    ADD COLUMN IF NOT EXISTS shown_at timestamptz,
    ADD COLUMN IF NOT EXISTS voted_at timestamptz DEFAULT now(),
    ADD COLUMN IF NOT EXISTS undone_at timestamptz;      -- taken back by its judge; it stays on record

-- A judge has one say on each pair.
CREATE UNIQUE INDEX IF NOT EXISTS ab_votes_pair ON ab_votes (ab_judge_id, position) WHERE undone_at IS NULL;
CREATE INDEX IF NOT EXISTS ab_votes_test ON ab_votes (ab_test_id);

-- Pages that show votes or principles hear of changes.
CREATE TRIGGER tell_lab AFTER INSERT OR UPDATE OR DELETE
    ON ab_votes FOR EACH ROW EXECUTE FUNCTION pixel_lora.tell_lab_of_row('vote', 'ab_test_id');
CREATE TRIGGER tell_lab AFTER INSERT OR UPDATE OF ended_at, decisions
    ON ab_tests FOR EACH ROW EXECUTE FUNCTION pixel_lora.tell_lab_of_row('vote', 'id');
CREATE TRIGGER tell_lab AFTER INSERT OR UPDATE OF principle
    ON general_principles FOR EACH ROW EXECUTE FUNCTION pixel_lora.tell_lab_of_row('principle', 'id');
