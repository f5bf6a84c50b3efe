import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from pixel_lora_pipeline.validate.base_model import load_base_model
from pixel_lora_pipeline.validate.generate import Generator, ImageRequest
from pixel_lora_pipeline.validate.lora import LoraError, LoraMismatchError, load_lora, read_lora, unload_lora
from pixel_lora_pipeline_tests.validate import tiny_diffusion
from pixel_lora_pipeline_tests.validate.tiny_diffusion import kohya_weights, merged, noise_prediction

Weights = dict[str, torch.Tensor]


@pytest.fixture
def pipeline(base_folder: Path) -> Any:
    return load_base_model(base_folder).pipeline


@pytest.fixture
def good_file(pipeline: Any, tmp_path: Path) -> Path:
    return written(tmp_path / "good.safetensors", kohya_weights(pipeline))


def written(path: Path, weights: Weights, metadata: dict[str, str] | None = None) -> Path:
    save_file(weights, path, metadata)
    return path


def largest_difference(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).abs().max())


@pytest.mark.parametrize("strength", [1.0, 0.4])
@pytest.mark.parametrize(("rank", "alpha", "text"), [(4, 2.0, True), (2, 3.0, False), (8, 8.0, True)])
def test_a_lora_does_exactly_what_its_weights_say(
    pipeline: Any, tmp_path: Path, rank: int, alpha: float, text: bool, strength: float
) -> None:
    weights = kohya_weights(pipeline, rank=rank, alpha=alpha, text=text)
    reference = noise_prediction(merged(pipeline, weights, strength))
    effect = largest_difference(reference, noise_prediction(pipeline))
    load_lora(pipeline, read_lora(written(tmp_path / "lora.safetensors", weights)), strength)
    difference = largest_difference(noise_prediction(pipeline), reference)
    assert effect > 0.01, f"the LoRA should show, but changes the output by {effect:.1e} only"
    assert difference <= 1e-5, f"off by {difference:.1e}, at an effect of {effect:.2f}"


def test_strength_zero_and_unloading_are_the_base_model_bit_for_bit(pipeline: Any, good_file: Path) -> None:
    base = noise_prediction(pipeline)
    load_lora(pipeline, read_lora(good_file), 0.0)
    assert torch.equal(noise_prediction(pipeline), base)
    load_lora(pipeline, read_lora(good_file), 1.0)
    assert not torch.equal(noise_prediction(pipeline), base)
    unload_lora(pipeline)
    assert torch.equal(noise_prediction(pipeline), base)


def test_many_epochs_leave_no_trace_of_each_other(pipeline: Any, tmp_path: Path) -> None:
    files = [
        read_lora(written(tmp_path / f"{seed}.safetensors", kohya_weights(pipeline, rank=1 + seed, seed=seed)))
        for seed in range(2)
    ]
    load_lora(pipeline, files[0], 1.0)
    alone = noise_prediction(pipeline)
    for number in range(5):
        load_lora(pipeline, files[number % 2], 1.0)
    assert torch.equal(noise_prediction(pipeline), alone)
    assert pipeline.get_list_adapters() == {"unet": ["checkpoint"], "text_encoder": ["checkpoint"]}


def test_a_file_for_the_text_encoder_alone_is_loaded_whole(pipeline: Any, tmp_path: Path) -> None:
    weights = {key: value for key, value in kohya_weights(pipeline).items() if key.startswith("lora_te_")}
    reference = noise_prediction(merged(pipeline, weights, 0.5))
    load_lora(pipeline, read_lora(written(tmp_path / "te.safetensors", weights)), 0.5)
    assert largest_difference(noise_prediction(pipeline), reference) <= 1e-5


def test_files_that_diffusers_itself_writes_are_understood(pipeline: Any, tmp_path: Path) -> None:
    path = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
    weights = {f"unet.{path}.lora_A.weight": torch.ones(2, 8), f"unet.{path}.lora_B.weight": torch.ones(8, 2)}
    metadata = {"unet.r": 2, "unet.lora_alpha": 1, "unet.target_modules": [path]}
    file = written(
        tmp_path / "peft.safetensors",
        weights,
        {"format": "pt", "lora_adapter_metadata": json.dumps(metadata)},
    )
    base = noise_prediction(pipeline)
    load_lora(pipeline, read_lora(file), 1.0)
    assert not torch.equal(noise_prediction(pipeline), base)


def test_kohya_names_of_stable_diffusion_xl_are_loaded_whole(xl_folder: Path, tmp_path: Path) -> None:
    generator = Generator(xl_folder)
    pipeline = generator.base.pipeline
    blocks = {
        "down_blocks_1_attentions_0": "input_blocks_4_1",
        "down_blocks_1_attentions_1": "input_blocks_5_1",
        "down_blocks_2_attentions_0": "input_blocks_7_1",
        "down_blocks_2_attentions_1": "input_blocks_8_1",
        "mid_block_attentions_0": "middle_block_1",
        **{
            f"up_blocks_{block}_attentions_{layer}": f"output_blocks_{3 * block + layer}_1"
            for block in range(2)
            for layer in range(3)
        },
    }
    weights: Weights = {}
    own_names = {key: value for key, value in kohya_weights(pipeline).items() if "resnets" not in key}
    for key, value in own_names.items():
        block = next((block for block in blocks if f"lora_unet_{block}_" in key), None)
        weights[key.replace(block, blocks[block]) if block else key.replace("lora_te_", "lora_te1_")] = value
    weights |= {key.replace("te1", "te2"): value.clone() for key, value in weights.items() if "lora_te1_" in key}
    request = ImageRequest("portrait", "red hair", "", seed=1, width=16, height=16, steps=2, guidance=2.0)
    [base] = generator.generate(None, [request])
    [adapted] = generator.generate(written(tmp_path / "xl.safetensors", weights), [request])
    assert adapted.png != base.png


def without(weights: Weights, part: str) -> Weights:
    return {key: value for key, value in weights.items() if part not in key}


def renamed(weights: Weights, old: str, new: str) -> Weights:
    return {key.replace(old, new): value for key, value in weights.items()}


def with_nan(weights: Weights) -> Weights:
    key = next(key for key in weights if key.endswith("lora_up.weight"))
    return {**weights, key: torch.full_like(weights[key], torch.nan)}


def widened(weights: Weights, part: str, width: int) -> Weights:
    return {
        key: torch.zeros(4, width) if part in key and key.endswith("lora_down.weight") else value
        for key, value in weights.items()
    }


def one_module_elsewhere(weights: Weights) -> Weights:
    return renamed(weights, "lora_unet_mid_block_resnets_0_conv1", "lora_unet_mid_block_resnets_9_conv1")


Spoiled = tuple[Callable[[Weights], Weights], type[LoraError], str]
KNOWN_BAD_BY_THEIR_HEADER: dict[str, Spoiled] = {
    "half a module": (lambda w: without(w, "mid_block_resnets_0_conv1.lora_up"), LoraError, "only one of their two"),
    "half a LoKr": (lambda w: renamed(w, "lora_down.weight", "lokr_w1"), LoraError, "not whole"),
    "DoRA": (lambda w: {**w, "lora_unet_x.dora_scale": torch.ones(2)}, LoraError, "is a DoRA"),
    "no LoRA": (lambda _: {"weight": torch.ones(2)}, LoraError, "holds no LoRA modules"),
}
BAD_FOR_THE_BASE: dict[str, Spoiled] = {
    "unknown prefix": (
        lambda w: {key.replace("lora_unet", "diffusion_model"): v for key, v in without(w, "lora_te").items()},
        LoraError,
        "Set base_model",
    ),
    "bare PEFT": (
        lambda _: {
            "base_model.model.mid_block.to_q.lora_A.weight": torch.ones(2, 16),
            "base_model.model.mid_block.to_q.lora_B.weight": torch.ones(16, 2),
        },
        LoraMismatchError,
        "of its 1 LoRA modules 0 were loaded; missing: base_model.model.mid_block.to_q",
    ),
    "a module the base lacks": (
        one_module_elsewhere,
        LoraMismatchError,
        "missing: lora_unet_mid_block_resnets_9_conv1",
    ),
    "SDXL": (lambda w: widened(w, "attn2_to_k", 2048), LoraError, "was trained for Stable Diffusion XL"),
    "other inner width": (lambda w: widened(w, "attn1_to_q", 12), LoraError, "does not fit the base model"),
    "foreign key": (lambda w: {**w, "lora_unet_x.bundle_emb": torch.ones(2)}, LoraError, "does not fit"),
    "NaN": (with_nan, LoraError, "1 of its .* weight tensors hold NaN or infinity.*diverged"),
}


@pytest.mark.parametrize("kind", KNOWN_BAD_BY_THEIR_HEADER)
def test_a_file_that_cannot_be_right_is_refused_before_it_is_loaded(pipeline: Any, tmp_path: Path, kind: str) -> None:
    spoil, error, message = KNOWN_BAD_BY_THEIR_HEADER[kind]
    bad_file = written(tmp_path / "bad.safetensors", spoil(kohya_weights(pipeline)))
    with pytest.raises(error, match=f"{bad_file}.*{message}") as caught:
        read_lora(bad_file)
    assert not caught.value.retry


@pytest.mark.parametrize("kind", BAD_FOR_THE_BASE)
def test_a_file_that_does_not_fit_is_named_and_the_next_load_is_right(
    pipeline: Any, good_file: Path, tmp_path: Path, kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    spoil, error, message = BAD_FOR_THE_BASE[kind]
    weights = kohya_weights(pipeline)
    bad_file = written(tmp_path / "bad.safetensors", spoil(weights))
    base, reference = noise_prediction(pipeline), noise_prediction(merged(pipeline, weights, 1.0))
    load_lora(pipeline, read_lora(good_file), 1.0)
    capfd.readouterr()
    with pytest.raises(error, match=f"{bad_file}.*{message}") as caught:
        load_lora(pipeline, read_lora(bad_file), 1.0)
    assert len(str(caught.value)) < 1000, "a message for a person"
    assert torch.equal(noise_prediction(pipeline), base), "after a failure the pipeline is not the bare base model"
    load_lora(pipeline, read_lora(good_file), 1.0)
    assert largest_difference(noise_prediction(pipeline), reference) <= 1e-5
    assert len(capfd.readouterr().err) < 1000, "diffusers' hundreds of lines should not reach the terminal"


def test_a_mismatch_counts_both_sides(pipeline: Any, tmp_path: Path) -> None:
    weights = one_module_elsewhere(kohya_weights(pipeline))
    lora = read_lora(written(tmp_path / "lora.safetensors", weights))
    with pytest.raises(LoraMismatchError) as caught:
        load_lora(pipeline, lora, 1.0)
    assert caught.value.expected == len(lora.modules)
    assert caught.value.loaded == len(lora.modules) - 1
    assert caught.value.missing == ("lora_unet_mid_block_resnets_9_conv1",)


def test_a_file_that_may_still_become_right_is_marked_for_another_try(good_file: Path, tmp_path: Path) -> None:
    half = tmp_path / "half.safetensors"
    half.write_bytes(good_file.read_bytes()[:-50])
    for path in (half, tmp_path / "gone.safetensors"):
        with pytest.raises(LoraError, match=path.name) as caught:
            read_lora(path)
        assert caught.value.retry


def test_a_pickle_under_another_name_is_not_read(tmp_path: Path) -> None:
    torch.save({"lora_unet_x.lora_down.weight": torch.ones(2, 2)}, tmp_path / "lora.safetensors")
    with pytest.raises(LoraError, match="pickles are not read"):
        read_lora(tmp_path / "lora.safetensors")


def test_a_file_overwritten_between_hashing_and_loading_is_not_mistaken(pipeline: Any, good_file: Path) -> None:
    lora = read_lora(good_file)
    base = noise_prediction(pipeline)
    written(good_file, kohya_weights(pipeline, rank=2))
    with pytest.raises(LoraError, match="overwritten") as caught:
        load_lora(pipeline, lora, 1.0)
    assert caught.value.retry
    assert torch.equal(noise_prediction(pipeline), base)


def test_the_trained_width_is_read_from_the_header(good_file: Path) -> None:
    assert read_lora(good_file).context_width == tiny_diffusion.WIDTH
