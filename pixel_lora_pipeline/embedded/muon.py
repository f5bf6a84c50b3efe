"""Muon in float32: `torch.optim.Muon` computes in bfloat16, which most CPUs emulate fifteen times slower."""

from collections.abc import Iterable
from typing import Final

import torch
from torch import Tensor, nn

# Coefficients of the quintic iteration, and its number of steps, as published by Jordan et al.
_QUINTIC: Final = (3.4445, -4.7750, 2.0315)
_ITERATIONS: Final = 5


class Muon(torch.optim.Optimizer):
    """Momentum whose update is the nearest semi-orthogonal matrix, for parameters that are matrices.

    Parameters
    ----------
    params
        Matrices (2-D).
    lr
        Learning rate on AdamW's scale: updates are scaled to a root mean square of 0.2.
    momentum
        Nesterov momentum, 0…1.
    weight_decay
        Decoupled, as in AdamW.

    References
    ----------
    .. [1] K. Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024,
       https://kellerjordan.github.io/posts/muon/
    .. [2] J. Liu et al., "Muon is scalable for LLM training", 2025, arXiv:2502.16982 (the scale of the update).
    """

    def __init__(
        self, params: Iterable[nn.Parameter], lr: float, momentum: float = 0.95, weight_decay: float = 0.01
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # closures are not supported
        """One update of every matrix that has a gradient."""
        del closure
        for group in self.param_groups:
            for matrix in group["params"]:
                if matrix.grad is None:
                    continue
                state = self.state[matrix]
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(matrix)
                velocity = state["momentum"].mul_(group["momentum"]).add_(matrix.grad)
                direction = orthogonalized(matrix.grad.add(velocity, alpha=group["momentum"]))
                scale = 0.2 * max(matrix.shape) ** 0.5
                matrix.mul_(1 - group["lr"] * group["weight_decay"])
                matrix.add_(direction, alpha=-group["lr"] * scale)


def orthogonalized(matrix: Tensor) -> Tensor:
    """The matrix with all its singular values moved to about 1 (0.7…1.2), by Newton–Schulz iteration."""
    a, b, c = _QUINTIC
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / (x.norm() + 1e-7)
    for _ in range(_ITERATIONS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if tall else x
