import dataclasses
import hashlib
import itertools
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from benchmarks.bare_diffusers import bare_loop
from pixel_lora_pipeline.validate.batches import even_sizes
from pixel_lora_pipeline.validate.fingerprint import fingerprint_hash
from pixel_lora_pipeline.validate.generate import (
    GeneratedImage,
    GenerationMemoryError,
    Generator,
    ImageFault,
    ImageRequest,
)
from pixel_lora_pipeline.validate.lora import LoraError
from pixel_lora_pipeline_tests.validate.tiny_diffusion import kohya_weights

REQUEST = ImageRequest("portrait", "red hair", "blue", seed=1, width=32, height=32, steps=2, guidance=2.0)
REQUESTS = [dataclasses.replace(REQUEST, prompt=f"hair {seed}", seed=seed) for seed in range(11)]


@pytest.fixture
def generator(base_folder: Path) -> Generator:
    return Generator(base_folder)


@pytest.fixture
def lora_file(generator: Generator, tmp_path: Path) -> Path:
    return written_lora(generator, tmp_path / "pixel-000001.safetensors", seed=7)


def written_lora(generator: Generator, path: Path, seed: int) -> Path:
    save_file(kohya_weights(generator.base.pipeline, seed=seed), path)
    return path


def pixels(image: GeneratedImage) -> np.ndarray[Any, np.dtype[np.uint8]]:
    import io

    return np.asarray(Image.open(io.BytesIO(image.png)))


def rows_of_calls(generator: Generator) -> list[int]:
    """Fills with the number of images of each pipeline call from now on."""
    rows: list[int] = []
    encoder = generator.base.pipeline.vae.decoder
    encoder.register_forward_pre_hook(lambda _, arguments: rows.append(len(arguments[0])))
    return rows


# The same request, the same bytes


def test_the_same_requests_give_the_same_bytes(base_folder: Path, generator: Generator, lora_file: Path) -> None:
    first = [image.png for image in generator.generate(lora_file, REQUESTS)]
    again = [image.png for image in generator.generate(lora_file, REQUESTS)]
    elsewhere = [image.png for image in Generator(base_folder).generate(lora_file, REQUESTS)]
    assert first == again == elsewhere
    assert len(set(first)) == len(REQUESTS)


def test_images_equal_those_of_plain_diffusers_calls(base_folder: Path, generator: Generator, lora_file: Path) -> None:
    for checkpoint in (None, lora_file):
        bare = bare_loop(
            base_folder,
            checkpoint,
            [request.prompt for request in REQUESTS],
            [request.seed for request in REQUESTS],
            negative_prompt=REQUEST.negative_prompt,
            width=32,
            height=32,
            steps=2,
            guidance=2.0,
            batch_sizes=[6, 5],
        )
        ours = np.stack([pixels(image) for image in generator.generate(checkpoint, REQUESTS)])
        assert np.array_equal(ours, bare.images), f"{(ours != bare.images).sum()} values differ"


def test_neighbours_in_a_batch_change_no_bit(generator: Generator) -> None:
    straight = {image.request.seed: image.png for image in generator.generate(None, REQUESTS[:6])}
    mixed = [REQUESTS[index] for index in (4, 9, 0, 8, 2, 10)]
    for image in generator.generate(None, mixed):
        if image.request.seed in straight:
            assert image.png == straight[image.request.seed], f"seed {image.request.seed}"


def test_the_effect_of_the_last_checkpoint_does_not_linger(generator: Generator, lora_file: Path) -> None:
    [before] = generator.generate(None, [REQUEST])
    [adapted] = generator.generate(lora_file, [REQUEST])
    [after] = generator.generate(None, [REQUEST])
    assert adapted.png != before.png
    assert after.png == before.png


def test_two_checkpoints_painted_in_turns_are_not_confused(generator: Generator, tmp_path: Path) -> None:
    files = [written_lora(generator, tmp_path / f"{seed}.safetensors", seed) for seed in range(2)]
    generator = Generator(generator.base.source, batch_size=2)
    alone = [[image.png for image in generator.generate(file, REQUESTS[:4])] for file in files]
    in_turns = list(zip(*(generator.generate(file, REQUESTS[:4]) for file in files), strict=True))
    assert [image.png for image, _ in in_turns] == alone[0]
    assert [image.png for _, image in in_turns] == alone[1]


# Runs that were cut short


def test_a_run_cut_short_anywhere_ends_with_the_bytes_of_a_whole_one(generator: Generator, lora_file: Path) -> None:
    whole = {image.fingerprint_hash: image.png for image in generator.generate(lora_file, REQUESTS)}
    for stored in (0, 1, 6, 7, 11):
        cut_short = itertools.islice(generator.generate(lora_file, REQUESTS), stored)
        kept = {image.fingerprint_hash: image.png for image in cut_short}
        rest = {image.fingerprint_hash: image.png for image in generator.generate(lora_file, REQUESTS, skip=kept)}
        assert len(rest) == len(REQUESTS) - stored, "only what is missing is painted"
        assert kept | rest == whole, f"cut short after {stored}"


def test_images_missing_here_and_there_get_the_bytes_of_a_whole_run(generator: Generator) -> None:
    whole = {image.fingerprint_hash: image.png for image in generator.generate(None, REQUESTS)}
    missing = [list(whole)[index] for index in (1, 4, 7, 10)]
    rows = rows_of_calls(generator)
    rest = {
        image.fingerprint_hash: image.png
        for image in generator.generate(None, REQUESTS, skip=whole.keys() - set(missing))
    }
    assert rest == {key: whole[key] for key in missing}
    assert rows == [6, 5]


STORES_EIGHT_IMAGES = """
import sys, time
from pathlib import Path
from pixel_lora_pipeline_tests.validate.test_generate import REQUESTS
from pixel_lora_pipeline.validate.generate import Generator

folder, checkpoint, images = map(Path, sys.argv[1:])
for number, image in enumerate(Generator(folder).generate(checkpoint, REQUESTS), start=1):
    (images / image.fingerprint_hash).write_bytes(image.png)
    if number == 8:
        print("eight are stored", flush=True)
        time.sleep(600)
"""


def test_after_a_kill_the_next_run_paints_only_the_rest_and_all_is_as_if_nothing_happened(
    base_folder: Path, generator: Generator, lora_file: Path, tmp_path: Path
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    command = [sys.executable, "-c", STORES_EIGHT_IMAGES, str(base_folder), str(lora_file), str(images)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as run:
        assert run.stdout is not None
        run.stdout.readline()
        run.kill()
    kept = {path.name: path.read_bytes() for path in images.iterdir()}
    rest = {image.fingerprint_hash: image.png for image in generator.generate(lora_file, REQUESTS, skip=kept)}
    whole = {image.fingerprint_hash: image.png for image in generator.generate(lora_file, REQUESTS)}
    assert (len(kept), len(rest)) == (8, 3)
    assert kept | rest == whole


def test_known_images_cost_no_painting_and_count_as_done(generator: Generator) -> None:
    known = {image.fingerprint_hash for image in generator.generate(None, REQUESTS)}
    rows = rows_of_calls(generator)
    progress: list[tuple[int, int]] = []
    assert list(generator.generate(None, REQUESTS, skip=known, on_progress=lambda *p: progress.append(p))) == []
    assert rows == []
    assert progress == [(11, 11)]


def test_progress_goes_from_what_is_known_to_all(generator: Generator) -> None:
    known = {image.fingerprint_hash for image in generator.generate(None, REQUESTS[:3])}
    progress: list[tuple[int, int]] = []
    list(generator.generate(None, REQUESTS, skip=known, on_progress=lambda *p: progress.append(p)))
    assert progress == [(3, 11), (6, 11), (11, 11)]


def test_different_sizes_steps_and_guidance_are_painted_apart(generator: Generator) -> None:
    requests = [
        REQUEST,
        dataclasses.replace(REQUEST, width=48),
        dataclasses.replace(REQUEST, steps=3),
        dataclasses.replace(REQUEST, guidance=1.0),
        dataclasses.replace(REQUEST, seed=2),
    ]
    rows = rows_of_calls(generator)
    images = list(generator.generate(None, requests))
    assert rows == [2, 1, 1, 1]
    assert {pixels(image).shape[1] for image in images} == {32, 48}
    assert len({image.png for image in images}) == 5


@pytest.mark.parametrize("limit", [1, 2, 7, 8])
def test_batches_are_as_few_and_as_equal_as_possible(limit: int) -> None:
    for count in range(1, 40):
        sizes = even_sizes(count, limit)
        assert sum(sizes) == count
        assert len(sizes) == -(-count // limit)
        assert max(sizes) - min(sizes) <= 1


# Memory


def out_of_cuda_memory(rows: int) -> None:
    raise torch.OutOfMemoryError(f"CUDA out of memory. Tried to allocate {rows} GiB.")


def out_of_main_memory(rows: int) -> None:
    torch.empty(rows << 56)  # the allocator's genuine refusal


@pytest.mark.parametrize("refuse", [out_of_cuda_memory, out_of_main_memory])
def test_when_memory_runs_out_batches_are_halved_and_the_size_that_worked_is_kept(
    generator: Generator, refuse: Callable[[int], None]
) -> None:
    expected = {image.request.seed: pixels(image) for image in generator.generate(None, REQUESTS)}
    tried: list[int] = []

    def at_most_two_images(_: object, arguments: tuple[torch.Tensor]) -> None:
        rows = len(arguments[0]) // 2  # with and without the prompt
        tried.append(rows)
        if rows > 2:
            refuse(rows)

    generator.base.pipeline.unet.register_forward_pre_hook(at_most_two_images)
    images = list(generator.generate(None, REQUESTS))
    assert list(dict.fromkeys(tried)) == [6, 3, 2, 1]
    assert [image.request for image in images] == REQUESTS
    difference = max(int(np.abs(pixels(image).astype(int) - expected[image.request.seed]).max()) for image in images)
    assert difference <= 1, f"{difference} levels"
    tried.clear()
    list(generator.generate(None, REQUESTS))
    assert max(tried) == 2, "the size that worked was forgotten"


def test_a_single_image_that_does_not_fit_is_an_error_that_says_what_to_do(generator: Generator) -> None:
    handle = generator.base.pipeline.unet.register_forward_pre_hook(lambda *_: out_of_cuda_memory(1))
    with pytest.raises(GenerationMemoryError, match=r"32×32.*float16"):
        list(generator.generate(None, REQUESTS))
    handle.remove()
    assert len(list(generator.generate(None, REQUESTS))) == len(REQUESTS)


def test_other_failures_are_not_taken_for_a_lack_of_memory(generator: Generator) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("expected scalar type Float")

    generator.base.pipeline.unet.register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="expected scalar type Float"):
        list(generator.generate(None, REQUESTS))


# Images that show nothing


def test_an_image_that_fails_in_half_precision_is_painted_again_in_float32(base_folder: Path, lora_file: Path) -> None:
    generator = Generator(base_folder, precision="float16")
    usable = [image.png for image in generator.generate(lora_file, REQUESTS[:3])]
    pipeline = generator.base.pipeline
    weight = pipeline.vae.post_quant_conv.weight
    kept = weight.detach().clone()
    weight.data *= 60_000 / float(kept.abs().max())  # overflows float16, and the next normalisation undoes it
    before = {name: value.clone() for name, value in pipeline.unet.state_dict().items()}
    for image in generator.generate(lora_file, REQUESTS[:3]):
        assert image.fault is None
        assert image.warnings == (
            "The image came out not finite in float16.",
            "Painted again in float32 it is usable.",
        )
        assert pixels(image).std() > 1
    after = pipeline.unet.state_dict()
    assert all(value.dtype == after[name].dtype and torch.equal(value, after[name]) for name, value in before.items())
    weight.data = kept
    assert [image.png for image in generator.generate(lora_file, REQUESTS[:3])] == usable


@pytest.mark.parametrize(
    ("bias", "fault"), [(float("nan"), ImageFault.NOT_FINITE), (-5.0, ImageFault.BLACK), (0.3, ImageFault.FLAT)]
)
def test_images_that_show_nothing_are_reported(generator: Generator, bias: float, fault: ImageFault) -> None:
    output = generator.base.pipeline.vae.decoder.conv_out
    output.weight.data.zero_()
    output.bias.data.fill_(bias)
    images = list(generator.generate(None, REQUESTS[:2]))
    assert [image.fault for image in images] == [fault, fault]
    assert images[0].warnings == (f"The image came out {fault} in float32.",)
    assert pixels(images[0]).shape == (32, 32, 3)


def test_a_refused_checkpoint_does_not_spoil_the_next(generator: Generator, lora_file: Path, tmp_path: Path) -> None:
    expected = [image.png for image in generator.generate(lora_file, REQUESTS)]
    bad = tmp_path / "bad.safetensors"
    weights = kohya_weights(generator.base.pipeline)
    save_file({key.replace("lora_unet_", "unet_"): value for key, value in weights.items()}, bad)
    with pytest.raises(LoraError, match=r"bad\.safetensors"):
        list(generator.generate(bad, REQUESTS))
    assert [image.png for image in generator.generate(lora_file, REQUESTS)] == expected


# Fingerprints and files


def test_the_fingerprint_changes_with_everything_that_shapes_the_image(
    base_folder: Path, generator: Generator, lora_file: Path, tmp_path: Path
) -> None:
    other_lora = written_lora(generator, tmp_path / "other.safetensors", seed=8)
    changed = {"prompt": "x", "negative_prompt": "x", "seed": 2, "width": 48, "height": 48, "steps": 3, "guidance": 3.0}
    requests = [REQUEST, *(dataclasses.replace(REQUEST, **{name: value}) for name, value in changed.items())]
    hashes = [image.fingerprint_hash for image in generator.generate(lora_file, requests)]
    for variant, checkpoint in (
        (generator, None),
        (generator, other_lora),
        (Generator(base_folder, strength=0.5), lora_file),
        (Generator(base_folder, precision="bfloat16"), lora_file),
    ):
        hashes += [image.fingerprint_hash for image in variant.generate(checkpoint, [REQUEST])]
    other_scheduler = Generator(base_folder)
    other_scheduler.base.pipeline.scheduler.register_to_config(prediction_type="v_prediction")
    hashes += [image.fingerprint_hash for image in other_scheduler.generate(lora_file, [REQUEST])]
    assert len(set(hashes)) == len(hashes) == 13


def test_the_fingerprint_ignores_names_and_places(generator: Generator, lora_file: Path, tmp_path: Path) -> None:
    moved = tmp_path / "renamed.safetensors"
    moved.write_bytes(lora_file.read_bytes())
    [here] = generator.generate(lora_file, [REQUEST])
    [there] = generator.generate(moved, [dataclasses.replace(REQUEST, prompt_id="other", guidance=2)])
    assert here.fingerprint_hash == there.fingerprint_hash == fingerprint_hash(here.fingerprint)
    assert here.fingerprint["lora"] == {
        "sha256": hashlib.sha256(lora_file.read_bytes()).hexdigest(),
        "strength": 1.0,
    }


def test_the_files_hold_pixels_and_nothing_else(generator: Generator) -> None:
    [image] = generator.generate(None, [REQUEST])
    chunks, at = [], 8
    while at < len(image.png):
        length, kind = struct.unpack(">I4s", image.png[at : at + 8])
        chunks.append(kind.decode())
        at += 12 + length
    assert sorted(set(chunks)) == ["IDAT", "IEND", "IHDR"]


@pytest.mark.parametrize(
    "change", [{"seed": -1}, {"seed": 2**63}, {"width": 20}, {"height": 0}, {"steps": 0}, {"guidance": float("nan")}]
)
def test_an_impossible_request_names_its_prompt(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="Prompt 'portrait'"):
        dataclasses.replace(REQUEST, **change)


def test_nothing_is_loaded_before_it_is_needed(tmp_path: Path) -> None:
    assert list(Generator(tmp_path / "not there").generate(None, [])) == []
    program = "import sys, pixel_lora_pipeline.validate.generate; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert not {"torch", "diffusers", "transformers"} & set(modules.split())
