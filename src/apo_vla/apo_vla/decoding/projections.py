"""The weights of a Llama layer as a decoder multiplies by them: q, k, v in one product, gate and up in one, with LoRA.

`merged_layer` copies, with the adapter added in. `bound_layer` copies nothing that is large: weights that are
multiplied together are laid side by side in one storage, of which the model's own parameters become views. Tensors
copied into those parameters later, an adapter above all, are in effect at once and at the same addresses.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

_ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
_MLP = ("gate_proj", "up_proj", "down_proj")
_FEW_ROWS = 16


class Projection(NamedTuple):
    """A product x W^T, with LoRA x W^T + scaling (x A^T) B^T; a compiler sees tensors only, no object."""

    weight: torch.Tensor  # (out, in), float, or int8 with `scale`
    scale: torch.Tensor | None = None  # (out,) of an int8 row
    low: torch.Tensor | None = None  # A (ranks, in)
    high: torch.Tensor | None = None  # B (out, ranks)
    scaling: float = 0.0


class Layer(NamedTuple):
    """Weights of one layer; d hidden numbers."""

    norm1: torch.Tensor  # (d,)
    qkv: Projection  # rows q, k, v
    qkv_turned: Projection | None  # merged: then rotate_half(q), rotate_half(k), so that rotary needs no slicing
    out: Projection
    norm2: torch.Tensor  # (d,)
    gate_up: Projection
    down: Projection


def project(x: torch.Tensor, by: Projection) -> torch.Tensor:
    """(B, n, in) -> (B, n, out)."""
    product = F.linear(x, by.weight) if by.scale is None else int8_product(x, by.weight, by.scale)
    if by.low is None or by.high is None:
        return product
    rows = F.linear(x, by.low).flatten(0, 1)
    return torch.addmm(product.flatten(0, 1), rows, by.high.t(), alpha=by.scaling).view_as(product)


def int8_product(x: torch.Tensor, weight: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """x (..., in) times the transpose of int8 rows (out, in), each row with its scale (out,) of x's type."""
    flat = x.reshape(-1, x.shape[-1])
    if len(flat) > _FEW_ROWS:  # the packed product reads weights once a row; many rows pay for unpacking
        return F.linear(x, weight.to(x.dtype)) * scale
    return torch._weight_int8pack_mm(flat, weight, scale).view(*x.shape[:-1], -1)


def places(layer: nn.Module) -> list[tuple[nn.Module, str]]:
    """Owner and name of each linear module of a Llama layer."""
    return [(layer.self_attn, name) for name in _ATTENTION] + [(layer.mlp, name) for name in _MLP]


def linears(layer: nn.Module) -> list[nn.Module]:
    """The linear modules of a Llama layer: q, k, v, o, gate, up, down."""
    return [getattr(owner, name) for owner, name in places(layer)]


def state_of(linear: nn.Module, values: bool) -> tuple:
    """Changes whenever a tensor of this module has moved, an adapter is chosen or disabled, or a value was written.

    Args:
        linear: plain, int8 or with LoRA.
        values: whether a value written in place counts.
    """
    adapters = (getattr(linear, "disable_adapters", None), tuple(getattr(linear, "active_adapters", ())))
    tensors = (*linear.parameters(), *linear.buffers())
    # in-place writes (optimizer, copy_) raise a tensor's version; a new tensor has another address
    return adapters, tuple((t.data_ptr(), t._version if values else 0) for t in tensors)


def merged_layer(layer: nn.Module, heads: int) -> Layer:
    """Copies with the active adapters added.

    Raises:
        ValueError: an adapter was merged into the base weights in place, or the weights are int8.
    """
    q, k, v, out, gate, up, down = (_effective_weight(linear) for linear in linears(layer))
    joint = torch.cat([q, k, v, _turned_rows(q, heads), _turned_rows(k, heads)])
    return Layer(
        layer.input_layernorm.weight,
        Projection(joint[: 3 * len(q)]),
        Projection(joint),
        Projection(out),
        layer.post_attention_layernorm.weight,
        Projection(torch.cat([gate, up])),
        Projection(down),
    )


def bound_layer(layer: nn.Module) -> Layer:
    """The layer's own tensors; see the head of this file.

    Raises:
        ValueError: an adapter was merged in place, several are active, or joined ones differ in scale.
    """
    q, k, v, out, gate, up, down = linears(layer)
    norms = layer.input_layernorm.weight, layer.post_attention_layernorm.weight
    return Layer(norms[0], _bound(q, k, v), None, _bound(out), norms[1], _bound(gate, up), _bound(down))


def _effective_weight(linear: nn.Module) -> torch.Tensor:
    """Weight with the active adapters added, a new tensor where there are any."""
    base = _base(linear)
    if hasattr(base, "scale"):
        raise ValueError("int8 weights cannot take a merged adapter")
    weight = base.weight
    if base is not linear and not linear.disable_adapters:
        for name in linear.active_adapters:
            if name in linear.lora_A:
                # an adapter may be of a finer type than the weights
                weight = weight + linear.get_delta_weight(name).to(weight.dtype)
    return weight


def _base(linear: nn.Module) -> nn.Module:
    if getattr(linear, "merged", False):
        raise ValueError("an adapter was merged in place, which changes the base model")
    return getattr(linear, "base_layer", linear)


def _turned_rows(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """Rows (d, d) such that their product with x is rotate_half, head by head, of `weight`'s product with x."""
    low, high = weight.view(heads, 2, weight.shape[0] // heads // 2, -1).unbind(dim=1)
    return torch.stack([-high, low], dim=1).reshape(weight.shape)


def _bound(*modules: nn.Module) -> Projection:
    bases = [_base(module) for module in modules]
    weight = _side_by_side([base.weight for base in bases])
    scale = _side_by_side([base.scale for base in bases]) if hasattr(bases[0], "scale") else None
    adapters = [_adapter(module) for module in modules]
    scalings = {scaling for *_, scaling in filter(None, adapters)}
    if not scalings:
        return Projection(weight, scale)
    if len(scalings) > 1:
        raise ValueError(f"adapters of one product must have one scale, got {sorted(scalings)}")
    low = _side_by_side([adapter[0] for adapter in adapters if adapter])
    high = _on_a_diagonal([adapter[1] if adapter else None for adapter in adapters], [b.weight.shape[0] for b in bases])
    return Projection(weight, scale, low, high, scalings.pop())


def _adapter(module: nn.Module) -> tuple[nn.Parameter, nn.Parameter, float] | None:
    """A, B and scale of the active adapter."""
    names = (
        [] if getattr(module, "disable_adapters", True) else [n for n in module.active_adapters if n in module.lora_A]
    )
    if len(names) > 1:
        raise ValueError(f"adapters {names} are active at once; one may be")
    if not names:
        return None
    return module.lora_A[names[0]].weight, module.lora_B[names[0]].weight, float(module.scaling[names[0]])


def _side_by_side(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    """The rows of all, in one storage; each tensor becomes a view of it unless it is one already."""
    first = tensors[0]
    if len(tensors) == 1:
        return first.data
    rows = [tensor.shape[0] for tensor in tensors]
    ends = [t.data_ptr() + t.numel() * t.element_size() for t in tensors]
    together = len({t.untyped_storage().data_ptr() for t in tensors}) == 1 and all(t.is_contiguous() for t in tensors)
    if together and all(end == t.data_ptr() for end, t in zip(ends[:-1], tensors[1:], strict=True)):
        return first.data.as_strided((sum(rows), *first.shape[1:]), first.stride())
    joined = torch.cat([tensor.data for tensor in tensors])
    for tensor, part in zip(tensors, joined.split(rows), strict=True):
        tensor.data = part
    return joined


def _on_a_diagonal(blocks: Sequence[nn.Parameter | None], rows: Sequence[int]) -> torch.Tensor:
    """B of all, block by block with zeros beside; each becomes a view unless it is one. None: no adapter there."""
    given = [block for block in blocks if block is not None]
    if len(blocks) == 1:
        return given[0].data
    shape = sum(rows), sum(block.shape[1] for block in given)
    places, row, column = [], 0, 0
    for block, count in zip(blocks, rows, strict=True):
        if block is not None:
            places.append((row, column))
            column += block.shape[1]
        row += count
    first = given[0].data
    start = first.storage_offset() - places[0][0] * shape[1] - places[0][1]
    if all(
        block.untyped_storage().data_ptr() == first.untyped_storage().data_ptr()
        and block.stride() == (shape[1], 1)
        and block.storage_offset() == start + top * shape[1] + left
        for block, (top, left) in zip(given, places, strict=True)
    ):
        return first.as_strided(shape, (shape[1], 1), start)
    joined = first.new_zeros(shape)
    for block, (top, left) in zip(given, places, strict=True):
        view = joined[top : top + block.shape[0], left : left + block.shape[1]]
        view.copy_(block.data)
        block.data = view
    return joined
