"""The optimizer of the base model's training."""

import torch

from pixel_lora_pipeline.embedded.muon import Muon, orthogonalized


def test_updates_have_singular_values_near_one() -> None:
    torch.manual_seed(0)
    for shape in ((32, 288), (288, 32)):
        values = torch.linalg.svdvals(orthogonalized(torch.randn(shape) * 7))
        assert values.min() > 0.5, f"{shape}: smallest singular value {values.min():.2f}"
        assert values.max() < 1.3, f"{shape}: largest singular value {values.max():.2f}"


def test_it_solves_a_linear_problem() -> None:
    torch.manual_seed(0)
    wanted = torch.randn(16, 8)
    matrix = torch.nn.Parameter(torch.zeros(16, 8))
    optimizer = Muon([matrix], lr=0.05, weight_decay=0.0)
    for step in range(300):
        optimizer.param_groups[0]["lr"] = 0.05 * (1 - step / 300)
        optimizer.zero_grad()
        ((matrix - wanted) ** 2).mean().backward()
        optimizer.step()
    left = float(((matrix.detach() - wanted) ** 2).mean() / (wanted**2).mean())
    assert left < 0.03, f"{left:.3f} of the loss is left"
