"""Convolutions of (B, C, T) for channels side by side; in torch's own layout they are torch's own."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jointlib.fast.cpu_layers import channels_last, is_channels_last

# Samples in a tile with which oneDNN was measured to be fastest: for several taps, and for one.
_TILE, _LONG_TILE = 248, 2008


class FastConv(nn.Conv1d):
    """A convolution with a stride and a dilation of one."""

    def forward(self, x: Tensor) -> Tensor:
        if not is_channels_last(x):
            return super().forward(x)
        return _Convolve.apply(x, self.weight, self.bias, self.padding[0])


class _Convolve(torch.autograd.Function):
    """As a 2-D convolution of (B, C, 1, T): torch knows the layout of four axes only. Under autocast in bfloat16."""

    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.bfloat16)
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor, padding: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.padding = padding
        output = F.conv2d(x.unsqueeze(2), weight.unsqueeze(2), bias, 1, (0, padding), _dilation(weight))
        return output.squeeze(2)

    @staticmethod
    @torch.amp.custom_bwd(device_type="cpu")
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, Tensor, Tensor, None]:
        (x, weight), padding, length = ctx.saved_tensors, ctx.padding, gradient.shape[-1]
        gradient = channels_last(gradient)
        of_input = _gradient("input", gradient, x, weight, padding) if ctx.needs_input_grad[0] else None
        of_bias = gradient.transpose(1, 2).flatten(0, 1).sum(dim=0)
        if weight.shape[-1] == 1 and not padding:
            return of_input, _channel_products(gradient, x).unsqueeze(2), of_bias, None
        if padding and length > 2 * _TILE:  # oneDNN is slow at the weight gradient of long waves: cut them into tiles
            gradient, x, padding = _tiles(gradient, 0), _tiles(x, padding), 0
        return of_input, _gradient("weight", gradient, x, weight, padding), of_bias, None


def _channel_products(left: Tensor, right: Tensor) -> Tensor:
    """Sum over B and T of the products of each channel with each: (B, C, T), (B, D, T) -> (C, D)."""
    # oneDNN finds the weight gradient of a convolution with one tap twice as fast with a wider `left`, and in tiles
    if left.shape[1] < right.shape[1]:
        return _channel_products(right, left).t()
    rows = [part.transpose(1, 2).flatten(0, 1) for part in (left, right)]  # (B * T, C) and (B * T, D)
    weight = left.new_empty(left.shape[1], right.shape[1], 1)
    products = torch.zeros_like(weight)
    whole = len(rows[0]) // _LONG_TILE * _LONG_TILE
    for piece, shape in ((slice(whole), (-1, _LONG_TILE)), (slice(whole, None), (1, -1))):
        if len(rows[0][piece]):
            pair = (part[piece].unflatten(0, shape).transpose(1, 2) for part in rows)
            products = products + _gradient("weight", *pair, weight, 0)
    return products.squeeze(2)


def _tiles(x: Tensor, margin: int) -> Tensor:
    """Cut (B, C, T) into (B * N, C, tile), each with a margin on both sides that overlaps its neighbours."""
    rows = F.pad(x.transpose(1, 2), (0, 0, margin, margin + -x.shape[-1] % _TILE))
    tiles = rows.unfold(1, _TILE + 2 * margin, _TILE).transpose(2, 3)  # (B, N, tile, C)
    return tiles.flatten(0, 1).transpose(1, 2)


def _dilation(weight: Tensor) -> tuple[int, int]:
    """A dilation means nothing to a single tap; but without one torch would compute it in a single thread."""
    return (1, 2 if weight.shape[-1] == 1 else 1)


def _gradient(of: str, gradient: Tensor, x: Tensor, weight: Tensor, padding: int) -> Tensor:
    """Of a convolution's "input" or of its "weight", from the gradient of its output."""
    four = [tensor.unsqueeze(2) for tensor in (gradient, x, weight)]
    geometry = (1, 1), (0, padding), _dilation(weight), False, (0, 0), 1
    found = torch.ops.aten.convolution_backward(*four, None, *geometry, (of == "input", of == "weight", False))
    return found[of == "weight"].squeeze(2)


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
