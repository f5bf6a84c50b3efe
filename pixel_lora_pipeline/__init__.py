"""Train, validate, analyze, learn, improve: a Dagster pipeline for LoRAs that paint pixel art."""
