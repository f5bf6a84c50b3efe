"""LoHa and LoKr: which tensors of a file make up one of their layers, by names and shapes.

Both are of the LyCORIS library (Yeh et al., "Navigating Text-To-Image Customization: From LyCORIS Fine-Tuning to Model
Evaluation", ICLR 2024, arXiv:2309.14859), which Kohya's scripts load as `network_module = lycoris.kohya`.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["loha", "lokr"]

MARKS: Final[dict[Kind, str]] = {"loha": ".hada_", "lokr": ".lokr_"}
"""What the names of their tensors hold, after the layer's own name."""

_WHOLE: Final[dict[Kind, tuple[frozenset[str], ...]]] = {
    "loha": (
        frozenset({"hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"}),
        frozenset({"hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b", "hada_t1", "hada_t2"}),
    ),
    "lokr": tuple(
        frozenset(first | second)
        for first in ({"lokr_w1"}, {"lokr_w1_a", "lokr_w1_b"})
        for second in ({"lokr_w2"}, {"lokr_w2_a", "lokr_w2_b"}, {"lokr_w2_a", "lokr_w2_b", "lokr_t2"})
    ),
}
# The shapes of a LoHa do not say whether a layer is a convolution; these names do, in both layouts of the U-Net.
_CONVOLUTION: Final = re.compile(r"_(conv|conv1|conv2|conv_in|conv_out|in_layers_2|out_layers_3|op)$")


@dataclass(frozen=True)
class LycorisLayer:
    """One layer.

    Attributes
    ----------
    parts
        Names of its tensors, without the layer's own; the alpha is not among them.
    rank
        None of a LoKr whose halves are both whole matrices.
    inputs
        Features that the layer takes; of a convolution, times the size of its kernel for a LoHa.
    is_conv
        Whether it is a convolution larger than 1x1, as far as that can be told.
    """

    parts: frozenset[str]
    rank: int | None
    inputs: int
    is_conv: bool


class LycorisError(ValueError):
    """A layer that is not whole, or whose tensors do not fit together: says which."""


def lycoris_kind(names: Iterable[str]) -> Kind | None:
    """Which of the two a file holds; None if neither.

    Raises
    ------
    LycorisError
        If it holds both.
    """
    kinds: set[Kind] = {kind for name in names for kind, mark in MARKS.items() if mark in name}
    if len(kinds) > 1:
        raise LycorisError("holds LoHa and LoKr weights in one file")
    return kinds.pop() if kinds else None


def lycoris_layers(kind: Kind, shapes: Mapping[str, Sequence[int]]) -> dict[str, LycorisLayer]:
    """The layers of a file, by their names in it.

    Raises
    ------
    LycorisError
        If a layer is not whole, or its parts do not fit together.
    """
    found: dict[str, dict[str, Sequence[int]]] = defaultdict(dict)
    for name, shape in shapes.items():
        if MARKS[kind] in name:
            layer, _, part = name.rpartition(".")
            found[layer][part] = shape
    return {name: _layer(kind, name, parts) for name, parts in found.items()}


def _layer(kind: Kind, name: str, parts: Mapping[str, Sequence[int]]) -> LycorisLayer:
    if frozenset(parts) not in _WHOLE[kind]:
        raise LycorisError(f"has a layer that is not whole ({name}: {', '.join(sorted(parts))})")
    try:
        rank, inputs, is_conv = (_loha if kind == "loha" else _lokr)(parts)
    except IndexError:
        raise LycorisError(f"has a tensor of too few dimensions ({name})") from None
    if kind == "loha" and not (parts["hada_w1_b"][0] == parts["hada_w2_b"][0] == rank):
        raise LycorisError(f"has LoHa weights that do not fit together ({name})")
    return LycorisLayer(frozenset(parts), rank, inputs, is_conv or _CONVOLUTION.search(name) is not None)


def _loha(parts: Mapping[str, Sequence[int]]) -> tuple[int | None, int, bool]:
    return parts["hada_w1_b"][0], parts["hada_w1_b"][1], "hada_t1" in parts


def _lokr(parts: Mapping[str, Sequence[int]]) -> tuple[int | None, int, bool]:
    first = parts["lokr_w1"] if "lokr_w1" in parts else parts["lokr_w1_b"]
    second = parts["lokr_w2"] if "lokr_w2" in parts else parts["lokr_w2_b"]
    rank = parts["lokr_w2_b"][0] if "lokr_w2_b" in parts else None
    if rank is None and "lokr_w1_b" in parts:
        rank = parts["lokr_w1_b"][0]
    kernel = parts["lokr_t2"][2:] if "lokr_t2" in parts else second[2:]
    return rank, first[1] * second[1], any(size > 1 for size in kernel)
