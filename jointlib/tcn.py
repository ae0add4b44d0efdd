"""The back-end: a temporal convolutional network (the separator of Luo and Mesgarani 2019) that classifies.

Shapes: B utterances, C channels, T steps (samples, or frames of a filterbank or of the bottleneck).
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def global_layer_norm(channels: int) -> nn.GroupNorm:
    """Normalise over channels and time together, with a gain and a bias per channel: gLN of Luo and Mesgarani."""
    return nn.GroupNorm(1, channels, eps=1e-8)


def disable_autocast(x: Tensor) -> torch.autocast:
    """A context without autocast on the device of `x`."""
    return torch.autocast(x.device.type, enabled=False)


def mel_spaced(low: float, high: float, bands: int) -> Tensor:
    """Frequencies (bands,) in Hz from `low` to `high`, equally spaced on the mel scale."""
    ends = (2595 * math.log10(1 + hertz / 700) for hertz in (low, high))
    return 700 * (10 ** (torch.linspace(*ends, bands, device="cpu") / 2595) - 1)


def quadrature_filters(hertz: Tensor, window: int) -> Tensor:
    """Cosines, then sines, at the frequencies (bands,) under a Hann window: (2 * bands, window)."""
    phase = 2 * math.pi * hertz[:, None] / 16_000 * torch.arange(window, device="cpu")
    return torch.cat([phase.cos(), phase.sin()]) * torch.hann_window(window, device="cpu") / window**0.5


class Filterbank(nn.Module):
    """A learned filterbank, not in the paper: waveform (B, 1, T) -> log power per band and frame (B, bands, F).

    One strided convolution, `window` samples every `hop`, with two filters a band, which are trained. They are
    initialised as windowed cosine and sine, mel-spaced from 60 Hz to 7.8 kHz, so that the initial output is a log-mel
    spectrogram. The waveform is normalised to unit power; the `floor` of 0.03 then mutes components 15 dB below.
    """

    def __init__(self, window: int, hop: int, bands: int, floor: float = 0.03):
        super().__init__()
        self.floor = floor
        self.filters = nn.Conv1d(1, 2 * bands, window, stride=hop, padding=window // 2, bias=False)
        self.filters.weight.data.copy_(quadrature_filters(mel_spaced(60, 7800, bands), window).unsqueeze(1))

    def forward(self, waveform: Tensor) -> Tensor:
        with disable_autocast(waveform):  # rounding to bfloat16 would hide weak bands
            normalised = F.layer_norm(waveform, waveform.shape[2:])  # a front-end may change level and offset
            cosine, sine = self.filters(normalised).chunk(2, dim=1)  # (B, bands, F) each
            return (cosine.square() + sine.square() + self.floor).log()


class ResidualBlock(nn.Module):
    """1x1 convolution, dilated depthwise convolution, 1x1 convolution, added to the input: (B, C, T) -> (B, C, T)."""

    def __init__(self, channels: int, hidden: int, dilation: int):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv1d(channels, hidden, 1),
            nn.PReLU(),
            global_layer_norm(hidden),
            nn.Conv1d(hidden, hidden, kernel_size=3, padding=dilation, dilation=dilation, groups=hidden),
            nn.PReLU(),
            global_layer_norm(hidden),
            nn.Conv1d(hidden, channels, 1),
        )

    def forward(self, features: Tensor) -> Tensor:
        return features + self.body(features)


class TCN(nn.Module):
    """Classify a sequence of features: (B, C, T) -> logits (B, classes).

    The defaults are the published sizes: 178,166 parameters on the raw waveform (one channel), 197,108 on
    the 288-channel bottleneck. The receptive field is 125 steps, 7.8 ms of the waveform.

    Args:
        in_channels: C, 1 for a waveform. classes: number of intents.
        channels, hidden: width between and inside the residual blocks.
        repeats, blocks: the dilations 1, 2, ... 2 ** (blocks - 1), repeated.
        stem: None, the published network; or (window, hop, bands) of a `Filterbank` of the waveform, a step per frame.
    """

    def __init__(
        self,
        in_channels: int = 1,
        classes: int = 31,
        channels: int = 64,
        hidden: int = 128,
        repeats: int = 2,
        blocks: int = 5,
        stem: tuple[int, int, int] | None = None,
    ):
        super().__init__()
        front = [] if stem is None else [Filterbank(*stem)]
        in_channels = in_channels if stem is None else stem[2]
        dilations = [2**exponent for _ in range(repeats) for exponent in range(blocks)]
        self.features = nn.Sequential(
            *front,
            global_layer_norm(in_channels),
            nn.Conv1d(in_channels, channels, 1),
            *(ResidualBlock(channels, hidden, dilation) for dilation in dilations),
        )
        self.head = nn.Sequential(nn.PReLU(), nn.Linear(channels, classes))

    def forward(self, features: Tensor) -> Tensor:
        steps = self.features(features).transpose(1, 2)  # (B, T, channels)
        exact = torch.promote_types(steps.dtype, torch.float32)
        with disable_autocast(steps):  # halves the error of the logits
            return self.head(steps.mean(dim=1, dtype=exact))
