"""fast_cpu(model): the same network with the same weights, its layers replaced by faster ones where that pays."""

import ctypes
import sys

from torch import nn

from jointlib.fast import cpu_layers as layers
from jointlib.fast.cpu_convolutions import FastConv, FastDepthwiseConv
from jointlib.tcn import TCN, Filterbank
from jointlib.waveunet import ConvBlock, Decimate, Join, Upsample, WaveUNet

_NARROW = 16  # channels below which torch's own layout is faster
_SWAPS: dict[type[nn.Module], type[nn.Module]] = {
    nn.Conv1d: FastConv,
    nn.BatchNorm1d: nn.BatchNorm2d,  # inside layers.FastConvBlock, which gives it four axes
    ConvBlock: layers.FastConvBlock,
    nn.GroupNorm: layers.FastGroupNorm,
    nn.PReLU: layers.FastPReLU,
    Decimate: layers.FastDecimate,
    Join: layers.FastJoin,
    Upsample: layers.FastUpsample,
    Filterbank: layers.FastFilterbank,
}


def fast_cpu(model: nn.Module) -> nn.Module:
    """Swap the layers of every Wave-U-Net and TCN inside a network, in place, and return it.

    Only classes change (as with `torch.nn.utils.parametrize`): weights, their names and the state_dict stay. Results
    are equal, bit for bit where layers only move memory, and up to rounding elsewhere. What is left as it is: strided
    convolutions, the PReLU of the TCN's head (two axes), BN-Mix's convolution of the wave.
    """
    for module in list(model.modules()):
        if type(module) is WaveUNet:
            module.__class__ = layers.FastWaveUNet if module.encoder[0][0].out_channels >= _NARROW else WaveUNet
            _swap(module)
        elif type(module) is TCN:
            module.__class__ = layers.FastTCN
            _swap(module.features)
    return model


def _swap(part: nn.Module) -> None:
    for module in part.modules():
        if type(module) is nn.Conv1d and module.groups > 1:
            module.__class__ = FastDepthwiseConv
        elif type(module) is not nn.Conv1d or module.stride == (1,):
            module.__class__ = _SWAPS.get(type(module), type(module))


def keep_freed_memory() -> None:
    """Have glibc keep freed blocks: handing them back and faulting them in again costs a CPU run half its time."""
    if sys.platform == "linux" and hasattr(ctypes.CDLL(None), "mallopt"):
        libc = ctypes.CDLL(None)
        libc.mallopt(-4, 0)  # M_MMAP_MAX: no separate mappings for large blocks
        libc.mallopt(-1, -1)  # M_TRIM_THRESHOLD: never shrink the heap, whatever its size
