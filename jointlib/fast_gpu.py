"""fast_gpu(model): the same network with the same weights, its layers replaced by what a GPU and torch.compile do well.

All are (B, C, T) stored as (B, T, C), channels side by side: so the matrix units take convolutions without a copy, and
one with a single tap is one matrix product. Between products numbers are kept as they come (under autocast in
bfloat16), and sums are taken in float32. What torch's own layers cost there is estimated in docs/scale.md; no GPU has
been measured yet.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jointlib.waveunet import ConvBlock, Decimate, Join, Upsample


def _exact(x: Tensor) -> Tensor:
    """In float32, or as they are where they are finer."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


class ProductConv(nn.Conv1d):
    """A convolution with one tap."""

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x.transpose(1, 2), self.weight.squeeze(2), self.bias).transpose(1, 2)


class ShiftedConv(nn.Conv1d):
    """A depthwise convolution with three taps, as a sum of products of shifted waves; cuDNN's is slow backward."""

    def forward(self, x: Tensor) -> Tensor:
        shift, length = self.dilation[0], x.shape[-1]
        padded = F.pad(x.transpose(1, 2), (0, 0, shift, shift))  # (B, T + 2 * shift, C)
        taps = (tap.to(x.dtype) * padded[:, place * shift :][:, :length] for place, tap in enumerate(self._taps()))
        return (sum(taps) + self.bias.to(x.dtype)).transpose(1, 2)

    def _taps(self) -> tuple[Tensor, ...]:
        return self.weight.squeeze(1).unbind(1)  # (C,) each


class ImageConv(nn.Conv1d):
    """A convolution with several taps, of images (B, C, 1, T): torch knows the layout of four axes only."""

    def forward(self, x: Tensor) -> Tensor:
        image = F.conv2d(x.unsqueeze(2), self.weight.unsqueeze(2), self.bias, 1, (0, self.padding[0]))
        return image.contiguous(memory_format=torch.channels_last).squeeze(2)  # a copy after the first, of one channel


class ImageConvBlock(ConvBlock):
    """Normalises on four axes, too."""

    def forward(self, x: Tensor) -> Tensor:
        convolution, norm, activation = self
        return activation(norm(convolution(x).unsqueeze(2))).squeeze(2)


class GlobalNorm(nn.GroupNorm):
    """Of one group. Autocast would have torch's own write float32, and one block of threads reduce an utterance."""

    def forward(self, x: Tensor) -> Tensor:
        return _Normalise.apply(x, self.weight, self.bias, self.eps)


class _Normalise(torch.autograd.Function):
    """Keeps its input, as it came, and two numbers an utterance."""

    @staticmethod
    def forward(ctx, x: Tensor, gain: Tensor, bias: Tensor, eps: float) -> Tensor:
        variance, mean = torch.var_mean(_exact(x), (1, 2), correction=0, keepdim=True)
        scale = (variance + eps).rsqrt()
        ctx.save_for_backward(x, gain, mean, scale)
        return ((_exact(x) - mean) * scale * gain[:, None] + bias[:, None]).to(x.dtype)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, gain, mean, scale = ctx.saved_tensors
        normal, gradient = (_exact(x) - mean) * scale, _exact(gradient)
        along = gradient * gain[:, None]
        of_x = along - along.mean((1, 2), keepdim=True) - normal * (along * normal).mean((1, 2), keepdim=True)
        return (scale * of_x).to(x.dtype), (gradient * normal).sum((0, 2)), gradient.sum((0, 2)), None


class OneSlope(nn.PReLU):
    """With one slope, whose gradient torch's own writes per element, in order to sum it."""

    def forward(self, x: Tensor) -> Tensor:
        return _Activate.apply(x, self.weight)


class _Activate(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, slope: Tensor) -> Tensor:
        ctx.save_for_backward(x, slope)
        return torch.where(x > 0, x, slope.to(x.dtype) * x)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, Tensor]:
        x, slope = ctx.saved_tensors
        of_slope = (_exact(gradient) * x.clamp(max=0)).sum().view(1)
        return torch.where(x > 0, gradient, slope.to(x.dtype) * gradient), of_slope


class RowsDecimate(Decimate):
    """Slices rows, so that the gradient keeps the layout."""

    def forward(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2)[:, ::2].transpose(1, 2)


class RowsJoin(Join):
    """Joins rows, since torch.cat forgets the layout."""

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        return torch.cat([x.transpose(1, 2), skip.transpose(1, 2)], dim=2).transpose(1, 2)


class RowsUpsample(Upsample):
    """Between the samples i - 1 and i of T lies new sample 2 i, between i and i + 1 new sample 2 i + 1. Their weights
    are linear in i: in a compiled kernel they cost less than to be read."""

    def forward(self, x: Tensor) -> Tensor:
        rows, steps = x.transpose(1, 2), x.shape[-1]  # (B, T, C)
        place = torch.arange(steps, device=x.device, dtype=torch.promote_types(x.dtype, torch.float32))
        even, odd = ((end - place[:, None]) / (2 * steps - 1) for end in (2 * steps - 1, steps - 1))
        left, right = torch.cat([rows[:, :1], rows[:, :-1]], dim=1), torch.cat([rows[:, 1:], rows[:, -1:]], dim=1)
        between = torch.stack([left + even * (rows - left), rows + odd * (right - rows)], dim=2).to(x.dtype)
        return between.flatten(1, 2).transpose(1, 2)


_SWAPS: dict[type[nn.Module], type[nn.Module]] = {
    nn.BatchNorm1d: nn.BatchNorm2d,  # inside ImageConvBlock, which gives it four axes
    ConvBlock: ImageConvBlock,
    nn.GroupNorm: GlobalNorm,
    nn.PReLU: OneSlope,
    Decimate: RowsDecimate,
    Join: RowsJoin,
    Upsample: RowsUpsample,
}


def swap_for_gpu(model: nn.Module) -> nn.Module:
    """Swap the layers of a network, in place, and return it.

    Only classes change: weights, their names and the state_dict stay. Results are equal up to rounding. Strided
    convolutions are left as they are.
    """
    for module in model.modules():
        if type(module) is nn.Conv1d and module.stride == (1,):
            depthwise = ShiftedConv if module.groups > 1 else ImageConv
            module.__class__ = ProductConv if module.kernel_size == (1,) else depthwise
        else:
            module.__class__ = _SWAPS.get(type(module), type(module))
    return model


def fast_gpu(model: nn.Module) -> nn.Module:
    """The same, compiled by torch at its first step, which takes minutes; TORCH_COMPILE_DISABLE=1 leaves that out."""
    swap_for_gpu(model).compile()
    return model
