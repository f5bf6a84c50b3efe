-- One row per image. Rows without an epoch are images of the base model alone.

SELECT pixel_lora.ensure_table('prompt_test_results');
SELECT pixel_lora.ensure_reference('prompt_test_results', 'epoch_result_id', 'epoch_results', 'CASCADE');

ALTER TABLE prompt_test_results
    ADD COLUMN IF NOT EXISTS suite_name text,
    ADD COLUMN IF NOT EXISTS suite_version text,
    ADD COLUMN IF NOT EXISTS prompt_id text,
    ADD COLUMN IF NOT EXISTS prompt text,
    ADD COLUMN IF NOT EXISTS negative_prompt text,
    ADD COLUMN IF NOT EXISTS seed bigint,
    ADD COLUMN IF NOT EXISTS fingerprint jsonb,        -- everything that shaped the image
    ADD COLUMN IF NOT EXISTS fingerprint_hash text,
    ADD COLUMN IF NOT EXISTS image_sha256 text,        -- its file in the image store
    ADD COLUMN IF NOT EXISTS width integer,
    ADD COLUMN IF NOT EXISTS height integer,
    ADD COLUMN IF NOT EXISTS fault text,               -- why it shows nothing that could be measured
    ADD COLUMN IF NOT EXISTS warnings text[],
    ADD COLUMN IF NOT EXISTS metrics jsonb,
    ADD COLUMN IF NOT EXISTS metrics_version text,
    ADD COLUMN IF NOT EXISTS created_at timestamptz;

CREATE UNIQUE INDEX IF NOT EXISTS prompt_test_results_fingerprint
    ON prompt_test_results (epoch_result_id, fingerprint_hash) NULLS NOT DISTINCT
    WHERE fingerprint_hash IS NOT NULL;
