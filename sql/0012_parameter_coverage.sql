-- What runs are described by: which parameters there are, which of them are known of a run, and where the others could
-- come from.

-- The parameters as docs/parameters.md lists them, without those that differ from file to file of a run. Both are made
-- from the table in the code; what is added there is added here by a later file.
CREATE TABLE pixel_lora.parameter_taxonomy (
    name            text PRIMARY KEY,
    category        text NOT NULL,
    could_come_from text[] NOT NULL   -- the place that is believed most first
);
ALTER TABLE pixel_lora.parameter_taxonomy ENABLE ROW LEVEL SECURITY;

INSERT INTO pixel_lora.parameter_taxonomy (category, could_come_from, name)
SELECT category, could_come_from::text[], unnest(names::text[]) FROM (VALUES
    ('architecture', '{calculation, observations}',
     '{alpha_per_rank, conv_alpha_per_rank}'),
    ('architecture', '{configuration, observations}',
     '{dim_from_weights}'),
    ('architecture', '{configuration, tensors, observations}',
     '{network_train_unet_only, network_train_text_encoder_only}'),
    ('architecture', '{header, configuration, observations}',
     '{network_module, network_args, block_dims, block_alphas, conv_block_dims, conv_block_alphas, algo, preset,
       factor, dora_wd, use_tucker, decompose_both, v2, v_parameterization}'),
    ('architecture', '{header, configuration, tensors, observations}',
     '{network_dim, network_alpha, conv_dim, conv_alpha}'),
    ('architecture', '{header, observations}',
     '{base_model_version}'),
    ('architecture', '{tensors}',
     '{measured_linear_rank, measured_linear_alpha, measured_conv_rank, measured_conv_alpha, unet_modules,
       text_encoder_modules}'),
    ('augmentation', '{dataset_config, configuration, observations}',
     '{alpha_mask}'),
    ('augmentation', '{header, dataset_config, configuration, observations}',
     '{color_aug, flip_aug, random_crop, face_crop_aug_range}'),
    ('data_captions', '{calculation, observations}',
     '{num_images, images_times_repeats, caption_complexity, hex_codes_per_caption}'),
    ('data_captions', '{configuration, observations}',
     '{weighted_captions, train_data_dir, reg_data_dir, dataset_config}'),
    ('data_captions', '{dataset_config, configuration, observations}',
     '{caption_extension, caption_separator, token_warmup_min, token_warmup_step, custom_attributes}'),
    ('data_captions', '{header, configuration, observations}',
     '{max_token_length}'),
    ('data_captions', '{header, dataset_config, configuration, observations}',
     '{shuffle_caption, keep_tokens, keep_tokens_separator, secondary_separator, enable_wildcard, caption_prefix,
       caption_suffix, caption_dropout_rate, caption_dropout_every_n_epochs, caption_tag_dropout_rate,
       class_tokens, num_repeats}'),
    ('data_captions', '{header, observations}',
     '{tag_frequency, dataset_dirs, reg_dataset_dirs, img_count, num_train_images, num_reg_images,
       num_validation_images}'),
    ('data_captions', '{observations}',
     '{caption_version}'),
    ('hyperparameters', '{calculation, observations}',
     '{lr_times_alpha_per_rank, effective_batch_size}'),
    ('hyperparameters', '{configuration, observations}',
     '{lr_decay_steps, lr_scheduler_num_cycles, lr_scheduler_power, lr_scheduler_type, lr_scheduler_args,
       lr_scheduler_min_lr_ratio, lr_scheduler_timescale}'),
    ('hyperparameters', '{header, configuration, observations}',
     '{down_lr_weight, mid_lr_weight, up_lr_weight, block_lr_zero_threshold, loraplus_lr_ratio,
       loraplus_unet_lr_ratio, loraplus_text_encoder_lr_ratio, learning_rate, unet_lr, text_encoder_lr,
       optimizer_type, optimizer_args, lr_scheduler, lr_warmup_steps, gradient_accumulation_steps, seed, clip_skip}'),
    ('hyperparameters', '{header, dataset_config, configuration, observations}',
     '{train_batch_size, validation_split, validation_seed}'),
    ('hyperparameters', '{header, observations}',
     '{total_batch_size}'),
    ('noise_loss', '{configuration, observations}',
     '{masked_loss, scale_v_pred_loss_like_noise_pred, v_pred_like_loss, min_timestep, max_timestep}'),
    ('noise_loss', '{header, configuration, observations}',
     '{prior_loss_weight, noise_offset, noise_offset_random_strength, adaptive_noise_scale,
       multires_noise_iterations, multires_noise_discount, ip_noise_gamma, ip_noise_gamma_random_strength,
       zero_terminal_snr, min_snr_gamma, debiased_estimation_loss, loss_type, huber_schedule, huber_c, huber_scale}'),
    ('preprocessing_bucketing', '{configuration, observations}',
     '{cache_latents_to_disk, vae_batch_size, cache_text_encoder_outputs}'),
    ('preprocessing_bucketing', '{dataset_config, configuration, observations}',
     '{bucket_reso_steps}'),
    ('preprocessing_bucketing', '{header, configuration, observations}',
     '{cache_latents}'),
    ('preprocessing_bucketing', '{header, dataset_config, configuration, observations}',
     '{resolution, enable_bucket, min_bucket_reso, max_bucket_reso, bucket_no_upscale, resize_interpolation}'),
    ('preprocessing_bucketing', '{header, observations}',
     '{bucket_info}'),
    ('provenance', '{configuration, observations}',
     '{network_weights, base_weights, base_weights_multiplier, save_state, resume, sample_prompts, sample_sampler,
       no_metadata, logging_dir, config_file}'),
    ('provenance', '{configuration, tensors, observations}',
     '{save_precision}'),
    ('provenance', '{header, configuration, "file name", observations}',
     '{output_name}'),
    ('provenance', '{header, configuration, observations}',
     '{pretrained_model_name_or_path, vae, training_comment, metadata_title, metadata_author, metadata_description,
       metadata_license, metadata_tags, metadata_trigger_phrase, metadata_usage_hint, metadata_merged_from,
       metadata_thumbnail}'),
    ('provenance', '{header, observations}',
     '{session_id, sd_scripts_commit}'),
    ('stability', '{configuration, observations}',
     '{full_bf16, no_half_vae, xformers, sdpa}'),
    ('stability', '{header, configuration, observations}',
     '{network_dropout, rank_dropout, module_dropout, mixed_precision, full_fp16, fp8_base, fp8_base_unet,
       max_grad_norm, scale_weight_norms, gradient_checkpointing, lowram}'),
    ('timing', '{calculation, observations}',
     '{steps_per_epoch}'),
    ('timing', '{configuration, observations}',
     '{save_every_n_epochs, save_every_n_steps, save_last_n_epochs, initial_epoch, initial_step,
       sample_every_n_epochs, max_data_loader_n_workers}'),
    ('timing', '{header, configuration, observations}',
     '{max_train_epochs, max_train_steps, validate_every_n_epochs, validate_every_n_steps, max_validation_steps}'),
    ('timing', '{header, observations}',
     '{num_batches_per_epoch, training_started_at}')
) AS seed (category, could_come_from, names);

-- All that is known of a run in one document, for queries such as "network_dim above 32":
--     SELECT run_name, quality_score FROM v_run_parameters WHERE parameters @? '$.network_dim ? (@.double() > 32)';
-- Columns are part of it, so that results, and parameters of rows that are older than all_parameters, are found as well.
SELECT pixel_lora.ensure_view('v_run_parameters', $$
    SELECT
        run.id AS training_run_id,
        run.run_name,
        run.run_date,
        run.quality_score,
        run.best_epoch,
        run.overall_verdict,
        jsonb_strip_nulls(
            to_jsonb(run) - '{all_parameters,parameter_sources,parameters_missing,parameter_analysis,root_cause_diagnosis,
                              recommended_next_steps,convergence}'::text[]
        ) || CASE jsonb_typeof(run.all_parameters::jsonb) WHEN 'object' THEN run.all_parameters::jsonb ELSE '{}' END
            AS parameters
    FROM training_runs run
$$);

-- Every run against every parameter: what is known and from where; of the rest why not, and where it could come from.
SELECT pixel_lora.ensure_view('v_parameter_coverage', $$
    SELECT
        run.run_name,
        run.id AS training_run_id,
        named.name AS parameter,
        named.category,
        known.parameters ? named.name AS is_known,
        known.parameters -> named.name AS value,
        CASE WHEN known.parameters ? named.name
             THEN coalesce(run.parameter_sources::jsonb ->> named.name, 'database') END AS source,
        CASE WHEN NOT known.parameters ? named.name THEN
            CASE named.could_come_from[1]
                WHEN 'calculation' THEN 'what it is calculated from is not known'
                WHEN 'observations' THEN 'nobody has noted it'
                WHEN 'tensors' THEN 'the checkpoints that were read have no such layers, or none was read'
                ELSE coalesce(run.parameters_missing::jsonb ->> named.name,
                              'nothing that tells it has been read of this run: see pixel-lora backfill')
            END
        END AS why_missing,
        CASE WHEN NOT known.parameters ? named.name THEN named.could_come_from END AS could_come_from
    FROM training_runs run
    CROSS JOIN LATERAL (
        SELECT parameters FROM v_run_parameters WHERE training_run_id = run.id OFFSET 0  -- made once a run
    ) AS known
    CROSS JOIN LATERAL (
        SELECT name, category, could_come_from FROM pixel_lora.parameter_taxonomy
        UNION ALL
        SELECT key, NULL, NULL
        FROM jsonb_object_keys(CASE jsonb_typeof(run.all_parameters::jsonb) WHEN 'object'
                               THEN run.all_parameters::jsonb ELSE '{}' END) AS key
        WHERE key NOT IN (SELECT name FROM pixel_lora.parameter_taxonomy)
    ) AS named
    ORDER BY run.run_name, named.category, named.name
$$);
