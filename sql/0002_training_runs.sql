-- One row per training run.

SELECT pixel_lora.ensure_table('training_runs', '{run_name}');

ALTER TABLE training_runs
    ADD COLUMN IF NOT EXISTS run_name text NOT NULL UNIQUE,
    ADD COLUMN IF NOT EXISTS status text,
    ADD COLUMN IF NOT EXISTS run_date timestamptz,

    -- Parameters under Kohya's names, for reading and sorting. The complete set is in all_parameters.
    ADD COLUMN IF NOT EXISTS network_dim integer,
    ADD COLUMN IF NOT EXISTS network_alpha double precision,
    ADD COLUMN IF NOT EXISTS conv_dim integer,
    ADD COLUMN IF NOT EXISTS conv_alpha double precision,
    ADD COLUMN IF NOT EXISTS learning_rate double precision,
    ADD COLUMN IF NOT EXISTS unet_lr double precision,
    ADD COLUMN IF NOT EXISTS text_encoder_lr double precision,
    ADD COLUMN IF NOT EXISTS lr_scheduler text,
    ADD COLUMN IF NOT EXISTS lr_warmup_steps double precision,
    ADD COLUMN IF NOT EXISTS optimizer_type text,
    ADD COLUMN IF NOT EXISTS max_train_epochs integer,
    ADD COLUMN IF NOT EXISTS max_train_steps integer,
    ADD COLUMN IF NOT EXISTS train_batch_size integer,
    ADD COLUMN IF NOT EXISTS gradient_accumulation_steps integer,
    ADD COLUMN IF NOT EXISTS seed bigint,
    ADD COLUMN IF NOT EXISTS clip_skip integer,
    ADD COLUMN IF NOT EXISTS caption_version text,
    ADD COLUMN IF NOT EXISTS keep_tokens integer,
    ADD COLUMN IF NOT EXISTS shuffle_caption boolean,
    ADD COLUMN IF NOT EXISTS caption_dropout_rate double precision,
    ADD COLUMN IF NOT EXISTS color_aug boolean,
    ADD COLUMN IF NOT EXISTS flip_aug boolean,
    ADD COLUMN IF NOT EXISTS noise_offset double precision,
    ADD COLUMN IF NOT EXISTS min_snr_gamma double precision,
    ADD COLUMN IF NOT EXISTS max_grad_norm double precision,
    ADD COLUMN IF NOT EXISTS mixed_precision text,
    ADD COLUMN IF NOT EXISTS resolution text,
    ADD COLUMN IF NOT EXISTS min_bucket_reso integer,
    ADD COLUMN IF NOT EXISTS max_bucket_reso integer,
    ADD COLUMN IF NOT EXISTS bucket_no_upscale boolean,

    ADD COLUMN IF NOT EXISTS all_parameters jsonb,
    ADD COLUMN IF NOT EXISTS parameter_sources jsonb,    -- name → header, sidecar, dataset, tensors, file name
    ADD COLUMN IF NOT EXISTS parameters_missing jsonb,   -- name → why nothing is known of it

    -- Where the run comes from. The identity tells apart runs that were given the same output name; rows without
    -- one were not written by the pipeline.
    ADD COLUMN IF NOT EXISTS run_identity text,
    ADD COLUMN IF NOT EXISTS session_id text,
    ADD COLUMN IF NOT EXISTS output_name text,
    ADD COLUMN IF NOT EXISTS base_model text,
    ADD COLUMN IF NOT EXISTS base_architecture text,
    ADD COLUMN IF NOT EXISTS adapter text,
    ADD COLUMN IF NOT EXISTS planned_epochs integer,
    ADD COLUMN IF NOT EXISTS starting_checkpoint text,
    ADD COLUMN IF NOT EXISTS last_checkpoint_at timestamptz,

    -- Results.
    ADD COLUMN IF NOT EXISTS quality_score double precision,
    ADD COLUMN IF NOT EXISTS best_epoch integer,
    ADD COLUMN IF NOT EXISTS overall_verdict text,
    ADD COLUMN IF NOT EXISTS parameter_analysis jsonb,
    ADD COLUMN IF NOT EXISTS root_cause_diagnosis jsonb,
    ADD COLUMN IF NOT EXISTS recommended_next_steps text[],

    -- Cost.
    ADD COLUMN IF NOT EXISTS gpu_type text,
    ADD COLUMN IF NOT EXISTS gpu_seconds double precision,
    ADD COLUMN IF NOT EXISTS cost_usd numeric(12, 4);

SELECT pixel_lora.ensure_reference('training_runs', 'parent_run_id', 'training_runs');

SELECT pixel_lora.ensure_document_index('idx_training_runs_parameters', 'training_runs', 'all_parameters');

CREATE UNIQUE INDEX IF NOT EXISTS training_runs_identity ON training_runs (run_identity)
    WHERE run_identity IS NOT NULL;
-- An older table may hold a name more than once; among the rows that we write each is unique.
CREATE UNIQUE INDEX IF NOT EXISTS training_runs_name_of_identified ON training_runs (run_name)
    WHERE run_identity IS NOT NULL;
