"""How long it takes to read a checkpoint's header, and how much memory, for a small and a large file.

    python benchmarks/checkpoint_header.py

The files have the layers of Stable Diffusion 1.5 and of SDXL, and are written anew into a temporary folder.
The limits are 30 ms for a file of 150 MB, and as much memory for it as for one of 15 MB.
"""

import json
import statistics
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from safetensors.numpy import save_file

from pixel_lora_pipeline.train import read_checkpoint

REPEATS = 41
LIMIT_MS = 30.0
LIMIT_MEMORY_RATIO = 1.1


def sd15_layers() -> Iterator[tuple[str, int, int]]:
    """Name, inputs and outputs of the 264 layers that Kohya trains in Stable Diffusion 1.5."""
    for layer in range(12):
        prefix = f"lora_te_text_model_encoder_layers_{layer}"
        for projection in ("q_proj", "k_proj", "v_proj", "out_proj"):
            yield f"{prefix}_self_attn_{projection}", 768, 768
        yield f"{prefix}_mlp_fc1", 768, 3072
        yield f"{prefix}_mlp_fc2", 3072, 768
    down = [(f"down_blocks_{block}_attentions_{layer}", 320 * 2**block) for block in range(3) for layer in range(2)]
    up = [
        (f"up_blocks_{block}_attentions_{layer}", 1280 // 2 ** (block - 1)) for block in (1, 2, 3) for layer in range(3)
    ]
    for name, width in [*down, ("mid_block_attentions_0", 1280), *up]:
        yield from transformer_layers(f"lora_unet_{name}", width, context=768, depth=1)


def sdxl_layers() -> Iterator[tuple[str, int, int]]:
    """Name, inputs and outputs of the 722 layers of SDXL's U-Net."""
    for block, width, depth in [(4, 640, 2), (5, 640, 2), (7, 1280, 10), (8, 1280, 10)]:
        yield from transformer_layers(f"lora_unet_input_blocks_{block}_1", width, context=2048, depth=depth)
    yield from transformer_layers("lora_unet_middle_block_1", 1280, context=2048, depth=10)
    for block in range(6):
        width, depth = (1280, 10) if block < 3 else (640, 2)
        yield from transformer_layers(f"lora_unet_output_blocks_{block}_1", width, context=2048, depth=depth)


def transformer_layers(prefix: str, width: int, context: int, depth: int) -> Iterator[tuple[str, int, int]]:
    yield f"{prefix}_proj_in", width, width
    yield f"{prefix}_proj_out", width, width
    for index in range(depth):
        block = f"{prefix}_transformer_blocks_{index}"
        for attention, features in (("attn1", width), ("attn2", context)):
            yield f"{block}_{attention}_to_q", width, width
            yield f"{block}_{attention}_to_k", features, width
            yield f"{block}_{attention}_to_v", features, width
            yield f"{block}_{attention}_to_out_0", width, width
        yield f"{block}_ff_net_0_proj", width, 8 * width
        yield f"{block}_ff_net_2", 4 * width, width


def write_lora(path: Path, layers: list[tuple[str, int, int]], megabytes: int) -> None:
    """A Kohya-format LoRA of about that size: the rank follows from it."""
    numbers_per_rank = sum(inputs + outputs for _, inputs, outputs in layers)
    rank = max(1, round(megabytes * 1e6 / 2 / numbers_per_rank))
    random = np.random.default_rng(0)
    tensors: dict[str, np.ndarray] = {}
    for name, inputs, outputs in layers:
        tensors[f"{name}.lora_down.weight"] = random.standard_normal((rank, inputs), np.float32).astype(np.float16)
        tensors[f"{name}.lora_up.weight"] = random.standard_normal((outputs, rank), np.float32).astype(np.float16)
        tensors[f"{name}.alpha"] = np.array(rank / 2, np.float16)
    tags = {f"tag {number}": number for number in range(2_000)}
    metadata = {
        "ss_session_id": "1234567890",
        "ss_training_started_at": "1750000000.5",
        "ss_output_name": path.stem,
        "ss_network_module": "networks.lora",
        "ss_network_dim": str(rank),
        "ss_network_alpha": str(rank / 2),
        "ss_learning_rate": "0.0001",
        "ss_epoch": "5",
        "ss_steps": "5000",
        "ss_num_epochs": "10",
        "ss_keep_tokens": "3",
        "ss_dataset_dirs": json.dumps({"10_portrait": {"n_repeats": 10, "img_count": 203}}),
        "ss_tag_frequency": json.dumps({"10_portrait": tags}),
    }
    save_file(tensors, path, metadata)


def milliseconds(path: Path) -> tuple[float, float]:
    """Median elapsed and processor time of reading one header."""
    elapsed, processor = [], []
    for _ in range(REPEATS):
        started, busy = time.perf_counter(), time.process_time()
        read_checkpoint(path)
        elapsed.append(1e3 * (time.perf_counter() - started))
        processor.append(1e3 * (time.process_time() - busy))
    return statistics.median(elapsed), statistics.median(processor)


def peak_megabytes(path: Path) -> float:
    tracemalloc.start()
    read_checkpoint(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 1e6


def main() -> int:
    table = Table("base", "file", "tensors", "median", "processor", "of 30 ms", "peak memory", "against 15 MB")
    is_good = True
    with tempfile.TemporaryDirectory() as folder:
        for base, layers in (("SD 1.5", list(sd15_layers())), ("SDXL", list(sdxl_layers()))):
            small_peak = 0.0
            for megabytes in (15, 150):
                path = Path(folder) / f"{base.replace(' ', '')}_{megabytes}.safetensors"
                write_lora(path, layers, megabytes)
                read_checkpoint(path)  # imports and the parameter table are not the header's
                elapsed, processor = milliseconds(path)
                peak = peak_megabytes(path)
                small_peak = small_peak or peak
                is_good &= elapsed <= LIMIT_MS and peak <= LIMIT_MEMORY_RATIO * small_peak
                table.add_row(
                    base,
                    f"{path.stat().st_size / 1e6:.0f} MB",
                    str(3 * len(layers)),
                    f"{elapsed:.1f} ms",
                    f"{processor:.1f} ms",
                    f"{elapsed / LIMIT_MS:.2f}×",
                    f"{peak:.2f} MB",
                    f"{peak / small_peak:.2f}×",
                )
    Console(width=110).print(table)
    print("Processor time is what remains of the median on an idle machine.")
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
