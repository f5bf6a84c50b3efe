"""How well an image shows what its prompt says, as a CLIP model sees it: an optional second opinion."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pixel_lora_pipeline.validate.library_noise import harmless_lines_dropped, loading_bars_hidden

NOT_CONFIGURED: Final[Mapping[str, Any]] = MappingProxyType({"semantic_score": None, "reason": "not configured"})
"""What stands in a measurement's place `semantic` where no CLIP model is configured."""

# Hessel et al. stretch the cosine, which rarely exceeds 0.4, so that scores fill the range from 0 to 1.
_SCALE: Final = 2.5
_WEIGHTS: Final = "*.safetensors"
# One of these holds the words; without any, transformers makes a tokenizer that knows none, and says nothing.
_VOCABULARIES: Final = ("tokenizer.json", "vocab.json")
_WHITE: Final = 255.0


class SemanticModelError(Exception):
    """A CLIP model that cannot be used: says which folder, what is wrong, and what to do."""

    def __init__(self, folder: Path, fault: str) -> None:
        super().__init__(
            f"CLIP model {folder}: {fault} Set clip_model to the folder of a transformers CLIPModel with its "
            "tokenizer and its weights as safetensors, or leave it out: nothing is downloaded."
        )


class SemanticScorer:
    """Text-image similarity by a CLIP model in a local folder, loaded at the first image.

    Nothing is ever fetched, and only safetensors are read. It runs on the processor: images are measured while the
    next ones are generated, and a GPU's memory is the generator's.

    Parameters
    ----------
    folder
        As `CLIPModel.save_pretrained` and its tokenizer and image processor write it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.expanduser()

    def measure(self, image: NDArray[np.uint8], prompt: str) -> dict[str, Any]:
        """The score of uint8[H, W, 3 or 4] with what it was made by, as it is stored beside a measurement.

        Raises
        ------
        SemanticModelError
            If the model does not load.
        """
        return {"semantic_score": self.score(image, prompt), "model": self.folder.name, "model_sha256": self.sha256}

    def score(self, image: NDArray[np.uint8], prompt: str) -> float:
        """CLIPScore, 2.5 · max(cos(image, text), 0): 0 for unrelated, at most 2.5, rarely more than 1.

        Comparable only between images scored by the same model. The prompt is taken as it is written, without the
        words "A photo depicts" that the reference puts before captions of photographs, and cut at the number of tokens
        that the model reads (77 as a rule). Transparent pixels are white.

        Raises
        ------
        SemanticModelError
            If the model does not load, or its result is not a number.

        References
        ----------
        Hessel, Holtzman, Forbes, Le Bras, Choi, "CLIPScore: A Reference-free Evaluation Metric for Image Captioning",
        EMNLP 2021, doi:10.18653/v1/2021.emnlp-main.595
        """
        import torch

        model, tokenizer, processor = self._loaded
        most = model.config.text_config.max_position_embeddings
        text = tokenizer([prompt], truncation=True, max_length=most, return_tensors="pt")
        pixels = processor(images=_on_white(image), input_data_format="channels_last", return_tensors="pt")
        with torch.inference_mode():
            output = model(**text, **pixels)
        cosine = float(torch.nn.functional.cosine_similarity(output.image_embeds, output.text_embeds)[0])
        if not math.isfinite(cosine):
            raise SemanticModelError(self.folder, "its result is not a number; its weights may be damaged.")
        return round(_SCALE * max(cosine, 0.0), 4)

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the weights, hexadecimal; of the hashes of all files where they are split.

        Scores of different models do not compare.

        Raises
        ------
        SemanticModelError
            If the folder holds none.
        """
        digests = []
        for path in self._weight_files():
            with path.open("rb") as file:
                digests.append(hashlib.file_digest(file, "sha256"))
        if len(digests) == 1:
            return digests[0].hexdigest()
        return hashlib.sha256(b"".join(digest.digest() for digest in digests)).hexdigest()

    @cached_property
    def _loaded(self) -> tuple[Any, Any, Any]:
        """Model, tokenizer and image processor."""
        from safetensors import SafetensorError
        from transformers import CLIPImageProcessorPil, CLIPModel, CLIPTokenizer

        self._weight_files()
        if not any((self.folder / name).is_file() for name in _VOCABULARIES):
            raise SemanticModelError(self.folder, f"its tokenizer is missing ({' or '.join(_VOCABULARIES)}).")
        try:
            with harmless_lines_dropped(), loading_bars_hidden():
                model, report = CLIPModel.from_pretrained(
                    self.folder, local_files_only=True, use_safetensors=True, output_loading_info=True
                )
                tokenizer = CLIPTokenizer.from_pretrained(self.folder, local_files_only=True)
                # Pillow's, so that scores do not depend on whether torchvision is there.
                processor = CLIPImageProcessorPil.from_pretrained(self.folder, local_files_only=True)
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
            reason = str(error).strip().split("\n", 1)[0]
            raise SemanticModelError(self.folder, f"it does not load: {reason}.") from error
        if report["missing_keys"]:  # transformers fills them with random numbers
            raise SemanticModelError(self.folder, f"{len(report['missing_keys'])} of its weights are missing.")
        return model.eval(), tokenizer, processor

    def _weight_files(self) -> list[Path]:
        if not self.folder.is_dir():
            raise SemanticModelError(self.folder, "there is no such folder.")
        files = sorted(self.folder.glob(_WEIGHTS))
        if not files:
            raise SemanticModelError(self.folder, f"it holds no {_WEIGHTS}.")
        return files


def semantic_rollup(prompt_ids: Sequence[str], scored: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The mean over an epoch's prompts of the mean over each prompt's images, in the shape of one image's score.

    Parameters
    ----------
    prompt_ids
        The prompt of each image.
    scored
        What stands under `semantic` in each image's measurement.
    """
    models = {(image.get("model"), image.get("model_sha256")) for image in scored}
    if len(models) != 1:
        return {"semantic_score": None, "reason": "scored by different models"}
    name, sha256 = models.pop()
    if sha256 is None:
        return dict(NOT_CONFIGURED)
    by_prompt: dict[str, list[float]] = {}
    for prompt_id, image in zip(prompt_ids, scored, strict=True):
        by_prompt.setdefault(prompt_id, []).append(image["semantic_score"])
    score = math.fsum(math.fsum(scores) / len(scores) for scores in by_prompt.values()) / len(by_prompt)
    return {"semantic_score": round(score, 4), "model": name, "model_sha256": sha256}


def _on_white(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if image.shape[2] == 3:
        return image
    opacity = image[..., 3:] / 255.0
    return np.asarray(np.rint(image[..., :3] * opacity + _WHITE * (1.0 - opacity)), dtype=np.uint8)
