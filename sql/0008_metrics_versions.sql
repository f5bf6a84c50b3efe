-- What every version of the metrics measured. prompt_test_results.metrics and epoch_results.quantitative_metrics stay
-- what is current; here are, beside it, the numbers of the versions before, which a new version does not touch.

SELECT pixel_lora.ensure_table('image_measurements');
SELECT pixel_lora.ensure_reference('image_measurements', 'prompt_test_result_id', 'prompt_test_results', 'CASCADE');

ALTER TABLE image_measurements
    ADD COLUMN IF NOT EXISTS metrics_version text,
    ADD COLUMN IF NOT EXISTS image_sha256 text,            -- what was measured: the row's image may be painted anew
    ADD COLUMN IF NOT EXISTS metrics jsonb,
    ADD COLUMN IF NOT EXISTS measured_at timestamptz;

CREATE UNIQUE INDEX IF NOT EXISTS image_measurements_version
    ON image_measurements (prompt_test_result_id, metrics_version);

SELECT pixel_lora.ensure_table('epoch_metrics');
SELECT pixel_lora.ensure_reference('epoch_metrics', 'epoch_result_id', 'epoch_results', 'CASCADE');

ALTER TABLE epoch_metrics
    ADD COLUMN IF NOT EXISTS metrics_version text,
    ADD COLUMN IF NOT EXISTS metrics jsonb,
    ADD COLUMN IF NOT EXISTS measured_at timestamptz;

CREATE UNIQUE INDEX IF NOT EXISTS epoch_metrics_version ON epoch_metrics (epoch_result_id, metrics_version);

-- The image on its own grid in its own palette, one pixel a cell: its file in the image store.
ALTER TABLE prompt_test_results ADD COLUMN IF NOT EXISTS snapped_sha256 text;

-- What was measured before there were versions to keep.
INSERT INTO image_measurements (prompt_test_result_id, metrics_version, image_sha256, metrics, measured_at)
SELECT id, metrics_version, image_sha256, metrics::text::jsonb, coalesce(created_at, now())
FROM prompt_test_results
WHERE metrics IS NOT NULL AND metrics_version IS NOT NULL AND fingerprint_hash IS NOT NULL
ON CONFLICT DO NOTHING;

INSERT INTO epoch_metrics (epoch_result_id, metrics_version, metrics, measured_at)
SELECT id, coalesce(quantitative_metrics::jsonb ->> 'metrics_version', 'unknown'), quantitative_metrics::jsonb,
       coalesce(measured_at, now())
FROM epoch_results
WHERE jsonb_typeof(quantitative_metrics::jsonb) = 'object'
ON CONFLICT DO NOTHING;

-- Every epoch as every version saw it, the oldest measurement first; the changes are those from the version before.
SELECT pixel_lora.ensure_view('v_metrics_versions', $$
    WITH measured AS (
        SELECT run.run_name, epoch.id AS epoch_result_id, epoch.epoch_number, epoch.step, kept.metrics_version,
            kept.metrics_version IS NOT DISTINCT FROM
                coalesce(epoch.quantitative_metrics::jsonb ->> 'metrics_version', 'unknown') AS is_current,
            CASE jsonb_typeof(kept.metrics::jsonb #> '{color_accuracy,overall}') WHEN 'number' THEN
                (kept.metrics::jsonb #>> '{color_accuracy,overall}')::double precision END AS color_accuracy,
            CASE jsonb_typeof(kept.metrics::jsonb #> '{style_quality,overall}') WHEN 'number' THEN
                (kept.metrics::jsonb #>> '{style_quality,overall}')::double precision END AS style_quality,
            CASE jsonb_typeof(kept.metrics::jsonb -> 'overall_score') WHEN 'number' THEN
                (kept.metrics::jsonb ->> 'overall_score')::double precision END AS overall_score,
            kept.measured_at
        FROM epoch_metrics kept
        JOIN epoch_results epoch ON epoch.id = kept.epoch_result_id
        JOIN training_runs run ON run.id = epoch.training_run_id
        WHERE epoch.superseded_at IS NULL AND kept.metrics_version IS NOT NULL
    )
    SELECT *,
        color_accuracy - lag(color_accuracy) OVER versions AS color_accuracy_change,
        style_quality - lag(style_quality) OVER versions AS style_quality_change,
        overall_score - lag(overall_score) OVER versions AS overall_score_change
    FROM measured
    WINDOW versions AS (PARTITION BY epoch_result_id ORDER BY measured_at, metrics_version)
    ORDER BY run_name, epoch_number, step, measured_at, metrics_version
$$);
