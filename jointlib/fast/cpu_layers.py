"""The layers between the convolutions, each a subclass of what it replaces, with the same parameters.

A CPU convolves fastest where (B, C, T) is stored as (B, T, C), channels side by side: for it oneDNN uses all vector
units; for torch's own layout it copies, or a slower library is called. All layers keep the layout that they are given.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from jointlib.tcn import TCN, Filterbank
from jointlib.waveunet import ConvBlock, Decimate, Join, Upsample, WaveUNet

_PIECE = 2**18  # numbers, 1 MB in float32: what a cache holds
_SHORT = 512  # samples in a batch below which another layout does not pay


def channels_last(x: Tensor, least: int = 0) -> Tensor:
    """The same (B, C, T), on a CPU stored as (B, T, C), unless the whole batch has fewer than `least` samples."""
    batch, channels, length = x.shape
    if x.device.type != "cpu" or batch * length < least:
        return x
    rows = x.transpose(1, 2).contiguous()
    return rows.as_strided(x.shape, (length * channels, 1, channels))  # torch may give an axis of one any stride


def is_channels_last(x: Tensor) -> bool:
    """Whether (B, C, T) is stored on a CPU as (B, T, C)."""
    return x.device.type == "cpu" and x.stride(1) == 1


class FastWaveUNet(WaveUNet):
    """With channels side by side from the first layer on."""

    def enhance(self, wave: Tensor) -> tuple[Tensor, Tensor]:
        return super().enhance(channels_last(wave))


class FastFilterbank(Filterbank):
    """Hands its bands on side by side."""

    def forward(self, wave: Tensor) -> Tensor:
        return channels_last(super().forward(wave), _SHORT)


class FastTCN(TCN):
    """With channels side by side from the first layer on."""

    def forward(self, features: Tensor) -> Tensor:
        return super().forward(channels_last(features, _SHORT))


class FastDecimate(Decimate):
    """Slices the time axis of the storage, so that the gradient keeps the layout."""

    def forward(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2)[:, ::2].transpose(1, 2) if is_channels_last(x) else super().forward(x)


class FastJoin(Join):
    """Joins in the layout of its first input."""

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        return _Join.apply(x, skip) if is_channels_last(x) else super().forward(x, skip)


class _Join(torch.autograd.Function):
    """Copies each part's gradient: a view, with gaps between its rows, slows down whatever reads it."""

    @staticmethod
    def forward(ctx, *parts: Tensor) -> Tensor:
        ctx.widths = [part.shape[1] for part in parts]
        return torch.cat([part.transpose(1, 2) for part in parts], dim=2).transpose(1, 2)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, ...]:
        return tuple(channels_last(part) for part in gradient.split(ctx.widths, dim=1))


class FastUpsample(Upsample):
    """Interpolates along the storage's time axis."""

    def forward(self, x: Tensor) -> Tensor:
        if not is_channels_last(x):
            return super().forward(x)
        rows = x.transpose(1, 2)  # (B, T, C)
        padded = torch.cat([rows[:, :1], rows, rows[:, -1:]], dim=1)
        left, right = padded[:, :-1], padded[:, 1:]
        between = torch.stack([torch.lerp(left, right, weight[:, None]) for weight in self.weights(x)], dim=2)
        return between.flatten(1, 2)[:, 1:-1].transpose(1, 2)


class FastGroupNorm(nn.GroupNorm):
    """On four axes, the only ones for which torch knows the layout."""

    def forward(self, x: Tensor) -> Tensor:
        if is_channels_last(x) and torch.is_grad_enabled() and not x.requires_grad:
            # In this layout torch 2.11 writes the input's gradient though nobody asked for it, and the process ends.
            return channels_last(super().forward(x.contiguous()))
        return super().forward(x.unsqueeze(2)).squeeze(2)


class FastConvBlock(ConvBlock):
    """Normalises on four axes, as above, and activates in place, before the result is a view, which would be copied."""

    def forward(self, x: Tensor) -> Tensor:
        convolution, norm, activation = self
        normalised = norm(convolution(x).unsqueeze(2))
        return F.leaky_relu_(normalised, activation.negative_slope).squeeze(2)


class FastPReLU(nn.PReLU):
    """With one slope. Torch's own is slow backward on a CPU: it writes out the slope's gradient per element."""

    def forward(self, x: Tensor) -> Tensor:
        return _PReLU.apply(x, self.weight)


class _PReLU(torch.autograd.Function):
    """Finds its gradients piece by piece, in the order of memory, while a piece is in the cache."""

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
