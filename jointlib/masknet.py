"""Another front-end, not in the paper: a mask on a learned filterbank that starts as a short-time Fourier transform.

Shapes: B utterances, C channels, T samples, F frames.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jointlib.tcn import ResidualBlock, disable_autocast, global_layer_norm


def fourier_filters(window: int, hop: int) -> tuple[Tensor, Tensor]:
    """Analysis and synthesis filters (2 * bins, 1, window) of an STFT: cosines, then sines, with a root Hann window.

    Analysis, then synthesis every `hop` samples gives the waveform back where `hop` divides half the window.
    """
    cpu = {"device": "cpu"}  # also under torch.device("meta"), whose first division takes seconds
    bins = torch.arange(window // 2 + 1, **cpu)
    phase = 2 * math.pi / window * (bins[:, None] * torch.arange(window, **cpu) % window)
    analysis = torch.cat([phase.cos(), phase.sin()]) * torch.hann_window(window, **cpu).sqrt() / window**0.5
    both_signs = torch.where((bins == 0) | (bins == window // 2), 1.0, 2.0).repeat(2)  # of each frequency
    return analysis.unsqueeze(1), (analysis * both_signs[:, None] * 2 * hop / window).unsqueeze(1)


class MaskNet(nn.Module):
    """Map a noisy waveform to an enhanced waveform and to the features from which the mask is computed.

    Log power of every band and frame goes through the residual blocks of Luo and Mesgarani (2019); their output is the
    mask, 0 to 1, on both quadratures; synthesis filters turn the masked bands into a waveform. All filters are
    trained. The level of the waveform is divided out and multiplied back. The defaults have 332,848 parameters.

    Args:
        window, hop: of the filters, in samples; ValueError if `hop` does not divide half the window.
        channels, hidden, repeats, blocks: of the residual blocks, as in `TCN`.
        floor: power below which a band is muted, relative to the waveform's power per sample.
    """

    def __init__(
        self,
        window: int = 320,
        hop: int = 160,
        channels: int = 64,
        hidden: int = 128,
        repeats: int = 1,
        blocks: int = 6,
        floor: float = 0.03,
    ):
        super().__init__()
        if window % (2 * hop):
            raise ValueError(f"window={window}, hop={hop}: the hop must divide half the window")
        bins, dilations = window // 2 + 1, [2**exponent for _ in range(repeats) for exponent in range(blocks)]
        self.stride, self.bottleneck_channels, self.floor = hop, channels, floor
        strided = {"kernel_size": window, "stride": hop, "padding": window - hop, "bias": False}
        self.analysis = nn.Conv1d(1, 2 * bins, **strided)
        self.features = nn.Sequential(
            global_layer_norm(bins),
            nn.Conv1d(bins, channels, 1),
            *(ResidualBlock(channels, hidden, dilation) for dilation in dilations),
        )
        self.mask = nn.Sequential(nn.PReLU(), nn.Conv1d(channels, bins, 1))
        self.synthesis = nn.ConvTranspose1d(2 * bins, 1, **strided)
        analysis, synthesis = fourier_filters(window, hop)
        self.analysis.weight.data.copy_(analysis)
        self.synthesis.weight.data.copy_(synthesis)

    def forward(self, noisy: Tensor) -> tuple[Tensor, Tensor]:
        """Return enhanced (B, 1, T) and features (B, C, F), F = ceil(T / hop) - 1 + window / hop; T >= 1."""
        length = noisy.shape[-1]
        padded = F.pad(noisy, (0, -length % self.stride))
        level = padded.square().mean(dim=-1, keepdim=True).sqrt().clamp_min(1e-8)
        with disable_autocast(padded):
            cosine, sine = self.analysis(padded / level).chunk(2, dim=1)  # (B, bins, F) each
        features = self.features((cosine.square() + sine.square() + self.floor).log())
        mask = torch.sigmoid(self.mask(features) + 1)  # + 1: at first most of the signal passes
        with disable_autocast(padded):
            enhanced = self.synthesis(torch.cat([mask * cosine, mask * sine], dim=1)) * level
        return enhanced[..., :length], features
