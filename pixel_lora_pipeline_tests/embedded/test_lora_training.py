import math
import tomllib
from pathlib import Path

import pytest
import torch

from pixel_lora_pipeline.embedded import load_pipeline, train_lora
from pixel_lora_pipeline.embedded.lora_config import ConfigError
from pixel_lora_pipeline.lineage import trace_lineage
from pixel_lora_pipeline.store import Store
from pixel_lora_pipeline.train.checkpoint import read_checkpoint
from pixel_lora_pipeline.validate.base_model import BaseModelError
from pixel_lora_pipeline_tests.embedded.conftest import SPRITES, Run, Train, distance


def test_one_seed_gives_one_result_and_another_another(train: Train, usual_run: Run) -> None:
    assert distance(usual_run.weights(), train().weights()) == 0
    assert distance(usual_run.weights(), train(seed=2).weights()) > 1e-3


def test_without_a_seed_one_is_drawn_and_recorded(train: Train) -> None:
    drawn = train(seed=None)
    assert distance(drawn.weights(), train(seed=int(drawn.header()["ss_seed"])).weights()) == 0


@pytest.mark.parametrize(
    "parameters",
    [
        {"network_alpha": 1},
        {"network_dropout": 0.3},
        {"rank_dropout": 0.3},
        {"module_dropout": 0.3},
        {"learning_rate": 5e-3},
        {"unet_lr": 5e-3},
        {"text_encoder_lr": 5e-3},
        {"lr_scheduler": "cosine"},
        {"optimizer_type": "SGD"},
        {"optimizer_type": "Adafactor", "optimizer_args": ["relative_step=False", "scale_parameter=False"]},
        {"optimizer_args": ["weight_decay=0.5"]},
        {"train_batch_size": 1},
        {"gradient_accumulation_steps": 2},
        {"max_train_epochs": 2},
        {"scale_weight_norms": 0.01},
        {"caption_extension": ".caption"},
        {"shuffle_caption": True},
        {"caption_dropout_rate": 0.5},
        {"caption_dropout_every_n_epochs": 1},
        {"caption_tag_dropout_rate": 0.5},
        {"num_repeats": 2},
        {"flip_aug": True},
        {"color_aug": True},
        {"noise_offset": 0.2},
        {"min_snr_gamma": 1},
        {"loss_type": "l1"},
        {"loss_type": "huber"},
    ],
    ids=str,
)
def test_every_parameter_changes_the_training(train: Train, usual_run: Run, parameters: dict[str, object]) -> None:
    assert distance(usual_run.weights(), train(**parameters).weights()) > 1e-6


def test_kept_tags_change_a_training_with_shuffled_captions_only(train: Train, usual_run: Run) -> None:
    assert distance(usual_run.weights(), train(keep_tokens=3).weights()) == 0
    shuffled, kept = (train(shuffle_caption=True, keep_tokens=count).weights() for count in (0, 3))
    assert distance(shuffled, kept) > 1e-6


def test_what_changes_nothing_is_said(train: Train, caplog: pytest.LogCaptureFixture) -> None:
    train(keep_tokens=3)
    assert "keep_tokens does nothing without" in caplog.text


def test_ranks_are_those_asked_for(train: Train) -> None:
    weights = train(network_dim=3, conv_dim=2).weights()
    ranks = {len(tensor): tensor.shape[2:] for key, tensor in weights.items() if "lora_down" in key}
    assert ranks.keys() == {2, 3} and ranks[2] == (3, 3)


def test_a_part_without_a_rate_is_saved_untrained(train: Train) -> None:
    weights = train(text_encoder_lr=0).weights()
    moved = {key.startswith("lora_te_"): False for key in weights}
    for key, tensor in weights.items():
        if "lora_up" in key:  # begins as zero
            moved[key.startswith("lora_te_")] |= bool(tensor.any())
    assert moved == {True: False, False: True}


def test_a_training_of_one_part_saves_that_part_alone(train: Train) -> None:
    assert all(key.startswith("lora_unet_") for key in train(network_train_unet_only=True).weights())
    assert all(key.startswith("lora_te_") for key in train(network_train_text_encoder_only=True).weights())


@pytest.mark.parametrize(
    ("parameters", "shares"),
    [
        ({}, [1, 1, 1, 1]),
        ({"lr_scheduler": "linear"}, [1, 0.75, 0.5, 0.25]),
        ({"lr_scheduler": "cosine"}, [1, 0.854, 0.5, 0.146]),
        ({"lr_scheduler": "polynomial", "lr_scheduler_power": 2}, [1, 0.5625, 0.25, 0.0625]),
        ({"lr_scheduler": "cosine_with_restarts", "lr_scheduler_num_cycles": 2}, [1, 0.5, 1, 0.5]),
        ({"lr_scheduler": "constant_with_warmup", "lr_warmup_steps": 2}, [0, 0.5, 1, 1]),
        ({"lr_scheduler": "constant_with_warmup", "lr_warmup_steps": 0.5}, [0, 0.5, 1, 1]),
    ],
    ids=str,
)
def test_rates_follow_the_schedule(train: Train, parameters: dict[str, object], shares: list[float]) -> None:
    run = train(max_train_epochs=None, max_train_steps=4, unet_lr=2e-3, text_encoder_lr=1e-3, **parameters)
    unet = [report.learning_rates["unet"] / 2e-3 for report in run.steps]
    text_encoder = [report.learning_rates["text_encoder"] / 1e-3 for report in run.steps]
    assert unet == pytest.approx(shares, abs=2e-3) and text_encoder == pytest.approx(shares, abs=2e-3)


def test_no_step_is_longer_than_the_gradients_bound(train: Train) -> None:
    bound, rate = 0.02, 1.0
    parameters = {"optimizer_type": "SGD", "learning_rate": rate, "max_train_epochs": None}
    none = train(**parameters, max_grad_norm=bound, max_train_steps=1)
    one = train(**parameters, max_grad_norm=bound, max_train_steps=2)
    assert all(report.grad_norm > bound for report in one.steps), "nothing had to be clipped"
    moved = math.sqrt(sum(float(((one.weights()[k] - none.weights()[k]) ** 2).sum()) for k in none.weights()))
    assert moved == pytest.approx(bound * rate, rel=1e-3)
    free = train(**parameters, max_grad_norm=0, max_train_steps=1)
    assert free.steps[0].grad_norm == pytest.approx(none.steps[0].grad_norm)
    assert distance(free.weights(), none.weights()) > 1e-3


def test_weight_norms_stay_below_the_limit(train: Train) -> None:
    limit = 0.05
    weights = train(scale_weight_norms=limit, conv_dim=2, max_train_epochs=2).weights()
    norms = [
        float((weights[f"{name}.lora_up.weight"].flatten(1) @ weights[f"{name}.lora_down.weight"].flatten(1)).norm())
        * float(weights[f"{name}.alpha"])
        / len(weights[f"{name}.lora_down.weight"])
        for name in {key.split(".")[0] for key in weights}
    ]
    assert max(norms) == pytest.approx(limit, rel=1e-3)


@pytest.mark.parametrize(
    ("parameters", "steps", "epochs"),
    [
        ({"train_batch_size": 1, "max_train_epochs": 2}, 10, 2),
        ({"train_batch_size": 2, "max_train_epochs": 2}, 6, 2),
        ({"train_batch_size": 2, "gradient_accumulation_steps": 2, "max_train_epochs": 3}, 6, 3),
        ({"train_batch_size": 4, "num_repeats": 3, "max_train_epochs": 1}, 4, 1),
        ({"max_train_epochs": None, "max_train_steps": 4}, 4, 2),
    ],
    ids=str,
)
def test_steps_are_counted_as_kohya_counts_them(
    train: Train, parameters: dict[str, object], steps: int, epochs: int
) -> None:
    run = train(**parameters)
    assert [report.step for report in run.steps] == list(range(1, steps + 1))
    assert len(run.checkpoints) == epochs
    header = run.header()
    assert [header[key] for key in ("ss_steps", "ss_max_train_steps", "ss_num_epochs")] == [
        str(steps),
        str(steps),
        str(epochs),
    ]


def test_accumulated_batches_weigh_like_one_large_batch(train: Train) -> None:
    parameters = {"max_train_epochs": None, "max_train_steps": 1, "optimizer_type": "SGD", "max_grad_norm": 0}
    one, four = (
        train(**parameters, train_batch_size=1, gradient_accumulation_steps=count).steps[0].grad_norm
        for count in (1, 4)
    )
    assert 0.1 < four / one < 1.5, f"norm {four:.3f} of four accumulated pictures, {one:.3f} of one"


def test_epochs_are_named_as_kohya_names_them(train: Train) -> None:
    run = train(max_train_epochs=3)
    names = ["portrait-000001.safetensors", "portrait-000002.safetensors", "portrait.safetensors"]
    assert [path.name for path in run.checkpoints] == names
    assert sorted(path.name for path in run.folder.iterdir()) == [*names, "portrait.toml"]
    assert [report.path for report in run.epochs] == run.checkpoints


def test_epochs_between_can_be_left_out_but_never_the_last(train: Train) -> None:
    run = train(max_train_epochs=5, save_every_n_epochs=2)
    names = ["portrait-000002.safetensors", "portrait-000004.safetensors", "portrait.safetensors"]
    assert [path.name for path in run.checkpoints] == names
    assert [report.path is None for report in run.epochs] == [True, False, True, False, False]


def test_the_configuration_lies_beside_and_trains_the_same_again(train: Train, tmp_path: Path) -> None:
    run = train(seed=None, conv_dim=2, network_train_unet_only=True, lr_scheduler="cosine_with_restarts")
    record = tomllib.loads((run.folder / "portrait.toml").read_text())
    again = train_lora(record, tmp_path / "again")
    assert distance(run.weights(), train(**record).weights()) == 0
    assert again[-1].read_bytes() != run.checkpoints[-1].read_bytes(), "another session"


def test_the_checkpoint_reader_understands_what_the_trainer_writes(train: Train) -> None:
    run = train(max_train_epochs=2, conv_dim=2, caption_dropout_rate=0.1, lr_scheduler_num_cycles=1)
    first, last = (read_checkpoint(path) for path in run.checkpoints)
    assert (first.epoch, first.step, first.planned_epochs, last.epoch) == (1, 3, 2, 2)
    assert first.run == last.run and (first.is_final, last.is_final) == (False, True)
    values = {name: value.value for name, value in last.parameters.items()}
    assert (values["network_dim"], values["conv_dim"], values["caption_dropout_rate"]) == (2, 2, 0.1)
    # Not in any header: known from the file beside.
    assert (values["caption_extension"], values["lr_scheduler_num_cycles"]) == (".txt", 1)


def test_cached_latents_train_the_same(train: Train) -> None:
    cached, fresh = (train(cache_latents=cached, flip_aug=True).weights() for cached in (True, False))
    assert distance(cached, fresh) < 1e-3


def test_a_training_that_diverges_says_so_and_saves_what_it_has(train: Train) -> None:
    run = train(learning_rate=1e6, max_grad_norm=0, max_train_epochs=4, optimizer_type="SGD")
    assert not run.steps[0].diverged and run.steps[-1].diverged
    assert len(run.checkpoints) == 4
    broken = [key for key, tensor in run.weights().items() if not tensor.isfinite().all()]
    assert broken, "a diverged Kohya run saves weights that are no numbers"


def test_a_training_goes_on_from_a_lora(train: Train) -> None:
    first = train(max_train_epochs=6)
    on = train(network_weights=str(first.checkpoints[-1]), learning_rate=1e-9)
    assert distance(on.weights(), first.weights()) < 1e-5
    # Kohya's header does not say it; the file beside does.
    told = read_checkpoint(on.checkpoints[-1]).parameters["network_weights"]
    assert (told.value, told.source) == (str(first.checkpoints[-1]), "sidecar")
    assert "ss_network_weights" not in on.header()


def test_a_training_from_a_checkpoint_is_known_to_come_from_it(train: Train, store: Store) -> None:
    first = train(max_train_epochs=2, output_name="first")
    on = train(max_train_epochs=1, network_weights=str(first.checkpoints[0]), output_name="second")
    for checkpoint in (*on.checkpoints, *first.checkpoints):
        store.checkpoints.register(read_checkpoint(checkpoint))
    trace_lineage(store)
    found = store.lineage.origin(store.conclusions.run("second").run_id)
    assert (found.parent_name, found.parent_epoch, found.confidence) == ("first", 1, "certain")


def test_a_training_learns(train: Train) -> None:
    run = train(max_train_epochs=30, train_batch_size=5, network_dim=8, network_alpha=8, conv_dim=8, conv_alpha=8)
    start, end = (sum(losses) / len(losses) for losses in (run.losses[:10], run.losses[-10:]))
    assert end < 0.9 * start, f"loss {start:.3f} at first, {end:.3f} at last"


@pytest.mark.parametrize("after", [0, 1, 3, 4])
def test_a_stop_leaves_whole_epochs_and_nothing_else(train: Train, after: int) -> None:
    asked = 0

    def should_stop() -> bool:
        nonlocal asked
        asked += 1
        return asked > after

    run = train(max_train_epochs=3, should_stop=should_stop)
    whole = after // 3
    assert len(run.steps) == after
    assert [path.name for path in run.checkpoints] == [
        f"portrait-{epoch:06d}.safetensors" for epoch in range(1, whole + 1)
    ]
    assert {path.suffix for path in run.folder.iterdir()} <= {".safetensors", ".toml"}


def test_what_is_reported_counts_up_to_the_plan(train: Train) -> None:
    run = train(max_train_epochs=2)
    assert {(report.steps, report.epochs) for report in run.steps} == {(6, 2)}
    assert [(report.epoch, report.step) for report in run.epochs] == [(1, 3), (2, 6)]
    assert run.epochs[0].loss == pytest.approx(sum(run.losses[:3]) / 3)
    assert math.ceil(SPRITES / 2) == 3


def test_a_training_leaves_pytorchs_own_chance_alone(train: Train) -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    train(network_dropout=0.1)
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({"resolution": 128}, "resolution"),
        ({"v_parameterization": False}, "v_parameterization"),
        ({"learning_rate": 0}, "nothing would be trained"),
        ({"optimizer_args": ["weight_decay=-1"]}, "weight_decay"),
        ({"network_weights": "missing.safetensors"}, r"missing\.safetensors"),
    ],
    ids=str,
)
def test_what_cannot_be_trained_is_refused_before_anything_is_written(
    base_model: Path, sprites: Path, tmp_path: Path, parameters: dict[str, object], told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        train_lora(parameters, tmp_path / "out", base_model=base_model, images=sprites)
    assert list(tmp_path.iterdir()) == []


def test_pictures_have_to_be_named(base_model: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="train_data_dir"):
        train_lora({}, tmp_path, base_model=base_model)


def test_a_folder_without_a_model_is_named(tmp_path: Path, sprites: Path) -> None:
    with pytest.raises(BaseModelError, match=str(tmp_path)):
        train_lora({}, tmp_path / "out", base_model=tmp_path, images=sprites)


def test_the_loaded_pipeline_paints(base_model: Path) -> None:
    pipeline = load_pipeline(base_model)
    assert pipeline.unet.dtype == torch.float32
    image = pipeline("red hair", num_inference_steps=2, output_type="np").images[0]
    assert image.shape == (64, 64, 3)
