-- What has changed, for the pages that show it: each transaction says once which run, experiment, … it was about.
--
-- A reader remembers the snapshot that it has seen, and asks for the events that were not visible in it. A transaction
-- that commits late is not missed then, as it would be with ascending numbers, and none waits for another.

CREATE TABLE pixel_lora.lab_events (
    transaction_id xid8 NOT NULL DEFAULT pg_current_xact_id(),
    kind           text NOT NULL,               -- run, epoch, images, experiment, notification, baseline, …
    subject        text NOT NULL,               -- the id of the row that it is about; of the run for epochs and images
    at             timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (transaction_id, kind, subject)
);
CREATE INDEX lab_events_at ON pixel_lora.lab_events (at);
ALTER TABLE pixel_lora.lab_events ENABLE ROW LEVEL SECURITY;
-- Older than whatever a reader has seen: as long as there is such a one, no event after it was deleted.
INSERT INTO pixel_lora.lab_events (kind, subject) VALUES ('start', '');

-- Tells the pages that something has changed, once this transaction is committed. The notification is a wake-up and
-- nothing more: what happened stands in the table.
--
-- Whoever may write to a table may cause this, so these functions run with the rights of their owner.
CREATE FUNCTION pixel_lora.tell_lab(kind text, subject text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pixel_lora, pg_temp AS $$
    INSERT INTO pixel_lora.lab_events (kind, subject) VALUES (kind, coalesce(subject, '')) ON CONFLICT DO NOTHING;
    SELECT pg_notify('pixel_lora_lab', '');
$$;

-- Arguments: the kind of event, and the column that says what it is about.
CREATE FUNCTION pixel_lora.tell_lab_of_row() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pixel_lora, pg_temp AS $$
DECLARE
    subject text;
BEGIN
    EXECUTE format('SELECT ($1).%I::text', TG_ARGV[1]) INTO subject USING coalesce(NEW, OLD);
    PERFORM pixel_lora.tell_lab(TG_ARGV[0], subject);
    RETURN NULL;
END
$$;

CREATE TRIGGER tell_lab AFTER INSERT OR DELETE OR UPDATE OF
    run_name, status, planned_epochs, last_checkpoint_at, convergence, best_epoch, quality_score, overall_verdict,
    root_cause_diagnosis, recommended_next_steps, gpu_seconds, cost_usd, report
    ON training_runs FOR EACH ROW EXECUTE FUNCTION pixel_lora.tell_lab_of_row('run', 'id');

CREATE TRIGGER tell_lab AFTER INSERT OR DELETE OR UPDATE OF
    evaluation_status, quantitative_metrics, convergence, diagnosed_issues, recommendations, report, superseded_at,
    visual_quality_score, style_match_score, prompt_adherence_score, notes
    ON epoch_results FOR EACH ROW EXECUTE FUNCTION pixel_lora.tell_lab_of_row('epoch', 'training_run_id');

CREATE TRIGGER tell_lab AFTER INSERT OR DELETE OR UPDATE
    ON experiments FOR EACH ROW EXECUTE FUNCTION pixel_lora.tell_lab_of_row('experiment', 'id');
CREATE TRIGGER tell_lab AFTER INSERT OR UPDATE OF state
    ON notifications FOR EACH ROW EXECUTE FUNCTION pixel_lora.tell_lab_of_row('notification', 'id');
CREATE TRIGGER tell_lab AFTER INSERT OR UPDATE
    ON baselines FOR EACH ROW EXECUTE FUNCTION pixel_lora.tell_lab_of_row('baseline', 'id');
CREATE TRIGGER tell_lab AFTER INSERT
    ON refused_checkpoints FOR EACH ROW EXECUTE FUNCTION pixel_lora.tell_lab_of_row('refusal', 'id');
CREATE TRIGGER tell_lab AFTER INSERT
    ON impact_reports FOR EACH ROW EXECUTE FUNCTION pixel_lora.tell_lab_of_row('report', 'id');

-- Of images, which come by the thousand, only the runs that they are of.
CREATE FUNCTION pixel_lora.tell_lab_of_images() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pixel_lora, pg_temp AS $$
BEGIN
    EXECUTE format('
        SELECT pixel_lora.tell_lab(''images'', run)
        FROM (SELECT DISTINCT epoch.training_run_id::text AS run
              FROM added JOIN %I.epoch_results epoch ON epoch.id = added.epoch_result_id) runs', TG_TABLE_SCHEMA);
    RETURN NULL;
END
$$;

CREATE TRIGGER tell_lab AFTER INSERT ON prompt_test_results
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION pixel_lora.tell_lab_of_images();
