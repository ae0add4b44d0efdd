"""The loss as named terms and one weighted sum: the paper's alpha * MSE + (1 - alpha) * cross-entropy, and other terms.

Waveforms are (B, 1, T). Typical values are for speech at -25 dBFS with noise at 0 to 20 dB SNR.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

PAPER = {"mse": 1.0}
SPECTRAL = {"snr": 0.1, "spectrum": 10.0}  # not in the paper; each term is about 1 after weighting
_WINDOWS = (256, 512, 1024)  # samples
_EPS = 1e-8


def mse(enhanced: Tensor, clean: Tensor) -> Tensor:
    """Mean squared error over the whole clip with its zero padding; about 1e-3."""
    return F.mse_loss(enhanced, clean)


def snr(enhanced: Tensor, clean: Tensor) -> Tensor:
    """Negative signal-to-noise ratio in dB, mean over utterances; about -10."""
    error = (enhanced - clean).square().sum(dim=-1) + _EPS
    return -10 * torch.log10((clean.square().sum(dim=-1) + _EPS) / error).mean()


def spectrum(enhanced: Tensor, clean: Tensor) -> Tensor:
    """L1 distance between magnitudes to the power 0.3, mean over bins, frames and three windows; about 0.1."""
    terms = [F.l1_loss(_compressed(enhanced, window), _compressed(clean, window)) for window in _WINDOWS]
    return sum(terms) / len(terms)


def _compressed(waveform: Tensor, window: int) -> Tensor:
    """Magnitudes of (B, 1, T) to the power 0.3: (B, bins, F)."""
    hann = torch.hann_window(window, device=waveform.device, dtype=waveform.dtype)
    bins = torch.stft(waveform.squeeze(1), window, window // 4, window=hann, pad_mode="constant", return_complex=True)
    return (bins.real.square() + bins.imag.square() + _EPS) ** 0.15


TERMS = {"mse": mse, "snr": snr, "spectrum": spectrum}


def loss_terms(
    enhanced: Tensor | None, logits: Tensor | None, clean: Tensor, labels: Tensor, loss: Mapping[str, float] = PAPER
) -> dict[str, Tensor]:
    """The terms that a network's output allows, each a scalar: those that `loss` names, and always the MSE (Table 5).

    ``cross_entropy`` is that of logits (B, classes) against labels (B,), in nats.
    """
    terms = {}
    if enhanced is not None:
        for name in PAPER | loss:
            terms[name] = TERMS[name](enhanced.to(clean.dtype), clean)
    if logits is not None:
        terms["cross_entropy"] = F.cross_entropy(logits.to(clean.dtype), labels)
    return terms


def weighted_sum(terms: Mapping[str, Tensor], alpha: float, loss: Mapping[str, float] = PAPER) -> Tensor:
    """alpha * (enhancement terms weighted by `loss`) + (1 - alpha) * cross_entropy, over the given terms."""
    weights = {name: alpha * weight for name, weight in loss.items()} | {"cross_entropy": 1 - alpha}
    return sum(weights[name] * term for name, term in terms.items() if name in weights)
