"""fast_gpu(model): the same network with the same weights, its layers replaced by what a GPU and torch.compile do well.

All are (B, C, T) stored as (B, T, C), channels side by side: so the matrix units take convolutions without a copy, and
one with a single tap is one matrix product. What lies between products is left to the compiler, which makes a kernel
of it that writes no slope's gradient per element, and reduces an utterance with many blocks of threads; so there are no
autograd functions of our own here (compiled by torch 2.11, those tried lost gradients). No GPU has been measured yet.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jointlib.waveunet import ConvBlock, Decimate, Join, Upsample


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
    """In and out as the numbers come, with sums in float32; autocast would have it write float32."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return F.group_norm(x, self.num_groups, self.weight.to(x.dtype), self.bias.to(x.dtype), self.eps)


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
