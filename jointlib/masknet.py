"""Another front-end, not in the paper: a mask on the short-time Fourier transform of noisy speech.

Shapes: B utterances, C channels, T samples, F frames.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jointlib.tcn import ResidualBlock, disable_autocast, global_layer_norm


class MaskNet(nn.Module):
    """Map a noisy waveform to an enhanced waveform and to the features from which the mask is computed.

    Log power of every bin and frame goes through the residual blocks of Luo and Mesgarani (2019); their output is the
    mask, 0 to 1; the noisy phase is kept. The level of the waveform is divided out and multiplied back. Trained
    filters, initialised with this transform, enhance no better. The defaults have 126,768 parameters.

    Args:
        window, hop: of the transform, in samples; ValueError if `hop` does not divide half the window.
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
        self.register_buffer("window", torch.hann_window(window).sqrt())
        self.features = nn.Sequential(
            global_layer_norm(bins),
            nn.Conv1d(bins, channels, 1),
            *(ResidualBlock(channels, hidden, dilation) for dilation in dilations),
        )
        self.mask = nn.Sequential(nn.PReLU(), nn.Conv1d(channels, bins, 1))

    def forward(self, noisy: Tensor) -> tuple[Tensor, Tensor]:
        """Return enhanced (B, 1, T) and features (B, C, F), F = 1 + ceil(T / hop); T >= 1."""
        length, frames = noisy.shape[-1], {"n_fft": len(self.window), "hop_length": self.stride, "window": self.window}
        padded = F.pad(noisy.squeeze(1), (0, -length % self.stride))
        level = padded.square().mean(dim=-1, keepdim=True).sqrt().clamp_min(1e-8)
        with disable_autocast(padded):
            spectrum = torch.stft(padded / level, **frames, pad_mode="constant", normalized=True, return_complex=True)
        power = spectrum.real.square() + spectrum.imag.square()  # (B, bins, F)
        features = self.features((power + self.floor).log())
        mask = torch.sigmoid(self.mask(features) + 1)  # + 1: at first most of the signal passes
        with disable_autocast(padded):
            enhanced = torch.istft(mask.to(power.dtype) * spectrum, **frames, normalized=True) * level
        return enhanced[:, None, :length], features
