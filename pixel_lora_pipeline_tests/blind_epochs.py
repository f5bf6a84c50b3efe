"""Two epochs of a run that were asked the same, of which the second is better by every measure."""

from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin

from pixel_lora_pipeline.store import Store, TestImage
from pixel_lora_pipeline_tests.store.checkpoint_files import save_checkpoint

N_PROMPTS = 16
SIDE = 64


def two_epochs(store: Store, folder: Path, n_prompts: int = N_PROMPTS) -> None:
    """Register both checkpoints with an image of every prompt, measured and rolled up."""
    for epoch, score in ((1, 60.0), (2, 80.0)):
        epoch_id = store.checkpoints.register(save_checkpoint(folder, epoch))
        store.images.add(epoch_id, [an_image(epoch, number) for number in range(n_prompts)])
        store.images.set_metrics({row.id: {"overall_score": score} for row in store.images.of_epoch(epoch_id)}, "1")
        store.epochs.record_evaluation(epoch_id, {"overall_score": score})


def an_image(epoch: int, number: int, *, side: int = SIDE, colors: int = 2) -> TestImage:
    return TestImage(
        suite_name="portraits",
        suite_version="3f9a",
        prompt_id=f"prompt_{number}",
        prompt=f"pixel art, portrait {number}, <b>pink</b> hair",
        negative_prompt="",
        seed=11,
        width=side,
        height=side,
        fingerprint={"lora": f"portrait-{epoch}", "prompt": number},
        png=picture(epoch, number, side, colors),
    )


def picture(epoch: int, number: int, side: int = SIDE, colors: int = 2) -> bytes:
    """Cells of few colours in the first epoch and of many in the second, whose file is therefore larger."""
    rng = np.random.default_rng(100 * epoch + number)
    cells = rng.integers(0, 256, (16, 16, 3)) if epoch == 2 else 64 * rng.integers(0, colors, (16, 16, 3))
    pixels = np.repeat(np.repeat(cells.astype(np.uint8), side // 16, axis=0), side // 16, axis=1)
    told = PngImagePlugin.PngInfo()
    told.add_text("parameters", f"portrait-{epoch:06d}.safetensors")
    encoded = BytesIO()
    Image.fromarray(pixels).save(encoded, "PNG", pnginfo=told)
    return encoded.getvalue()
