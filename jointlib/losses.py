"""The loss as named terms and one weighted sum: the paper's alpha * MSE + (1 - alpha) * cross-entropy, and other terms.

Waves are (B, 1, T). The scales say what a term comes to on speech at -25 dBFS with noise at 0 to 20 dB.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PAPER = {"mse": 1.0}
SPECTRAL = {"snr": 0.1, "spectrum": 10.0}  # not in the paper; either part is about 1
_WINDOWS = (256, 512, 1024)  # samples
_EPS = 1e-8


def mse(enhanced: Tensor, clean: Tensor) -> Tensor:
    """Mean square error over the whole clip with its zero padding; about 1e-3."""
    return F.mse_loss(enhanced, clean)


def snr(enhanced: Tensor, clean: Tensor) -> Tensor:
    """Minus the signal-to-noise ratio in dB, mean over utterances; about -10."""
    error = (enhanced - clean).square().sum(dim=-1) + _EPS
    return -10 * torch.log10((clean.square().sum(dim=-1) + _EPS) / error).mean()


def si_sdr(enhanced: Tensor, clean: Tensor) -> Tensor:
    """Minus the scale-invariant SNR in dB (Le Roux et al. 2019), mean over utterances; about -10."""
    enhanced, clean = (wave - wave.mean(dim=-1, keepdim=True) for wave in (enhanced, clean))
    scale = (enhanced * clean).sum(dim=-1, keepdim=True) / (clean.square().sum(dim=-1, keepdim=True) + _EPS)
    return snr(enhanced, scale * clean)


def spectrum(enhanced: Tensor, clean: Tensor) -> Tensor:
    """L1 between magnitudes to the power 0.3, mean over bins, frames and windows of 16, 32 and 64 ms; about 0.1."""
    terms = [F.l1_loss(_compressed(enhanced, window), _compressed(clean, window)) for window in _WINDOWS]
    return sum(terms) / len(terms)


def _compressed(wave: Tensor, window: int) -> Tensor:
    """Magnitudes of (B, 1, T) to the power 0.3: (B, bins, F)."""
    hann = torch.hann_window(window, device=wave.device, dtype=wave.dtype)
    bins = torch.stft(wave.squeeze(1), window, window // 4, window=hann, pad_mode="constant", return_complex=True)
    return (bins.real.square() + bins.imag.square() + _EPS) ** 0.15


def mimic(enhanced: Tensor, clean: Tensor, filterbank: nn.Module) -> Tensor:
    """L1 between what a classifier's filterbank makes of both, which the term does not train; about 0.5 (log power)."""
    weights = {name: value.detach() for name, value in filterbank.named_parameters()}
    return F.l1_loss(*torch.func.functional_call(filterbank, weights, torch.cat([enhanced, clean])).chunk(2))


TERMS = {"mse": mse, "snr": snr, "si_sdr": si_sdr, "spectrum": spectrum, "mimic": mimic}


def loss_terms(
    enhanced: Tensor | None,
    logits: Tensor | None,
    clean: Tensor,
    labels: Tensor,
    loss: Mapping[str, float] = PAPER,
    filterbank: nn.Module | None = None,
) -> dict[str, Tensor]:
    """The terms that a network's output allows, each a scalar: those that `loss` names, and the MSE in any case.

    ``cross_entropy``: of logits (B, classes) against labels (B,), in nats. `filterbank` is what ``mimic`` compares.
    """
    terms = {}
    if enhanced is not None:
        for name in PAPER | loss:
            with_bank = (filterbank,) if name == "mimic" else ()
            terms[name] = TERMS[name](enhanced.to(clean.dtype), clean, *with_bank)
    if logits is not None:
        terms["cross_entropy"] = F.cross_entropy(logits.to(clean.dtype), labels)
    return terms


def weighted_sum(terms: Mapping[str, Tensor], alpha: float, loss: Mapping[str, float] = PAPER) -> Tensor:
    """alpha * (the enhancement's terms, weighted by `loss`) + (1 - alpha) * cross_entropy, of those there are."""
    weights = {name: alpha * weight for name, weight in loss.items()} | {"cross_entropy": 1 - alpha}
    return sum(weights[name] * term for name, term in terms.items() if name in weights)
