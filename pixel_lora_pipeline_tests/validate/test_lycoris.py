"""LoHa and LoKr paint what the library that trains them computes, and leave no trace."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from lycoris.kohya import create_network
from safetensors.torch import load_file, save_file

from pixel_lora_pipeline.train import read_checkpoint
from pixel_lora_pipeline.validate.base_model import load_base_model
from pixel_lora_pipeline.validate.generate import Generator, ImageRequest
from pixel_lora_pipeline.validate.lora import LoraError, LoraMismatchError, load_lora, read_lora, unload_lora
from pixel_lora_pipeline_tests.validate.tiny_diffusion import kohya_weights, noise_prediction

KINDS: dict[str, dict[str, Any]] = {
    "LoHa": {"algo": "loha", "conv_dim": 2, "conv_alpha": 1},
    "LoHa, Tucker": {"algo": "loha", "conv_dim": 2, "conv_alpha": 1, "use_tucker": True},
    "LoKr": {"algo": "lokr", "conv_dim": 2, "conv_alpha": 1},
    "LoKr, Tucker": {"algo": "lokr", "conv_dim": 2, "conv_alpha": 1, "use_tucker": True},
    "LoKr, both halves decomposed": {"algo": "lokr", "conv_dim": 1, "conv_alpha": 3, "decompose_both": True},
    "LoKr, whole matrices": {"algo": "lokr", "conv_dim": 2, "conv_alpha": 1, "full_matrix": True},
    "LoKr, factor 2": {"algo": "lokr", "conv_dim": 2, "conv_alpha": 1, "factor": 2},
}


@pytest.fixture
def pipeline(base_folder: Path) -> Any:
    return load_base_model(base_folder).pipeline


def trained(pipeline: Any, path: Path, **options: Any) -> torch.Tensor:
    """Write a file as a training does, of random weights; returns what the trained model then computes."""
    model = copy.copy(pipeline)
    model.unet, model.text_encoder = copy.deepcopy(pipeline.unet), copy.deepcopy(pipeline.text_encoder)
    torch.manual_seed(11)
    preset = path.with_suffix(".toml")
    preset.write_text(PRESET, encoding="utf-8")
    network = create_network(
        1.0, 2, 1.0, None, model.text_encoder, model.unet, preset=str(preset), warn_on_unmatched=False, **options
    )
    network.apply_to(model.text_encoder, model.unet, apply_text_encoder=True, apply_unet=True)
    with torch.no_grad():
        for weight in network.parameters():
            weight.copy_(0.3 * torch.randn(weight.shape))
    network.eval()
    save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, path)
    return noise_prediction(model)


# The library's preset "full", without the classes of other models, of which one names layers of this one twice.
PRESET = """
enable_conv = true
unet_target_module = ["Transformer2DModel", "ResnetBlock2D", "Downsample2D", "Upsample2D"]
unet_target_name = ["conv_in", "conv_out", "time_embedding.linear_1", "time_embedding.linear_2"]
text_encoder_target_module = ["CLIPAttention", "CLIPSdpaAttention", "CLIPMLP"]
text_encoder_target_name = []
"""


@pytest.mark.parametrize("kind", KINDS)
def test_it_does_exactly_what_the_training_did(pipeline: Any, tmp_path: Path, kind: str) -> None:
    file = tmp_path / "lycoris.safetensors"
    reference = trained(pipeline, file, **KINDS[kind])
    base = noise_prediction(pipeline)
    effect = float((reference - base).abs().max())
    load_lora(pipeline, read_lora(file), 1.0)
    off = float((noise_prediction(pipeline) - reference).abs().max())
    assert effect > 0.01, f"the weights should show, but change the output by {effect:.1e} only"
    assert off <= 1e-5, f"off by {off:.1e}, at an effect of {effect:.2f}"
    unload_lora(pipeline)
    assert torch.equal(noise_prediction(pipeline), base)


@pytest.mark.parametrize(("kind", "adapter"), [("LoHa", "loha"), ("LoKr", "lokr")])
def test_the_file_is_summed_up_by_its_tensors(pipeline: Any, tmp_path: Path, kind: str, adapter: str) -> None:
    file = tmp_path / "lycoris.safetensors"
    trained(pipeline, file, **KINDS[kind])
    found = read_checkpoint(file).adapter
    assert found.adapter == adapter
    assert found.modules == len(read_lora(file).modules)
    assert found.cross_attention_width == pipeline.unet.config.cross_attention_dim
    if adapter == "loha":
        assert (set(found.linear_ranks), set(found.conv_ranks), found.linear_scale) == ({2}, {2}, 0.5)


def test_strength_zero_is_the_base_and_half_is_half(pipeline: Any, tmp_path: Path) -> None:
    file = tmp_path / "lycoris.safetensors"
    trained(pipeline, file, **KINDS["LoKr"])
    base = noise_prediction(pipeline)
    layer = pipeline.unet.mid_block.resnets[0].conv1
    before = layer.weight.detach().clone()
    load_lora(pipeline, read_lora(file), 1.0)
    whole = layer.weight.detach() - before
    load_lora(pipeline, read_lora(file), 0.5)
    assert torch.allclose(layer.weight - before, whole / 2, atol=1e-6)
    load_lora(pipeline, read_lora(file), 0.0)
    assert torch.equal(noise_prediction(pipeline), base)


def test_epochs_of_every_kind_leave_no_trace_of_each_other(pipeline: Any, tmp_path: Path) -> None:
    lycoris, plain = tmp_path / "lycoris.safetensors", tmp_path / "plain.safetensors"
    reference = trained(pipeline, lycoris, **KINDS["LoHa"])
    save_file(kohya_weights(pipeline), plain)
    load_lora(pipeline, read_lora(plain), 1.0)
    alone = noise_prediction(pipeline)
    for file in (lycoris, plain, lycoris, lycoris):
        load_lora(pipeline, read_lora(file), 1.0)
    assert torch.allclose(noise_prediction(pipeline), reference, atol=1e-5)
    load_lora(pipeline, read_lora(plain), 1.0)
    assert torch.equal(noise_prediction(pipeline), alone)


def test_images_are_painted_with_it(base_folder: Path, tmp_path: Path) -> None:
    generator = Generator(base_folder)
    file = tmp_path / "lycoris.safetensors"
    trained(generator.base.pipeline, file, **KINDS["LoKr"])
    request = ImageRequest("portrait", "red hair", "", seed=1, width=16, height=16, steps=2, guidance=2.0)
    [base] = generator.generate(None, [request])
    [adapted] = generator.generate(file, [request])
    [again] = generator.generate(None, [request])
    assert adapted.png != base.png == again.png


def test_kohyas_names_of_stable_diffusion_xl_find_their_layers(xl_folder: Path, tmp_path: Path) -> None:
    pipeline = load_base_model(xl_folder).pipeline
    names = {
        "lora_unet_input_blocks_4_1_transformer_blocks_0_ff_net_2": (
            "down_blocks.1.attentions.0.transformer_blocks.0.ff.net.2"
        ),
        "lora_unet_input_blocks_4_0_in_layers_2": "down_blocks.1.resnets.0.conv1",
        "lora_unet_input_blocks_4_0_emb_layers_1": "down_blocks.1.resnets.0.time_emb_proj",
        "lora_unet_input_blocks_3_0_op": "down_blocks.0.downsamplers.0.conv",
        "lora_unet_middle_block_1_proj_in": "mid_block.attentions.0.proj_in",
        "lora_unet_output_blocks_0_0_skip_connection": "up_blocks.0.resnets.0.conv_shortcut",
        "lora_unet_output_blocks_2_2_conv": "up_blocks.0.upsamplers.0.conv",
        "lora_unet_time_embed_0": "time_embedding.linear_1",
        "lora_unet_input_blocks_0_0": "conv_in",
    }
    layers = {name: pipeline.unet.get_submodule(path) for name, path in names.items()}
    layers["lora_te2_text_model_encoder_layers_0_mlp_fc1"] = next(
        layer for name, layer in pipeline.text_encoder_2.named_modules() if name.endswith("layers.0.mlp.fc1")
    )
    weights = {}
    for name, layer in layers.items():
        weights |= {f"{name}.lokr_w1": torch.ones(1, 1), f"{name}.lokr_w2": torch.ones(layer.weight.shape)}
    save_file(weights, tmp_path / "xl.safetensors")
    before = {name: layer.weight.detach().clone() for name, layer in layers.items()}
    load_lora(pipeline, read_lora(tmp_path / "xl.safetensors"), 1.0)
    for name, layer in layers.items():
        assert torch.equal(layer.weight, before[name] + 1), name


def test_what_does_not_fit_is_named_and_leaves_the_base_as_it_was(pipeline: Any, tmp_path: Path) -> None:
    file = tmp_path / "lycoris.safetensors"
    trained(pipeline, file, **KINDS["LoHa"])
    good, base = load_file(file), noise_prediction(pipeline)
    first = next(name.rpartition(".")[0] for name in good if name.endswith("hada_w1_a"))
    for spoiled, error, message in (
        ({**good, f"{first}.hada_w1_a": good[f"{first}.hada_w1_a"][:-1]}, LoraError, "does not fit the base model"),
        (
            {**good, f"{first}.hada_w1_a": good[f"{first}.hada_w1_a"] * torch.nan},
            LoraError,
            "NaN or infinity.*diverged",
        ),
        (
            {name.replace(first, "lora_unet_elsewhere"): tensor for name, tensor in good.items()},
            LoraMismatchError,
            "missing: lora_unet_elsewhere",
        ),
        ({name: tensor for name, tensor in good.items() if name != f"{first}.hada_w2_b"}, LoraError, "not whole"),
        ({**good, "lora_unet_x.lokr_w1": torch.ones(2, 2)}, LoraError, "LoHa and LoKr"),
    ):
        save_file(spoiled, file)
        with pytest.raises(error, match=message):
            load_lora(pipeline, read_lora(file), 1.0)
        assert torch.equal(noise_prediction(pipeline), base), message
