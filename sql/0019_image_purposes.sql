-- Why an image was painted. Beside those of the evaluation there are images of the same checkpoint at other strengths
-- of the LoRA, and images that the trainer painted while it trained: nothing is concluded from them together.

ALTER TABLE prompt_test_results
    ADD COLUMN IF NOT EXISTS purpose text NOT NULL DEFAULT 'evaluation'
        CHECK (purpose IN ('evaluation', 'strength', 'sample'));
