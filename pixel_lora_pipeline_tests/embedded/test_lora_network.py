from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from pixel_lora_pipeline.embedded.architecture import build_text_encoder, build_unet
from pixel_lora_pipeline.embedded.lora_config import ConfigError, LoraConfig
from pixel_lora_pipeline.embedded.lora_network import LoraModule, LoraNetwork
from pixel_lora_pipeline.embedded.vocabulary import build_tokenizer
from pixel_lora_pipeline_tests.embedded.conftest import TEXT_WIDTH, tiny_pipeline

BASE = tiny_pipeline()


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def network(**parameters: object) -> LoraNetwork:
    config = LoraConfig.model_validate({"network_dim": 2, "network_alpha": 2, **parameters})
    return LoraNetwork(BASE.unet, BASE.text_encoder, config, source(), source(1))


def shaken(lora: LoraNetwork) -> LoraNetwork:
    """With weights as after a training: the second factors begin as zero."""
    with torch.no_grad():
        for parameter in lora.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=source(2)) * 0.1)
    return lora.eval()


@torch.no_grad()
def painted() -> Tensor:
    latents = torch.randn(2, 4, 32, 32, generator=source(3))
    hidden = torch.randn(2, 77, TEXT_WIDTH, generator=source(4))
    result: Tensor = BASE.unet(latents, torch.tensor([400, 800]), hidden).sample
    return result


@torch.no_grad()
def read() -> Tensor:
    result: Tensor = BASE.text_encoder(torch.arange(77)[None]).last_hidden_state
    return result


def module(layer: nn.Linear | nn.Conv2d, rank: int = 4, alpha: float = 4, **parameters: object) -> LoraModule:
    lora = LoraModule(layer, rank, alpha, LoraConfig.model_validate(parameters), source(), source(1))
    nn.init.normal_(lora.lora_up.weight, generator=source(2))
    return lora


def test_attention_gets_updates_and_convolutions_only_with_conv_dim() -> None:
    plain, wide = ({key.split(".")[0] for key in network(conv_dim=dim).state_dict()} for dim in (None, 2))
    assert "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_k" in plain
    assert "lora_unet_mid_block_attentions_0_proj_in" in plain
    assert "lora_te_text_model_encoder_layers_1_mlp_fc2" in plain
    added = {name.removeprefix("lora_unet_") for name in wide - plain}
    kinds = {"conv1", "conv2", "time_emb_proj", "conv_shortcut", "downsamplers_0_conv", "upsamplers_0_conv"}
    assert plain < wide and all(any(kind in name for kind in kinds) for name in added)
    assert all(any(kind in name for name in added) for kind in kinds)
    assert not any("conv_in" in name or "conv_out" in name or name.endswith("time_embedding") for name in wide)


def test_convolutions_have_ranks_of_their_own_and_narrow_ones_that_of_linear_layers() -> None:
    weights = network(network_dim=3, conv_dim=5, conv_alpha=2).state_dict()
    for name in (key.removesuffix(".lora_down.weight") for key in weights if "lora_down" in key):
        down, alpha = weights[f"{name}.lora_down.weight"], float(weights[f"{name}.alpha"])
        assert (len(down), alpha) == ((5, 2) if down.shape[2:] == (3, 3) else (3, 2)), name


def test_the_text_encoder_or_the_unet_can_be_left_alone() -> None:
    assert all(key.startswith("lora_unet_") for key in network(network_train_unet_only=True).state_dict())
    assert all(key.startswith("lora_te_") for key in network(network_train_text_encoder_only=True).state_dict())


def test_a_fresh_network_changes_nothing() -> None:
    before = painted(), read()
    with network(conv_dim=2).attached():
        assert torch.equal(painted(), before[0]) and torch.equal(read(), before[1])


def test_the_base_model_is_bit_exact_again_afterwards() -> None:
    before = painted(), read()
    with shaken(network(conv_dim=2)).attached():
        assert not torch.allclose(painted(), before[0], atol=1e-2)
        assert not torch.allclose(read(), before[1], atol=1e-2)
    assert torch.equal(painted(), before[0]) and torch.equal(read(), before[1])


@pytest.mark.parametrize("layer", [nn.Linear(6, 10), nn.Conv2d(6, 10, 3, stride=2, padding=1), nn.Conv2d(6, 10, 1)])
def test_the_update_is_alpha_over_rank_times_the_product_of_the_factors(layer: nn.Linear | nn.Conv2d) -> None:
    lora = module(layer, rank=4, alpha=2).eval()
    x = torch.randn(2, 6, 8, 8, generator=source(5)) if isinstance(layer, nn.Conv2d) else torch.randn(2, 7, 6)
    down, up = lora.lora_down.weight, lora.lora_up.weight
    product = (up.flatten(1) @ down.flatten(1)).view(layer.weight.shape) * 2 / 4
    if isinstance(layer, nn.Conv2d):
        expected = nn.functional.conv2d(x, product, stride=layer.stride, padding=layer.padding)
    else:
        expected = nn.functional.linear(x, product)
    assert torch.allclose(lora(x), expected, atol=1e-5)


@pytest.mark.parametrize("alpha", [0, 4])
def test_an_alpha_of_zero_stands_for_the_rank(alpha: float) -> None:
    assert module(nn.Linear(6, 10), rank=4, alpha=alpha).scale == 1


@pytest.mark.parametrize("layer", [nn.Linear(6, 10), nn.Conv2d(6, 10, 3, padding=1)])
@pytest.mark.parametrize("name", ["network_dropout", "rank_dropout", "module_dropout"])
def test_a_dropout_acts_in_training_alone_and_keeps_the_mean(layer: nn.Linear | nn.Conv2d, name: str) -> None:
    parameters: dict[str, object] = {name: 0.3}
    lora = module(layer, 4, 4.0, **parameters)
    x = torch.randn(1, 6, 8, 8, generator=source(6)) if isinstance(layer, nn.Conv2d) else torch.randn(1, 7, 6)
    with torch.no_grad():
        exact = lora.eval()(x)
        lora.train()
        outputs = torch.stack([lora(x) + torch.zeros_like(exact) for _ in range(1500)])
    assert outputs.std(dim=0).max() > 0.01
    kept = 0.7 if name == "module_dropout" else 1.0  # Kohya does not make up for skipped modules
    assert torch.allclose(outputs.mean(dim=0), kept * exact, atol=0.08 * float(exact.abs().max()))
    if name == "module_dropout":
        skipped = (outputs.flatten(1).abs().sum(dim=1) == 0).float().mean()
        assert float(skipped) == pytest.approx(0.3, abs=0.05)


def test_norms_are_limited_and_smaller_ones_left() -> None:
    lora = module(nn.Conv2d(6, 10, 3), alpha=2)

    @torch.no_grad()
    def norm() -> float:
        return float((lora.lora_up.weight.flatten(1) @ lora.lora_down.weight.flatten(1)).norm()) * lora.scale

    before = norm()
    lora.limit_norm(before * 2)
    assert norm() == before
    lora.limit_norm(before / 2)
    assert norm() == pytest.approx(before / 2, rel=1e-4)


def test_initial_weights_depend_on_the_seed_alone() -> None:
    state = torch.get_rng_state()
    first, second = network().state_dict(), network().state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert torch.equal(torch.get_rng_state(), state), "PyTorch's own source of chance was used"


def test_training_goes_on_from_a_file(tmp_path: Path) -> None:
    stored = {key: value.half() for key, value in shaken(network()).state_dict().items()}
    save_file(stored, tmp_path / "lora.safetensors")
    goes_on = network(conv_dim=2)  # with convolutions that the file does not have
    goes_on.load_weights(tmp_path / "lora.safetensors")
    weights = goes_on.state_dict()
    assert all(torch.equal(weights[key], value.float()) for key, value in stored.items())


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({"network_dim": 3}, "set network_dim"),
        ({"network_alpha": 1}, "set network_alpha"),
        ({"network_train_unet_only": True}, "no place"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(tmp_path: Path, parameters: dict[str, object], told: str) -> None:
    save_file(network().state_dict(), tmp_path / "lora.safetensors")
    with pytest.raises(ConfigError, match=told):
        network(**parameters).load_weights(tmp_path / "lora.safetensors")


def test_a_file_that_is_no_lora_is_refused(tmp_path: Path) -> None:
    (tmp_path / "lora.safetensors").write_bytes(b"nothing of the kind")
    for path in (tmp_path / "lora.safetensors", tmp_path / "missing.safetensors"):
        with pytest.raises(ConfigError, match="cannot be read"):
            network().load_weights(path)


def test_the_embedded_model_has_all_kinds_of_layers() -> None:
    config = LoraConfig(conv_dim=2)
    lora = LoraNetwork(build_unet(), build_text_encoder(build_tokenizer()), config, source(), source())
    names = {key.split(".")[0] for key in lora.state_dict()}
    assert sum(name.startswith("lora_te_") for name in names) == 3 * 6
    assert sum(name.startswith("lora_unet_") for name in names) > 100
