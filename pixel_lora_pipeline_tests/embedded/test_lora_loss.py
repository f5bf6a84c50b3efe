import pytest
import torch
from diffusers import DDPMScheduler

from pixel_lora_pipeline.embedded.architecture import build_scheduler
from pixel_lora_pipeline.embedded.lora_config import LoraConfig
from pixel_lora_pipeline.embedded.lora_loss import Diffusion, draw_noise, huber_width, loss_per_image

VELOCITY = Diffusion.of(build_scheduler())
NOISE = Diffusion.of(DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear"))
TIMESTEPS = torch.tensor([0, 100, 500, 999])


def normal(seed: int) -> torch.Tensor:
    return torch.randn(4, 4, 8, 8, generator=torch.Generator().manual_seed(seed))


def loss(diffusion: Diffusion, **parameters: object) -> torch.Tensor:
    return loss_per_image(normal(0), normal(1), TIMESTEPS, diffusion, LoraConfig.model_validate(parameters))


def test_noisy_latents_and_velocity_are_those_of_diffusers() -> None:
    scheduler = build_scheduler()
    noisy = scheduler.add_noise(normal(0), normal(1), TIMESTEPS)
    assert torch.allclose(VELOCITY.noisy(normal(0), normal(1), TIMESTEPS), noisy, atol=1e-6)
    velocity = scheduler.get_velocity(normal(0), normal(1), TIMESTEPS)
    assert torch.allclose(VELOCITY.target(normal(0), normal(1), TIMESTEPS), velocity, atol=1e-6)


def test_a_model_that_predicts_noise_is_trained_to_predict_noise() -> None:
    assert torch.equal(NOISE.target(normal(0), normal(1), TIMESTEPS), normal(1))


def test_min_snr_weighs_velocity_over_snr_plus_one_and_noise_over_snr() -> None:
    for diffusion, extra in ((VELOCITY, 1), (NOISE, 0)):
        snr = diffusion.snr(TIMESTEPS)
        expected = torch.minimum(snr, torch.tensor(5.0)) / (snr + extra)
        ratio = loss(diffusion, min_snr_gamma=5) / loss(diffusion)
        assert torch.allclose(ratio, expected, rtol=1e-4), f"{ratio.tolist()} instead of {expected.tolist()}"


def test_noise_offset_adds_one_constant_to_each_channel() -> None:
    plain = draw_noise(normal(0), LoraConfig(), torch.Generator().manual_seed(2))
    offset = draw_noise(normal(0), LoraConfig(noise_offset=0.5), torch.Generator().manual_seed(2)) - plain
    assert offset.std(dim=(2, 3)).max() < 1e-6
    assert 0.2 < float(offset.std()) < 1.0


def test_the_kinds_of_loss_are_what_their_names_say() -> None:
    difference = normal(0) - normal(1)
    assert torch.allclose(loss(VELOCITY), (difference**2).mean(dim=(1, 2, 3)))
    assert torch.allclose(loss(VELOCITY, loss_type="l1"), difference.abs().mean(dim=(1, 2, 3)))
    wide = {"huber_schedule": "constant", "huber_c": 1000}
    assert torch.allclose(loss(VELOCITY, loss_type="huber", **wide), loss(VELOCITY), rtol=1e-2)
    narrow = {"huber_schedule": "constant", "huber_c": 1e-4}
    expected = 2 * loss(VELOCITY, loss_type="l1")
    assert torch.allclose(loss(VELOCITY, loss_type="smooth_l1", **narrow), expected, rtol=1e-2)


@pytest.mark.parametrize(
    ("schedule", "first", "last"), [("constant", 0.2, 0.2), ("exponential", 2.0, 0.2), ("snr", 1.0, 0.1)]
)
def test_huber_schedules_narrow_from_clean_to_noisy(schedule: str, first: float, last: float) -> None:
    config = LoraConfig.model_validate({"huber_schedule": schedule, "huber_c": 0.1, "huber_scale": 2.0})
    widths = huber_width(TIMESTEPS, VELOCITY, config)
    assert float(widths[0]) == pytest.approx(first, abs=0.06)
    assert float(widths[-1]) == pytest.approx(last, abs=0.02)
    assert (widths.diff() <= 0).all()
