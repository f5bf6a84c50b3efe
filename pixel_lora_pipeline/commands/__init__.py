"""The commands of `pixel-lora`, a file a family; `cli.py` puts them together."""
