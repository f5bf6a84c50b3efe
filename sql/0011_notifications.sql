-- Messages to people, each written in the transaction of the fact that it tells of and sent later: one row for each
-- message and channel, so that a channel that fails does not make the others hear it twice.
--
-- A row without a state was in a table of this name before and is nobody's message.

SELECT pixel_lora.ensure_table('notifications');

ALTER TABLE notifications
    ADD COLUMN IF NOT EXISTS event text,
    ADD COLUMN IF NOT EXISTS channel text,              -- service and a hash of its address, never the address
    ADD COLUMN IF NOT EXISTS dedup_key text,            -- the fact: each is told once to each channel
    ADD COLUMN IF NOT EXISTS subject text,
    ADD COLUMN IF NOT EXISTS body text,
    ADD COLUMN IF NOT EXISTS payload jsonb,             -- the figures of the message, for programs
    ADD COLUMN IF NOT EXISTS created_at timestamptz DEFAULT now(),
    ADD COLUMN IF NOT EXISTS state text CHECK (state IN ('pending', 'sent', 'dead')),
    ADD COLUMN IF NOT EXISTS attempts integer DEFAULT 0,
    ADD COLUMN IF NOT EXISTS next_attempt_at timestamptz,
    ADD COLUMN IF NOT EXISTS sent_at timestamptz,
    ADD COLUMN IF NOT EXISTS last_error text;

-- The hash, because a key may name a path that is longer than an index entry.
CREATE UNIQUE INDEX IF NOT EXISTS notifications_fact ON notifications (channel, md5(dedup_key));
CREATE INDEX IF NOT EXISTS notifications_due ON notifications (next_attempt_at) WHERE state = 'pending';
