import hashlib
import json
import threading
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import load_file
from torch import Tensor

from pixel_lora_pipeline.embedded.architecture import assemble, build_text_encoder, build_unet
from pixel_lora_pipeline.embedded.kohya_file import checkpoint_hashes, save_checkpoint
from pixel_lora_pipeline.embedded.loading import load_pipeline
from pixel_lora_pipeline.embedded.lora_config import LoraConfig
from pixel_lora_pipeline.embedded.lora_network import LoraNetwork
from pixel_lora_pipeline.embedded.vocabulary import build_tokenizer
from pixel_lora_pipeline.whole_file import write_whole
from pixel_lora_pipeline_tests.embedded.conftest import Train, tiny_pipeline

# What Kohya's trainer writes for a training from folders with network arguments, one key a line.
GENUINE_KEYS = set((Path(__file__).parent / "genuine_header_keys.txt").read_text().split())


def test_the_header_has_exactly_the_keys_of_a_genuine_file(train: Train) -> None:
    header = train(conv_dim=2).header()
    assert header.keys() == GENUINE_KEYS
    assert "ss_network_args" not in train().header(), "Kohya writes it only where arguments were given"


def test_the_header_says_what_was_trained_as_kohya_writes_it(train: Train) -> None:
    run = train(
        network_args=["conv_dim=2", "conv_alpha=1"],
        network_dropout=0.1,
        text_encoder_lr=[5e-5],
        optimizer_args=["weight_decay=0.01", "betas=0.9,0.99"],
        keep_tokens=2,
        shuffle_caption=True,
        gradient_accumulation_steps=2,
        max_train_epochs=2,
        training_comment="a comment",
        noise_offset=0.05,
    )
    expected = {
        "ss_network_module": "networks.lora",
        "ss_network_dim": "2",
        "ss_network_args": '{"conv_dim": "2", "conv_alpha": "1", "dropout": 0.1}',
        "ss_text_encoder_lr": "5e-05",
        "ss_unet_lr": "None",
        "ss_learning_rate": "0.01",
        "ss_optimizer": "torch.optim.adamw.AdamW(weight_decay=0.01,betas=(0.9, 0.99))",
        "ss_keep_tokens": "2",
        "ss_shuffle_caption": "True",
        "ss_flip_aug": "False",
        "ss_resolution": "(64, 64)",
        "ss_batch_size_per_device": "2",
        "ss_total_batch_size": "4",
        "ss_num_train_images": "5",
        "ss_num_batches_per_epoch": "3",
        "ss_max_train_steps": "4",
        "ss_num_epochs": "2",
        "ss_dataset_dirs": '{"1_pixchar": {"n_repeats": 1, "img_count": 5}}',
        "ss_base_model_version": "sd_v1_v",
        "ss_sd_model_name": "tiny_base",
        "ss_output_name": "portrait",
        "ss_training_comment": "a comment",
        "ss_noise_offset": "0.05",
        "ss_seed": "1",
        "modelspec.prediction_type": "v",
        "modelspec.resolution": "64x64",
    }
    header = run.header()
    assert {key: header[key] for key in expected} == expected
    assert json.loads(header["ss_tag_frequency"])["1_pixchar"]["pixchar"] == 5
    first = run.header(0)
    assert (first["ss_epoch"], first["ss_steps"], header["ss_epoch"], header["ss_steps"]) == ("1", "2", "2", "4")
    same = ("ss_session_id", "ss_training_started_at", "ss_seed")
    assert all(first[key] == header[key] for key in same)
    times = [float(first["ss_training_started_at"]), *(float(h["ss_training_finished_at"]) for h in (first, header))]
    assert times == sorted(times)


def test_two_runs_are_two_sessions(train: Train) -> None:
    assert train().header()["ss_session_id"] != train().header()["ss_session_id"]


def test_the_model_hash_is_that_of_the_tensors_bytes(train: Train) -> None:
    run = train()
    content = run.checkpoints[-1].read_bytes()
    tensors = content[8 + int.from_bytes(content[:8], "little") :]
    assert run.header()["sshs_model_hash"] == hashlib.sha256(tensors).hexdigest()
    assert run.header()["sshs_legacy_hash"] == "e3b0c442", "of a file below 1 MiB: the hash of nothing"


def test_the_legacy_hash_reads_64_kib_from_1_mib_on_and_only_training_metadata() -> None:
    values = torch.arange(2**19, dtype=torch.int32).view(torch.float32).nan_to_num()
    tensors = {"lora.lora_up.weight": values}
    hashes = checkpoint_hashes(tensors, {"ss_epoch": "1", "modelspec.title": "long" * 100})
    assert hashes == checkpoint_hashes(tensors, {"ss_epoch": "1"})
    assert hashes["sshs_legacy_hash"] != checkpoint_hashes({"x": values.roll(1)}, {})["sshs_legacy_hash"]


@pytest.mark.parametrize(
    ("name", "dtype"), [("fp16", torch.float16), ("bf16", torch.bfloat16), ("float", torch.float32)]
)
def test_tensors_are_stored_in_the_precision_asked_for(train: Train, name: str, dtype: torch.dtype) -> None:
    assert {tensor.dtype for tensor in train(save_precision=name).weights().values()} == {dtype}


@torch.no_grad()
def outputs(pipeline: StableDiffusionPipeline) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(0)
    hidden = pipeline.text_encoder(torch.arange(77)[None]).last_hidden_state
    latents = torch.randn(1, 4, 32, 32, generator=random)
    return pipeline.unet(latents, torch.tensor([500]), hidden).sample, hidden


def assert_diffusers_computes_the_same(base: StableDiffusionPipeline, lora: LoraNetwork, file: Path) -> None:
    lora.eval()
    plain = outputs(base)
    with lora.attached():
        ours = outputs(base)
    base.load_lora_weights(file)
    theirs = outputs(base)
    loaded = sum(hasattr(module, "lora_A") for part in (base.unet, base.text_encoder) for module in part.modules())
    assert loaded == sum(key.endswith(".alpha") for key in lora.state_dict())
    for mine, other, before in zip(ours, theirs, plain, strict=True):
        difference, effect = float((mine - other).abs().max()), float((mine - before).abs().max())
        assert difference < 1e-4 < 1e-2 < effect, f"difference {difference:.1e}, effect of the LoRA {effect:.1e}"


def test_diffusers_computes_with_a_saved_training_what_the_trainer_computed(train: Train, base_model: Path) -> None:
    parameters = {"network_dim": 3, "network_alpha": 2, "conv_dim": 2, "conv_alpha": 4, "learning_rate": 0.05}
    run = train(max_train_epochs=4, text_encoder_lr=0.05, **parameters)
    base = load_pipeline(base_model)
    source = torch.Generator()
    lora = LoraNetwork(base.unet, base.text_encoder, LoraConfig.model_validate(parameters), source, source)
    lora.load_weights(run.checkpoints[-1])
    assert_diffusers_computes_the_same(base, lora, run.checkpoints[-1])


def test_diffusers_loads_all_layers_of_the_embedded_models_shape(tmp_path: Path) -> None:
    tokenizer = build_tokenizer()
    unet, text_encoder = build_unet(), build_text_encoder(tokenizer)
    base = assemble(tokenizer, text_encoder, unet, tiny_pipeline().vae)
    source = torch.Generator().manual_seed(0)
    lora = LoraNetwork(unet, text_encoder, LoraConfig(network_dim=4, network_alpha=2, conv_dim=2), source, source)
    with torch.no_grad():
        for parameter in lora.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=source) * 0.05)
    save_checkpoint(tmp_path / "lora.safetensors", lora.state_dict(), {"ss_epoch": "1"})
    assert_diffusers_computes_the_same(base, lora, tmp_path / "lora.safetensors")


def test_whoever_looks_sees_a_whole_file_or_none(tmp_path: Path) -> None:
    path = tmp_path / "portrait.safetensors"
    tensors = {"x.lora_up.weight": torch.zeros(200_000)}
    seen, faults, done = 0, [], threading.Event()

    def look() -> None:
        nonlocal seen
        while not done.is_set():
            for found in tmp_path.glob("*.safetensors"):
                content = found.read_bytes()
                length = int.from_bytes(content[:8], "little")
                if len(content) != 8 + length + 800_000:
                    faults.append(len(content))
                seen += 1

    watcher = threading.Thread(target=look)
    watcher.start()
    for epoch in range(30):
        save_checkpoint(path, tensors, {"ss_epoch": str(epoch)})
    done.set()
    watcher.join()
    assert seen > 0 and faults == []
    assert [found.name for found in tmp_path.iterdir()] == [path.name]
    assert load_file(path).keys() == tensors.keys()


def test_a_failure_leaves_no_temporary_file(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match="taken"):
        write_whole(tmp_path / "taken", b"content")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_files_can_be_read_by_whoever_may_read_the_folder(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "x.safetensors", {"x": torch.zeros(1)}, {})
    ordinary = tmp_path / "ordinary"
    ordinary.touch()
    assert (tmp_path / "x.safetensors").stat().st_mode == ordinary.stat().st_mode
