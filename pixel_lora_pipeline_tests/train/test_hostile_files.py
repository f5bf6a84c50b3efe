"""Files that nobody should trust: each is refused with its name, the fault and a remedy, and without much cost."""

import json
import os
import pickle
import struct
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pixel_lora_pipeline.train import CheckpointError, read_checkpoint
from pixel_lora_pipeline.train.safetensors_file import MAX_FILE_BYTES, MAX_HEADER_BYTES
from pixel_lora_pipeline_tests.train.lora_files import KOHYA_SAMPLES, kohya_tensors, raw_header, write_kohya, write_raw

ONE = {"dtype": "F16", "shape": [2], "data_offsets": [0, 4]}
TWO = {"dtype": "F16", "shape": [2], "data_offsets": [4, 8]}


def refusal(path: Path, **arguments: Any) -> CheckpointError:
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(path, **arguments)
    error = caught.value
    assert str(error).startswith(path.name), str(error)
    assert error.fault
    assert error.remedy.endswith("."), error.remedy
    return error


def refused_for_good(path: Path, expected: str, **arguments: Any) -> None:
    error = refusal(path, **arguments)
    assert not error.retry, f"would be looked at for ever: {error}"
    assert expected in str(error), str(error)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "portrait-000001.safetensors"


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_pickle_under_another_name_is_not_opened(protocol: int, target: Path) -> None:
    target.write_bytes(pickle.dumps({"weights": [1.0] * 1_000}, protocol))
    refused_for_good(target, "pickle or zip")


def test_a_torch_archive_under_another_name_is_not_opened(target: Path) -> None:
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("archive/data.pkl", b"x" * 5_000)
    refused_for_good(target, "pickle or zip")


def test_a_git_lfs_pointer_says_how_to_fetch_the_file(target: Path) -> None:
    target.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 12345\n")
    refused_for_good(target, "git lfs pull")


def test_a_downloaded_error_page_is_recognised(target: Path) -> None:
    target.write_text("<!DOCTYPE html><title>404</title>" + "x" * 2_000)
    refused_for_good(target, "web page")


def test_a_header_over_the_limit_is_not_read(target: Path) -> None:
    target.write_bytes(struct.pack("<Q", MAX_HEADER_BYTES + 1) + b"{" * 5_000)
    refused_for_good(target, "claims a header")


def test_a_file_over_the_size_limit_is_not_read(target: Path) -> None:
    with target.open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)  # sparse: takes no space
    refused_for_good(target, "GiB large")


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (b"\xff\xfe" * 1_000, "header that cannot be used"),
        (b"[" * 1_000 + b"]" * 1_000, "header that cannot be used"),
        (b"[" * 400_000, "lists more than any LoRA has"),
        (json.dumps(["x" * 2_000]).encode(), "no JSON object"),
        (json.dumps({"__metadata__": {"a": "x" * 2_000}}).encode(), "holds no tensors"),
        (b'{"__metadata__": {"a": "' + b"x" * 2_000 + b'"}, "t": NaN}', "the number NaN"),
    ],
)
def test_a_header_that_is_no_description_of_tensors_is_refused(header: bytes, expected: str, target: Path) -> None:
    refused_for_good(write_raw(target, header), expected)


@pytest.mark.parametrize(
    ("tensors", "data", "expected"),
    [
        ({"a": ONE | {"dtype": "F99"}}, 4, "unknown type"),
        ({"a": ONE | {"shape": [3]}}, 4, "does not fit its shape"),
        ({"a": ONE | {"shape": [True, 2]}}, 4, "impossible dimensions"),
        ({"a": ONE | {"shape": [-2, -1]}}, 4, "impossible dimensions"),
        ({"a": ONE | {"shape": [2.0]}}, 4, "impossible dimensions"),
        ({"a": ONE | {"shape": [1] * 9 + [2]}}, 4, "impossible offsets or dimensions"),
        ({"a": {"dtype": "F16", "shape": [0, 10**12], "data_offsets": [0, 0]}}, 0, "empty"),
        ({"a": ONE | {"shape": [2**62, 2**62]}}, 4, "does not fit its shape"),
        ({"a": ONE | {"data_offsets": [0, 4, 8]}}, 4, "not described"),
        ({"a": ONE | {"data_offsets": [False, 4]}}, 4, "impossible offsets"),
        ({"a": ONE | {"data_offsets": [-4, 0]}}, 4, "does not fit its shape"),
        ({"a": ONE | {"more": 1}}, 4, "not described"),
        ({"a": "text"}, 4, "not described"),
        ({"a": ONE, "b": ONE}, 4, "overlap"),
        ({"a": ONE, "b": {"dtype": "F16", "shape": [2], "data_offsets": [8, 12]}}, 12, "hole"),
        ({"b": TWO}, 8, "hole"),
    ],
)
def test_tensors_that_do_not_fill_the_file_exactly_are_refused(
    tensors: dict[str, Any], data: int, expected: str, target: Path
) -> None:
    refused_for_good(write_raw(target, raw_header(tensors), b"\0" * data), expected)


def test_a_tensor_named_twice_is_refused(target: Path) -> None:
    once = json.dumps(ONE)
    header = f'{{"__metadata__": {{"a": "{"x" * 2_000}"}}, "t": {once}, "t": {once}}}'
    refused_for_good(write_raw(target, header.encode(), b"\0" * 4), "twice")


def test_metadata_that_are_no_texts_are_refused(target: Path) -> None:
    header = raw_header({"a": ONE}, metadata={"a": "x" * 2_000, "b": 1})
    refused_for_good(write_raw(target, header, b"\0" * 4), "not all texts")


def test_a_metadata_value_over_a_megabyte_is_refused(target: Path) -> None:
    refused_for_good(write_kohya(target, ss_training_comment="x" * (1024**2 + 1)), "metadata value")


def test_more_tensors_than_any_lora_has_are_refused(target: Path) -> None:
    tensors = {
        f"lora_unet_{number}.alpha": {"dtype": "U8", "shape": [], "data_offsets": [number, number + 1]}
        for number in range(20_001)
    }
    refused_for_good(write_raw(target, raw_header(tensors), b"\0" * 20_001), "holds 20,001 tensors")


@pytest.mark.parametrize("key", ["ss_tag_frequency", "ss_datasets", "ss_network_args", "ss_bucket_info"])
@pytest.mark.parametrize("depth", [40, 50_000])
def test_a_nesting_bomb_inside_a_metadata_text_is_refused(key: str, depth: int, target: Path) -> None:
    refused_for_good(write_kohya(target, None, **{key: "[" * depth + "]" * depth}), "nested")


def test_headers_that_unfold_in_memory_are_refused_cheaply(target: Path) -> None:
    write_raw(target, b'{"a": [' + b"[]," * 5_000_000 + b"[]]}")
    started = time.process_time()
    tracemalloc.start()
    refused_for_good(target, "lists more than any LoRA has")
    peak = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    assert peak < 40, f"{peak:.0f} MB for a header of 15 MB"
    assert time.process_time() - started < 2


def test_a_link_that_leaves_the_watched_folder_is_not_followed(tmp_path: Path) -> None:
    outside = write_kohya(tmp_path / "private" / "portrait-000001.safetensors")
    watched = tmp_path / "watched"
    watched.mkdir()
    link = watched / "portrait-000001.safetensors"
    link.symlink_to(outside)
    refused_for_good(link, "link that leaves")
    refused_for_good(link, "link that leaves", root=watched)
    linked_folder = watched / "folder"
    linked_folder.symlink_to(outside.parent, target_is_directory=True)
    refused_for_good(linked_folder / outside.name, "link that leaves", root=watched)


def test_a_link_that_stays_inside_the_watched_folder_is_followed(tmp_path: Path) -> None:
    real = write_kohya(tmp_path / "runs" / "portrait-000005.safetensors")
    link = tmp_path / "newest.safetensors"
    link.symlink_to(real)
    read = read_checkpoint(link, root=tmp_path)
    assert read.epoch == 5
    assert read.sha256 == read_checkpoint(real).sha256


@pytest.mark.parametrize("make", [Path.mkdir, *([os.mkfifo] if hasattr(os, "mkfifo") else [])])
def test_what_is_no_regular_file_is_not_even_opened(make: Callable[[Path], None], target: Path) -> None:
    make(target)  # opening a named pipe would wait for ever
    refused_for_good(target, "not a regular file")


def test_links_in_a_circle_do_not_hang_the_reader(tmp_path: Path) -> None:
    first, second = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    first.symlink_to(second)
    second.symlink_to(first)
    assert refusal(first).retry


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("lora_unet_x.hada_w1_a", "not whole (lora_unet_x: hada_w1_a)"),
        ("lora_unet_x.lokr_w1", "not whole (lora_unet_x: lokr_w1)"),
        ("lora_unet_x.oft_blocks", "OFT"),
        ("lora_unet_x.on_input", "IA3"),
        ("lora_unet_x.a1.weight", "GLoRA"),
        ("lora_unet_x.diff", "replace whole layers"),
        ("lora_unet_x.w_norm", "replace whole layers"),
        ("lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q.dora_scale", "DoRA"),
        ("lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q.lora_mid.weight", "Tucker"),
        ("bundle_emb.word.string_to_param", "embeddings bundled"),
        ("lora_unet_double_blocks_0_img_attn_qkv.alpha", "transformer model"),
        ("transformer.single_transformer_blocks.0.attn.to_k.lora_A.weight", "transformer model"),
        ("model.diffusion_model.input_blocks.0.0.weight", "a whole model"),
        ("unet.down_blocks.0.attentions.0.proj_in.lora_A.weight", "mixes Kohya's keys"),
        ("emb_params", "is no LoRA"),
        ("lora_unet_stray.alpha", "belongs to no LoRA layer"),
        ("lora_unet_stray.lora_up.weight", "belongs to no LoRA layer"),
        ("lora_unet_stray.lora_down.weight", "half of a LoRA layer"),
    ],
)
def test_what_diffusers_would_load_wrongly_is_refused(name: str, expected: str, target: Path) -> None:
    write_kohya(target, kohya_tensors() | {name: np.ones((4, 4), np.float16)})
    refused_for_good(target, expected)
    assert "Supported are" in refusal(target).remedy


@pytest.mark.parametrize("prefix", ["", "base_model.model.", "diffusion_model."])
def test_keys_that_diffusers_loads_as_nothing_are_refused(prefix: str, target: Path) -> None:
    name = f"{prefix}down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k"
    tensors = {
        f"{name}.lora_A.weight": np.ones((4, 768), np.float32),
        f"{name}.lora_B.weight": np.ones((32, 4), np.float32),
    }
    write_kohya(target, tensors)
    refused_for_good(target, "load as nothing")


def test_halves_that_do_not_fit_together_are_refused(target: Path) -> None:
    tensors = kohya_tensors()
    name = next(name for name in tensors if name.endswith("lora_up.weight"))
    tensors[name] = np.ones((32, 5), np.float16)
    refused_for_good(write_kohya(target, tensors), "do not fit together")


@pytest.mark.parametrize(
    ("width", "family", "required"), [(768, "SD 1.x", 2048), (1024, "SD 2.x", 768), (2048, "SDXL", 768)]
)
def test_the_base_model_that_a_lora_needs_is_named(width: int, family: str, required: int, target: Path) -> None:
    write_kohya(target, kohya_tensors(width=width))
    error = refusal(target, required_width=required)
    assert f"{width} ({family})" in error.fault
    assert str(required) in error.fault
    assert not error.retry


def test_texts_from_the_file_are_never_paths_nor_break_the_output(target: Path) -> None:
    evil = "../../etc/<script>\x1b[31m\u202egnp.exe\n\0" + "x" * 5_000
    read = read_checkpoint(write_kohya(target, ss_output_name=evil, ss_training_comment=evil))
    assert all(character.isascii() and (character.isalnum() or character in "-_") for character in read.partition_key)
    assert len(read.partition_key) < 80
    assert read.run.name.isprintable()
    assert len(read.run.name) <= 80
    stored = json.dumps(read.to_json(), ensure_ascii=False)
    assert "\\u0000" not in stored
    assert "\u202e" not in stored
    assert len(stored) < 20_000


@pytest.mark.parametrize("text", ["nan", "inf", "1e999", "9" * 5_000, "0x10", "four", "[[", ""])
def test_numbers_that_are_none_are_missing_with_a_reason(text: str, target: Path) -> None:
    read = read_checkpoint(write_kohya(target, ss_learning_rate=text, ss_epoch=text, ss_seed=text))
    assert "learning_rate" not in read.parameters
    assert "header's value is" in read.missing["learning_rate"]
    json.dumps(read.to_json(), allow_nan=False)


def test_an_impossible_epoch_is_not_believed(target: Path) -> None:
    assert read_checkpoint(write_kohya(target, ss_epoch="-5", ss_steps=None)).epoch is None


@pytest.mark.parametrize("seed", range(8))
def test_damage_anywhere_ends_in_a_reading_or_a_clear_refusal(seed: int, target: Path) -> None:
    random = np.random.default_rng(seed)
    content = (KOHYA_SAMPLES / "run_a" / "pixchar_a.safetensors").read_bytes()
    header_end = 8 + int.from_bytes(content[:8], "little")
    for _ in range(40):
        damaged = bytearray(content)
        for place in random.integers(0, header_end, size=random.integers(1, 20)):
            damaged[place] = random.integers(0, 256)
        target.write_bytes(damaged)
        try:
            read = read_checkpoint(target)
        except CheckpointError as error:
            assert error.fault
            assert error.remedy
        else:
            json.dumps(read.to_json(), allow_nan=False)


def test_a_genuine_header_whose_length_begins_like_a_pickle_is_read(target: Path) -> None:
    write_kohya(target)
    content = target.read_bytes()
    length = struct.unpack("<Q", content[:8])[0]
    padded = content[8 : 8 + length].ljust(0x10280)  # little-endian: 80 02 01 …
    target.write_bytes(struct.pack("<Q", len(padded)) + padded + content[8 + length :])
    assert read_checkpoint(target).parameters["network_dim"].value == 4
