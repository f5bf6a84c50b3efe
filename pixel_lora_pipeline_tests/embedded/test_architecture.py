"""The autoencoder whose latents are set without training."""

import numpy as np
import torch

from pixel_lora_pipeline.embedded.architecture import analytic_autoencoder
from pixel_lora_pipeline.embedded.portrait import draw_portrait
from pixel_lora_pipeline.embedded.render import render_pixel, render_soft


def test_the_untrained_autoencoder_keeps_colours_and_cells() -> None:
    rng = np.random.default_rng(0)
    portraits = [draw_portrait(rng) for _ in range(24)]
    images = np.stack([render_pixel(p) for p in portraits[:12]] + [render_soft(p, rng) for p in portraits[12:]])
    autoencoder = analytic_autoencoder(images)
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.no_grad():
        latents = autoencoder.encode(pixels).latent_dist.mean
        decoded = autoencoder.decode(latents).sample
    deviations = latents.std(dim=(0, 2, 3))
    assert latents.shape == (24, 4, 32, 32)
    assert ((deviations > 0.8) & (deviations < 1.25)).all(), f"latents are not scaled to one: {deviations.tolist()}"
    noise = -10 * torch.log10((((decoded - pixels) / 2) ** 2).mean(dim=(1, 2, 3)))
    assert noise[:12].min() > 22, f"pixel art comes back with only {noise[:12].min():.1f} dB"
    assert noise[12:].min() > 22, f"soft portraits come back with only {noise[12:].min():.1f} dB"
