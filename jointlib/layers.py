"""Layers of both networks, on (B, C, T), with torch's parameters and numbers, but faster on a CPU.

On a CPU a wide network stores its tensors as (B, T, C), channels side by side: there oneDNN convolves with all vector
units, while for torch's own layout it copies, or a slower library is called. `channels_last` starts it, every layer
hands it on. On a GPU, and in a narrow network, tensors stay as torch makes them.
"""

import functools

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

_PIECE = 2**18  # numbers, 1 MB in float32: what a cache holds


def channels_last(x: Tensor, least: int = 0) -> Tensor:
    """The same (B, C, T), on a CPU stored as (B, T, C), unless all of the batch has fewer than `least` samples."""
    batch, channels, length = x.shape
    if x.device.type != "cpu" or batch * length < least:
        return x
    rows = x.transpose(1, 2).contiguous()
    return rows.as_strided(x.shape, (length * channels, 1, channels))  # torch may leave any stride to an axis of one


def is_channels_last(x: Tensor) -> bool:
    """Whether (B, C, T) lies on a CPU as (B, T, C)."""
    return x.device.type == "cpu" and x.stride(1) == 1


def cut(x: Tensor, steps: slice) -> Tensor:
    """x[..., steps] of (B, C, T), whose gradient keeps the layout."""
    return x.transpose(1, 2)[:, steps].transpose(1, 2) if is_channels_last(x) else x[..., steps]


def concatenate(*parts: Tensor) -> Tensor:
    """Join (B, C1, T), (B, C2, T), ... to (B, C1 + C2 + ..., T), in their own layout."""
    if not is_channels_last(parts[0]):
        return torch.cat(parts, dim=1)
    return _Concatenate.apply(*parts)


class _Concatenate(torch.autograd.Function):
    """Its gradients are copied apart: as views, with gaps between rows, they slow down all that comes after."""

    @staticmethod
    def forward(ctx, *parts: Tensor) -> Tensor:
        ctx.widths = [part.shape[1] for part in parts]
        return torch.cat([part.transpose(1, 2) for part in parts], dim=2).transpose(1, 2)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, ...]:
        return tuple(channels_last(part) for part in gradient.split(ctx.widths, dim=1))


def stretch(x: Tensor, first: int = 0, total: int | None = None) -> Tensor:
    """Twice as many samples, linear in between, the first and the last sample kept: (B, C, T) -> (B, C, 2 T).

    `x` may be a part of a longer signal, from its sample `first` of `total` on: the new samples lie where they would
    in the whole, except next to the part's ends.

    F.interpolate(mode="linear", align_corners=True) counts in single precision, and at 32,768 samples is off by 0.006.
    """
    steps, time = x.shape[-1], 1 if is_channels_last(x) else 2
    rows = x.transpose(1, 2) if time == 1 else x
    weight = _of_right_neighbours(first, steps, total or steps, x.device, x.dtype)
    weight = weight.unsqueeze(1) if time == 1 else weight
    rows = torch.cat([rows.narrow(time, 0, 1), rows, rows.narrow(time, steps - 1, 1)], dim=time)
    left, right = rows.narrow(time, 0, steps + 1), rows.narrow(time, 1, steps + 1)
    pairs = [torch.lerp(left, right, part) for part in (weight[::2], weight[1::2])]
    rows = torch.stack(pairs, dim=time + 1).flatten(time, time + 1).narrow(time, 1, 2 * steps)
    return rows.transpose(1, 2) if time == 1 else rows


@functools.lru_cache(maxsize=32)
def _of_right_neighbours(first: int, steps: int, total: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """How much of its right neighbour each new sample has, from one before the part on: (2 * steps + 2)."""
    with torch.inference_mode(False):  # training uses them, too
        position = torch.arange(2 * first - 1, 2 * (first + steps) + 1, device=device) * (total - 1)
        return (position % (2 * total - 1)).double().div(2 * total - 1).to(dtype)


class GlobalLayerNorm(nn.GroupNorm):
    """Normalise over channels and time together, with a gain and a bias per channel: (B, C, T) -> (B, C, T)."""

    def __init__(self, channels: int):
        super().__init__(1, channels, eps=1e-8)

    def forward(self, x: Tensor) -> Tensor:
        if is_channels_last(x) and torch.is_grad_enabled() and not x.requires_grad:
            # In this layout torch 2.11 writes the input's gradient though nobody asked for it, and the process ends.
            return channels_last(super().forward(x.contiguous()))
        return super().forward(x.unsqueeze(2)).squeeze(2)


class BatchNormLeakyReLU(nn.BatchNorm2d):
    """Batch norm of (B, C, T), then LeakyReLU with a slope of 0.1, in place: on what is no view, or it costs copies."""

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu_(super().forward(x.unsqueeze(2)), 0.1).squeeze(2)


class PReLU(nn.PReLU):
    """PReLU with one slope. Torch's own is slow backward on a CPU: it writes the slope's gradient out per element."""

    def forward(self, x: Tensor) -> Tensor:
        return _PReLU.apply(x, self.weight) if x.device.type == "cpu" else super().forward(x)


class _PReLU(torch.autograd.Function):
    """Its gradients are found piece by piece, in the order of memory, while a piece lies in the cache."""

    @staticmethod
    def forward(ctx, x: Tensor, slope: Tensor) -> Tensor:
        ctx.save_for_backward(x, slope)
        return F.leaky_relu(x, slope.item())

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, Tensor]:
        x, slope = ctx.saved_tensors
        order = (0, 2, 1) if is_channels_last(x) else (0, 1, 2)
        rows = [part.permute(order).contiguous() for part in (x, gradient)]
        of_x, of_slope = torch.empty_like(rows[0]), 0
        exact = torch.promote_types(x.dtype, torch.float32)
        for before, after, target in zip(*(part.view(-1).split(_PIECE) for part in (*rows, of_x)), strict=True):
            of_slope = of_slope + torch.dot(before.clamp(max=0).to(exact), after.to(exact)).double()
            torch.ops.aten.leaky_relu_backward.grad_input(after, before, slope.item(), False, grad_input=target)
        return of_x.permute(order), of_slope.to(slope.dtype).view(1)
