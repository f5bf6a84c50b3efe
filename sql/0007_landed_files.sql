-- What lies in the watched folders, as it stood when it was read: a file whose content is registered or refused
-- need not be opened again, and a partition key leads to its file.

SELECT pixel_lora.ensure_table('landed_files');

ALTER TABLE landed_files
    ADD COLUMN IF NOT EXISTS path text NOT NULL,
    ADD COLUMN IF NOT EXISTS size bigint NOT NULL,
    ADD COLUMN IF NOT EXISTS mtime_ns bigint NOT NULL,
    ADD COLUMN IF NOT EXISTS inode numeric(20) NOT NULL,
    ADD COLUMN IF NOT EXISTS signature text NOT NULL,
    ADD COLUMN IF NOT EXISTS partition_key text,           -- empty for a file that was refused
    ADD COLUMN IF NOT EXISTS landed_at timestamptz NOT NULL DEFAULT now();

-- The hash, because a path may be longer than an index entry.
CREATE UNIQUE INDEX IF NOT EXISTS landed_files_path ON landed_files (md5(path));
CREATE INDEX IF NOT EXISTS landed_files_partition ON landed_files (partition_key);
CREATE INDEX IF NOT EXISTS epoch_results_signature ON epoch_results (checkpoint_signature);
