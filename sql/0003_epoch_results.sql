-- One row per checkpoint of a run: usually one an epoch; one more when a file was overwritten with other content.

SELECT pixel_lora.ensure_table('epoch_results', '{training_run_id}');
SELECT pixel_lora.ensure_reference('epoch_results', 'training_run_id', 'training_runs');
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM epoch_results) THEN
        ALTER TABLE epoch_results ALTER COLUMN training_run_id SET NOT NULL;
    END IF;
END $$;

ALTER TABLE epoch_results
    ADD COLUMN IF NOT EXISTS epoch_number integer,
    ADD COLUMN IF NOT EXISTS step bigint,

    -- The file. A row without a hash was scored by hand and has no checkpoint that we saw.
    ADD COLUMN IF NOT EXISTS checkpoint_sha256 text,
    ADD COLUMN IF NOT EXISTS checkpoint_path text,
    ADD COLUMN IF NOT EXISTS checkpoint_size bigint,
    ADD COLUMN IF NOT EXISTS checkpoint_signature text,
    ADD COLUMN IF NOT EXISTS partition_key text,
    ADD COLUMN IF NOT EXISTS is_final boolean,
    ADD COLUMN IF NOT EXISTS registered_at timestamptz,  -- when its file was last seen
    ADD COLUMN IF NOT EXISTS superseded_at timestamptz,  -- when another file took its place

    -- Scores by eye.
    ADD COLUMN IF NOT EXISTS visual_quality_score smallint CHECK (visual_quality_score BETWEEN 1 AND 10),
    ADD COLUMN IF NOT EXISTS style_match_score smallint CHECK (style_match_score BETWEEN 1 AND 10),
    ADD COLUMN IF NOT EXISTS prompt_adherence_score smallint CHECK (prompt_adherence_score BETWEEN 1 AND 10),
    ADD COLUMN IF NOT EXISTS notes text,
    ADD COLUMN IF NOT EXISTS scored_at timestamptz,

    -- Measurements: the rollup over all images of the checkpoint.
    ADD COLUMN IF NOT EXISTS quantitative_metrics jsonb,
    ADD COLUMN IF NOT EXISTS color_accuracy_score double precision,  -- 1 to 10, of the rollup
    ADD COLUMN IF NOT EXISTS measured_at timestamptz,
    ADD COLUMN IF NOT EXISTS contact_sheet text,                     -- path of the picture with all images
    ADD COLUMN IF NOT EXISTS evaluation_status text
        CHECK (evaluation_status IN ('registered', 'generated', 'evaluated', 'failed')),

    -- Conclusions.
    ADD COLUMN IF NOT EXISTS diagnosed_issues jsonb,
    ADD COLUMN IF NOT EXISTS recommendations text[],
    ADD COLUMN IF NOT EXISTS convergence_status text
        CHECK (convergence_status IN ('continue', 'plateau', 'degrading', 'optimal'));

SELECT pixel_lora.ensure_document_index('idx_epoch_results_metrics', 'epoch_results', 'quantitative_metrics');

CREATE UNIQUE INDEX IF NOT EXISTS epoch_results_checkpoint
    ON epoch_results (training_run_id, epoch_number, step, checkpoint_sha256) NULLS NOT DISTINCT
    WHERE checkpoint_sha256 IS NOT NULL;
CREATE INDEX IF NOT EXISTS epoch_results_run ON epoch_results (training_run_id, epoch_number);
CREATE INDEX IF NOT EXISTS epoch_results_partition ON epoch_results (partition_key);
