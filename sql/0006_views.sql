-- Runs side by side, as the roadmap defines it.
SELECT pixel_lora.ensure_view('v_training_comparison', $$
    SELECT
        run_name,
        all_parameters->>'network_dim' AS network_dim,
        all_parameters->>'learning_rate' AS learning_rate,
        all_parameters->>'caption_version' AS caption_version,
        quality_score,
        overall_verdict,
        best_epoch
    FROM training_runs
    ORDER BY run_date DESC
$$);

-- The course of every run: scores by eye and by measurement, of the newest file of each epoch.
SELECT pixel_lora.ensure_view('v_epoch_progress', $$
    SELECT
        run.run_name,
        epoch.training_run_id,
        epoch.id AS epoch_result_id,
        epoch.epoch_number,
        epoch.step,
        epoch.visual_quality_score,
        epoch.style_match_score,
        epoch.prompt_adherence_score,
        CASE jsonb_typeof(epoch.quantitative_metrics::jsonb #> '{color_accuracy,overall}') WHEN 'number' THEN
            (epoch.quantitative_metrics::jsonb #>> '{color_accuracy,overall}')::double precision END AS color_accuracy,
        CASE jsonb_typeof(epoch.quantitative_metrics::jsonb #> '{style_quality,overall}') WHEN 'number' THEN
            (epoch.quantitative_metrics::jsonb #>> '{style_quality,overall}')::double precision END AS style_quality,
        epoch.evaluation_status,
        epoch.convergence_status,
        epoch.contact_sheet,
        epoch.notes
    FROM epoch_results epoch
    JOIN training_runs run ON run.id = epoch.training_run_id
    WHERE epoch.superseded_at IS NULL
    ORDER BY run.run_name, epoch.epoch_number, epoch.step
$$);
