"""fast_cpu(model): the same network with the same weights, its layers replaced by faster ones where that pays."""

from torch import nn

from jointlib.fast_cpu.convolutions import FastConv, FastDepthwiseConv
from jointlib.fast_cpu.layers import (
    FastConvBlock,
    FastDecimate,
    FastFilterbank,
    FastGroupNorm,
    FastJoin,
    FastPReLU,
    FastTCN,
    FastUpsample,
    FastWaveUNet,
)
from jointlib.tcn import TCN, Filterbank
from jointlib.waveunet import ConvBlock, Decimate, Join, Upsample, WaveUNet

_NARROW = 16  # channels below which torch's own layout is faster
_SWAPS: dict[type[nn.Module], type[nn.Module]] = {
    nn.Conv1d: FastConv,
    nn.BatchNorm1d: nn.BatchNorm2d,  # inside FastConvBlock, which gives it four axes
    ConvBlock: FastConvBlock,
    nn.GroupNorm: FastGroupNorm,
    nn.PReLU: FastPReLU,
    Decimate: FastDecimate,
    Join: FastJoin,
    Upsample: FastUpsample,
    Filterbank: FastFilterbank,
}


def fast_cpu(model: nn.Module) -> nn.Module:
    """Swap the layers of every Wave-U-Net and TCN inside a network, in place, and return it.

    Only classes change (as with `torch.nn.utils.parametrize`): parameters, their names and the state_dict stay. Results
    are equal, bit for bit where layers only move memory, and up to rounding elsewhere. What is left as it is: strided
    convolutions, the PReLU of the TCN's head (two axes), BN-Mix's convolution of the wave.
    """
    for module in list(model.modules()):
        if type(module) is WaveUNet:
            module.__class__ = FastWaveUNet if module.encoder[0][0].out_channels >= _NARROW else WaveUNet
            _swap(module)
        elif type(module) is TCN:
            module.__class__ = FastTCN
            _swap(module.features)
    return model


def _swap(part: nn.Module) -> None:
    for module in part.modules():
        if type(module) is nn.Conv1d and module.groups > 1:
            module.__class__ = FastDepthwiseConv
        elif type(module) is not nn.Conv1d or module.stride == (1,):
            module.__class__ = _SWAPS.get(type(module), type(module))
