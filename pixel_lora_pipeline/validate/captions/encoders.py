"""The tokenizers of a base model, to count what its text encoders are given."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from pixel_lora_pipeline.validate.captions.corpus import Encoder

_NAMES: Final = {"tokenizer": "the text encoder", "tokenizer_2": "the second text encoder"}


def text_encoders(base_model: str | Path) -> dict[str, Encoder]:
    """Counters of tokens by name of the encoder: one for SD 1.x and 2.x, two for SDXL.

    Parameters
    ----------
    base_model
        A diffusers folder. Of a single file or a hub name nothing can be said without loading it: the result is
        empty.
    """
    folder = Path(base_model).expanduser()
    return {name: _counter(folder / part) for part, name in _NAMES.items() if _is_clip(folder / part)}


def _is_clip(folder: Path) -> bool:
    """Whether the limit of 75 tokens is this encoder's; T5 has others."""
    try:
        config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):  # the generator says what is wrong with the folder
        return False
    return isinstance(config, dict) and str(config.get("tokenizer_class", "")).startswith("CLIP")


def _counter(folder: Path) -> Encoder:
    loaded: list[Any] = []

    def count(texts: Sequence[str]) -> list[int]:
        if not loaded:
            loaded.append(_tokenizer(folder))
        return [len(each.ids) for each in loaded[0].encode_batch(list(texts), add_special_tokens=False)]

    return count


def _tokenizer(folder: Path) -> Any:
    if (folder / "tokenizer.json").is_file():
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer
    from transformers import CLIPTokenizer  # takes a second, and knows the older form of two files

    return CLIPTokenizer.from_pretrained(folder, local_files_only=True).backend_tokenizer
