"""Stands in for sd-scripts' train_network.py: its command line, its files, its output; nothing is learnt.

It is stricter than the original, which takes unknown names and wrong types from a configuration file without a word.
`training_comment` tells it what to do, as "nan_from=5 hang=1":

    seconds         that a step takes
    nan_from        step from which on the loss is no number
    fails_at        step at which memory runs out
    hang            whether it goes on when it is asked to end
    save_seconds    that a checkpoint takes to be written
    wait_for        file that has to appear before the second step
"""

import argparse
import hashlib
import json
import math
import os
import random
import signal
import struct
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

from tqdm import tqdm

from pixel_lora_pipeline.train.event_file import _EVENT, _masked_checksum
from pixel_lora_pipeline.train.parameter_table import parameter_table

# A genuine file of the original, from a training with a dataset file.
TEMPLATE = Path(os.environ["KOHYA_SAMPLE"])
TYPES = {"int": int, "float": float, "int_or_float": float, "str": str, "Path": str, "bool": bool, "StoreTrue": bool}
LISTS = ("network_args", "optimizer_args", "lr_scheduler_args", "base_weights", "base_weights_multiplier")
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
SUBSET: dict[str, Any] = {
    **dict.fromkeys(("color_aug", "flip_aug", "random_crop", "shuffle_caption", "enable_wildcard"), bool),
    **dict.fromkeys(("num_repeats", "keep_tokens", "token_warmup_min", "caption_dropout_every_n_epochs"), int),
    **dict.fromkeys(("keep_tokens_separator", "secondary_separator", "caption_prefix", "caption_suffix"), str),
    **dict.fromkeys(("token_warmup_step", "caption_dropout_rate", "caption_tag_dropout_rate"), float),
    **dict.fromkeys(("caption_extension", "class_tokens", "resize_interpolation"), str),
    "cache_info": bool,
    "custom_attributes": dict,
    "face_crop_aug_range": list,
}
DATASET: dict[str, Any] = {
    **dict.fromkeys(("batch_size", "bucket_reso_steps", "max_bucket_reso", "min_bucket_reso", "validation_seed"), int),
    **dict.fromkeys(("bucket_no_upscale", "enable_bucket"), bool),
    "validation_split": float,
    "resolution": list,
}
OF_FOLDER: dict[str, Any] = {"image_dir": str, "is_reg": bool, "alpha_mask": bool}


def main() -> None:
    arguments = read_arguments()
    told = dict(part.split("=", 1) for part in (arguments.get("training_comment") or "").split())
    if told.get("hang"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    dataset = tomllib.loads(Path(arguments["dataset_config"]).read_text(encoding="utf-8"))
    check_dataset(dataset)
    print("loading model", arguments["pretrained_model_name_or_path"])
    pictures = sum(
        option(dataset, each, "num_repeats", 1) * sum(path.suffix in PICTURES for path in Path(folder).iterdir())
        for each in dataset["datasets"]
        for subset in each["subsets"]
        if (folder := subset["image_dir"])
    )
    per_epoch = math.ceil(pictures / dataset["general"].get("batch_size", 1))
    epochs = arguments.get("max_train_epochs") or math.ceil(arguments.get("max_train_steps", 1600) / per_epoch)
    steps = per_epoch * epochs
    events = Events(Path(arguments["logging_dir"]))
    session = {"ss_session_id": str(random.getrandbits(32)), "ss_training_started_at": str(time.time())}
    losses: list[float] = []
    bar = tqdm(range(steps), smoothing=0, desc="steps")
    for epoch in range(1, epochs + 1):
        print(f"\nepoch {epoch}/{epochs}\n")
        for _ in range(per_epoch):
            step = bar.n + 1
            wait(told, step)
            losses.append(math.nan if step >= int(told.get("nan_from", steps + 1)) else 0.2 / step)
            bar.update(1)
            recent = losses[-per_epoch:]
            events.write(step, **{"loss/current": losses[-1], "lr/unet": arguments.get("learning_rate", 2e-6)})
            bar.set_postfix(avr_loss=sum(recent) / len(recent))
            if step == int(told.get("fails_at", 0)):
                raise MemoryError("CUDA out of memory")
        name = arguments["output_name"] + (f"-{epoch:06d}" if epoch < epochs else "")
        if epoch % arguments["save_every_n_epochs"] == 0 or epoch == epochs:
            path = Path(arguments["output_dir"]) / f"{name}.safetensors"
            print(f"\nsaving checkpoint: {path}")
            facts = {"ss_epoch": epoch, "ss_steps": bar.n, "ss_num_epochs": epochs, "ss_max_train_steps": steps}
            save(path, {**session, **header(arguments), **facts}, float(told.get("save_seconds", 0)))
    bar.close()


def read_arguments() -> dict[str, Any]:
    known = {
        name: row.kind
        for name, row in parameter_table().items()
        if row.section in ("train", "sdxl") and name != "config_file"
    } | dict.fromkeys(("save_model_as", "log_with", "output_dir"), "str")
    parser = argparse.ArgumentParser()
    parser.add_argument("--config_file", required=True)
    content = tomllib.loads(Path(parser.parse_args().config_file).read_text(encoding="utf-8"))
    for name, value in content.items():
        if name not in known:
            parser.error(f"unrecognized arguments: --{name}")
        if not is_of(list if name in LISTS else TYPES[known[name]], value):
            parser.error(f"argument --{name}: invalid {known[name]} value: {value!r}")
    return content


def is_of(kind: type, value: object) -> bool:
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is kind


def check_dataset(document: dict[str, Any]) -> None:
    check({key: value for key, value in document.items() if key not in ("general", "datasets")}, {})
    check(document["general"], SUBSET | DATASET)
    for dataset in document["datasets"]:
        check({key: value for key, value in dataset.items() if key != "subsets"}, SUBSET | DATASET)
        for subset in dataset["subsets"]:
            check(subset, SUBSET | OF_FOLDER)
            if not Path(subset["image_dir"]).is_dir():
                sys.exit(f"ValueError: not directory: {subset['image_dir']}")


def check(level: dict[str, Any], schema: dict[str, Any]) -> None:
    for name, value in level.items():
        if name not in schema:
            sys.exit(f"voluptuous.error.MultipleInvalid: extra keys not allowed @ data[{name!r}]")
        if not is_of(schema[name], value):
            sys.exit(f"voluptuous.error.MultipleInvalid: expected {schema[name].__name__} for {name}, not {value!r}")


def option(document: dict[str, Any], dataset: dict[str, Any], name: str, default: Any) -> Any:
    for level in (*dataset["subsets"], dataset, document["general"]):
        if name in level:
            return level[name]
    return default


def wait(told: dict[str, str], step: int) -> None:
    time.sleep(float(told.get("seconds", 0)))
    while step > 1 and "wait_for" in told and not Path(told["wait_for"]).exists():
        time.sleep(0.01)


def header(arguments: dict[str, Any]) -> dict[str, Any]:
    recorded = {"output_name", "network_dim", "network_alpha", "learning_rate", "unet_lr", "training_comment", "seed"}
    return {f"ss_{name}": arguments[name] for name in recorded & arguments.keys()}


def save(path: Path, facts: dict[str, Any], seconds: float) -> None:
    """As safetensors 0.4 writes: under the file's own name, the header first."""
    content = TEMPLATE.read_bytes()
    length = int.from_bytes(content[:8], "little")
    document, tensors = json.loads(content[8 : 8 + length]), content[8 + length :]
    now = {"ss_training_finished_at": time.time(), "sshs_model_hash": hashlib.sha256(tensors).hexdigest()}
    document["__metadata__"] |= {name: str(value) for name, value in {**facts, **now}.items()}
    encoded = json.dumps(document).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(encoded)) + encoded)
        file.flush()
        time.sleep(seconds)
        file.write(tensors)


class Events:
    """A log for TensorBoard, record by record."""

    def __init__(self, logging_dir: Path) -> None:
        folder = logging_dir / time.strftime("%Y%m%d%H%M%S") / "network_train"
        folder.mkdir(parents=True)
        self._file = (folder / f"events.out.tfevents.{int(time.time())}.here.1.0").open("ab", buffering=0)

    def write(self, step: int, **scalars: float) -> None:
        for tag, number in scalars.items():
            event = _EVENT(wall_time=time.time(), step=step)
            value = event.summary.value.add()
            value.tag, value.simple_value = tag.encode(), number
            record = event.SerializeToString()
            length = struct.pack("<Q", len(record))
            sums = [struct.pack("<I", _masked_checksum(part)) for part in (length, record)]
            self._file.write(length + sums[0] + record + sums[1])


if __name__ == "__main__":
    main()
