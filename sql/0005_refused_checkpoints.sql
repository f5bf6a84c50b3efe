-- Files that look like checkpoints and must not be evaluated, with the reason; each is looked at once.

SELECT pixel_lora.ensure_table('refused_checkpoints');

ALTER TABLE refused_checkpoints
    ADD COLUMN IF NOT EXISTS path text NOT NULL,
    ADD COLUMN IF NOT EXISTS signature text NOT NULL,
    ADD COLUMN IF NOT EXISTS fault text NOT NULL,
    ADD COLUMN IF NOT EXISTS remedy text NOT NULL,
    ADD COLUMN IF NOT EXISTS refused_at timestamptz NOT NULL DEFAULT now();

-- The hash, because a path may be longer than an index entry.
CREATE UNIQUE INDEX IF NOT EXISTS refused_checkpoints_file ON refused_checkpoints (signature, md5(path));
