"""fast_cpu(model): the same network with the same weights, the TCN's layers replaced by ones that a CPU runs faster.

A CPU convolves fastest where (B, C, T) is stored as (B, T, C), channels side by side: for that layout oneDNN uses all
vector units; for torch's own it copies, or a slower library is called. Each layer keeps the layout of its input, and is
a subclass of what it replaces, with the same parameters. That makes a training step of the published JT 1.65 times as
fast (results/reference/benchmarks.json); the same for the Wave-U-Net gained too little for its lines.
"""

import ctypes
import sys

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from jointlib.tcn import TCN, Filterbank

_PIECE = 2**18  # numbers, 1 MB in float32: what fits into a cache
_SHORT = 512  # samples in a batch below which the other layout does not pay
_TILE = 2008  # samples in a tile with which oneDNN was measured to be fastest at the weight gradient


def fast_cpu(model: nn.Module) -> nn.Module:
    """Replace the layers of every TCN inside a network, in place, and return the network.

    Only classes change (as with `torch.nn.utils.parametrize`): weights, their names and the state_dict stay. Results
    are equal up to rounding. The head, which works on one frame, is left as it is.
    """
    for tcn in [module for module in model.modules() if type(module) is TCN]:
        tcn.__class__ = FastTCN
        for module in tcn.features.modules():
            if type(module) is nn.Conv1d and module.groups > 1:
                module.__class__ = FastDepthwiseConv
            elif type(module) is not nn.Conv1d or module.kernel_size == (1,):
                module.__class__ = _SWAPS.get(type(module), type(module))
    return model


def keep_freed_memory() -> None:
    """Have glibc keep freed blocks: handing them back and faulting them in again costs a CPU run half its time."""
    if sys.platform == "linux" and hasattr(ctypes.CDLL(None), "mallopt"):
        libc = ctypes.CDLL(None)
        libc.mallopt(-4, 0)  # M_MMAP_MAX: no separate mappings for large blocks
        libc.mallopt(-1, -1)  # M_TRIM_THRESHOLD: never shrink the heap, whatever its size


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


class FastTCN(TCN):
    """A TCN with channels side by side from the first layer on."""

    def forward(self, features: Tensor) -> Tensor:
        return super().forward(channels_last(features, _SHORT))


class FastFilterbank(Filterbank):
    """A filterbank that returns its bands side by side."""

    def forward(self, waveform: Tensor) -> Tensor:
        return channels_last(super().forward(waveform), _SHORT)


class FastConv(nn.Conv1d):
    """A convolution with a single tap."""

    def forward(self, x: Tensor) -> Tensor:
        if not is_channels_last(x):
            return super().forward(x)
        return _Convolve.apply(x, self.weight, self.bias)


class _Convolve(torch.autograd.Function):
    """As a 2-D convolution of (B, C, 1, T): torch knows the layout of four axes only. Under autocast in bfloat16."""

    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.bfloat16)
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        # A dilation has no effect on a single tap; without one torch would use a single thread.
        return F.conv2d(x.unsqueeze(2), weight.unsqueeze(2), bias, dilation=(1, 2)).squeeze(2)

    @staticmethod
    @torch.amp.custom_bwd(device_type="cpu")
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        gradient = channels_last(gradient)
        of_input = _gradient("input", gradient, x, weight) if ctx.needs_input_grad[0] else None
        of_bias = gradient.transpose(1, 2).flatten(0, 1).sum(dim=0)
        return of_input, _channel_products(gradient, x).unsqueeze(2), of_bias


def _gradient(of: str, gradient: Tensor, x: Tensor, weight: Tensor) -> Tensor:
    """The gradient of a convolution's "input" or "weight", from the gradient of its output."""
    four = [tensor.unsqueeze(2) for tensor in (gradient, x, weight)]
    geometry = (1, 1), (0, 0), (1, 2), False, (0, 0), 1
    both = torch.ops.aten.convolution_backward(*four, None, *geometry, (of == "input", of == "weight", False))
    return both[of == "weight"].squeeze(2)


def _channel_products(left: Tensor, right: Tensor) -> Tensor:
    """Sum over B and T of the products of each channel with each: (B, C, T), (B, D, T) -> (C, D)."""
    # oneDNN computes this, a weight gradient, twice as fast with the wider one as `left`, and in tiles
    if left.shape[1] < right.shape[1]:
        return _channel_products(right, left).t()
    rows = [part.transpose(1, 2).flatten(0, 1) for part in (left, right)]  # (B * T, C) and (B * T, D)
    weight = left.new_empty(left.shape[1], right.shape[1], 1)
    products = torch.zeros_like(weight)
    whole = len(rows[0]) // _TILE * _TILE
    for piece, shape in ((slice(whole), (-1, _TILE)), (slice(whole, None), (1, -1))):
        if len(rows[0][piece]):
            pair = (part[piece].unflatten(0, shape).transpose(1, 2) for part in rows)
            products = products + _gradient("weight", *pair, weight)
    return products.squeeze(2)


class FastDepthwiseConv(nn.Conv1d):
    """A depthwise convolution that keeps the length."""

    def forward(self, x: Tensor) -> Tensor:
        if not is_channels_last(x):
            return super().forward(x)
        # oneDNN is slow with a dilation d: without one, samples d apart become neighbours, in d times as many channels
        length, channels, dilation = x.shape[-1], x.shape[1], self.dilation[0]
        rows = x.transpose(1, 2)  # (B, T, C)
        if length % dilation:
            rows = F.pad(rows, (0, 0, 0, -length % dilation))
        image = rows.unflatten(1, (-1, dilation)).flatten(2).transpose(1, 2).unsqueeze(2)  # (B, d * C, 1, T / d)
        weight, bias = self.weight.repeat(dilation, 1, 1).unsqueeze(2), self.bias.repeat(dilation)
        output = F.conv2d(image, weight, bias, 1, (0, self.padding[0] // dilation), 1, dilation * channels)
        rows = output.squeeze(2).transpose(1, 2).unflatten(2, (dilation, channels)).flatten(1, 2)  # (B, T, C)
        return rows[:, :length].transpose(1, 2) if length % dilation else rows.transpose(1, 2)


class FastGroupNorm(nn.GroupNorm):
    """Group norm on four axes, since torch knows the layout of four axes only."""

    def forward(self, x: Tensor) -> Tensor:
        if is_channels_last(x) and torch.is_grad_enabled() and not x.requires_grad:
            # In this layout torch 2.11 writes the input's gradient even if it is not required, and crashes.
            return channels_last(super().forward(x.contiguous()))
        return super().forward(x.unsqueeze(2)).squeeze(2)


class FastPReLU(nn.PReLU):
    """A PReLU with one slope. Torch's backward pass is slow on a CPU: it writes the slope's gradient per element."""

    def forward(self, x: Tensor) -> Tensor:
        return _PReLU.apply(x, self.weight)


class _PReLU(torch.autograd.Function):
    """Computes its gradients piece by piece, in the order of memory, while a piece is in the cache."""

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


_SWAPS: dict[type[nn.Module], type[nn.Module]] = {
    nn.Conv1d: FastConv,
    nn.GroupNorm: FastGroupNorm,
    nn.PReLU: FastPReLU,
    Filterbank: FastFilterbank,
}
