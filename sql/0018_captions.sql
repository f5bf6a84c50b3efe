-- The captions of datasets as they are and as they were, and the batches in which they were changed.

SELECT pixel_lora.ensure_table('captions');

ALTER TABLE captions
    ADD COLUMN IF NOT EXISTS dataset text,               -- path of the folder, or of the dataset_config
    ADD COLUMN IF NOT EXISTS file_name text,             -- of the caption within the dataset
    ADD COLUMN IF NOT EXISTS caption text,               -- the first line: what a training reads
    ADD COLUMN IF NOT EXISTS version integer,
    ADD COLUMN IF NOT EXISTS sha256 text,                -- of the file
    ADD COLUMN IF NOT EXISTS picture_sha256 text,
    ADD COLUMN IF NOT EXISTS description jsonb,          -- codes, colours and expression that the caption states
    ADD COLUMN IF NOT EXISTS findings jsonb,             -- what the checks say of it
    ADD COLUMN IF NOT EXISTS changed_at timestamptz DEFAULT now(),
    ADD COLUMN IF NOT EXISTS removed_at timestamptz;     -- when it was not there any more

CREATE UNIQUE INDEX IF NOT EXISTS captions_file ON captions (dataset, file_name);

SELECT pixel_lora.ensure_table('caption_batches');

ALTER TABLE caption_batches
    ADD COLUMN IF NOT EXISTS batch_id text,              -- as the journal calls it
    ADD COLUMN IF NOT EXISTS dataset text,
    ADD COLUMN IF NOT EXISTS state text CHECK (state IN ('done', 'undone')),
    ADD COLUMN IF NOT EXISTS undoes text,                -- the batch that this one takes back
    ADD COLUMN IF NOT EXISTS n_files integer,
    ADD COLUMN IF NOT EXISTS reasons jsonb,              -- by check, the number of files that it put right
    ADD COLUMN IF NOT EXISTS applied_at timestamptz;

CREATE UNIQUE INDEX IF NOT EXISTS caption_batches_id ON caption_batches (batch_id);

-- Every content that a sync has seen, byte for byte.
SELECT pixel_lora.ensure_table('caption_versions');
SELECT pixel_lora.ensure_reference('caption_versions', 'caption_id', 'captions', 'CASCADE');

ALTER TABLE caption_versions
    ADD COLUMN IF NOT EXISTS version integer,
    ADD COLUMN IF NOT EXISTS content bytea,
    ADD COLUMN IF NOT EXISTS sha256 text,
    ADD COLUMN IF NOT EXISTS batch_id text,              -- that wrote it; null if it was written otherwise
    ADD COLUMN IF NOT EXISTS seen_at timestamptz DEFAULT now();

CREATE UNIQUE INDEX IF NOT EXISTS caption_versions_number ON caption_versions (caption_id, version);
