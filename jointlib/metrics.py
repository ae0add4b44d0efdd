"""Quality of enhanced speech against the clean reference: PESQ, STOI, SI-SDR and others."""

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pesq
import pystoi
from scipy.signal import stft
from threadpoolctl import ThreadpoolController

from jointlib import SAMPLE_RATE

Pairs = list[tuple[np.ndarray, np.ndarray]]  # (clean, estimate), waveforms (T,) at 16 kHz
_BLAS = ThreadpoolController()


def si_sdr(clean: np.ndarray, estimate: np.ndarray) -> float:
    """SI-SDR in dB (Le Roux et al. 2019) of two waveforms (T,), means removed; ValueError if one is silent."""
    clean, estimate = clean - clean.mean(), estimate - estimate.mean()
    if not (clean @ clean > 0 and estimate @ estimate > 0):
        raise ValueError("silent signal")
    target = (estimate @ clean) / (clean @ clean) * clean
    residual = estimate - target
    with np.errstate(divide="ignore"):
        return float(10 * np.log10((target @ target) / (residual @ residual)))


def lsd(clean: np.ndarray, estimate: np.ndarray) -> float:
    """Log-spectral distance in dB of two waveforms (T,): RMS of the difference of log power, mean over frames.

    Windows of 32 ms every 8 ms; power is counted from 80 dB below the clean waveform's strongest bin. ValueError if
    the waveforms are shorter than a window, or the clean one is silent.
    """
    if len(clean) < 512:
        raise ValueError(f"{len(clean)} samples: shorter than a window of 512")
    power = [np.abs(stft(x, nperseg=512, noverlap=384)[2]) ** 2 for x in (clean, estimate)]  # (bins, F)
    if not power[0].max() > 0:
        raise ValueError("silent signal")
    first, second = (10 * np.log10(np.maximum(bins, 1e-8 * power[0].max())) for bins in power)
    return float(np.sqrt(((first - second) ** 2).mean(axis=0)).mean())


def _pesq(clean: np.ndarray, estimate: np.ndarray, band: str) -> float:
    if not estimate.any():
        raise ValueError("silent signal")
    return float(pesq.pesq(SAMPLE_RATE, clean, estimate, band))


def _stoi(clean: np.ndarray, estimate: np.ndarray, extended: bool = False) -> float:
    state = np.random.get_state()  # noqa: NPY002 - pystoi adds noise from numpy's global generator to extended STOI
    np.random.seed(0)  # noqa: NPY002
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)  # for a waveform too short, pystoi warns and returns 1e-5
            return float(pystoi.stoi(clean, estimate, SAMPLE_RATE, extended=extended))
    finally:
        np.random.set_state(state)  # noqa: NPY002


_METRICS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "pesq_wb": partial(_pesq, band="wb"),
    "pesq_nb": partial(_pesq, band="nb"),
    "stoi": _stoi,
    "estoi": partial(_stoi, extended=True),
    "si_sdr": si_sdr,
    "lsd": lsd,
    "mse": lambda clean, estimate: float(np.mean((clean - estimate) ** 2)),
}
QUALITY = tuple(_METRICS)
_REASONS = {  # texts for errors that have none
    pesq.BufferTooShortError: "shorter than a quarter of a second",
    pesq.NoUtterancesError: "no speech is found in it",
    np.exceptions.AxisError: "too short",
    RuntimeWarning: "too little speech",
}


def quality(pair: tuple[np.ndarray, np.ndarray], metrics: tuple[str, ...] = QUALITY) -> dict[str, Any]:
    """Metrics of an estimate against clean speech, waveforms (T,) at 16 kHz.

    PESQ in MOS (wide band 1.04 to 4.64, narrow band to 4.55), STOI and extended STOI 0 to 1, SI-SDR and log-spectral
    distance in dB, MSE per sample. A metric that cannot be computed (silence, too short) is NaN; ``failed`` says why
    and is empty otherwise. ValueError: they are not waveforms (T,), or differ in length.
    """
    clean, estimate = (np.asarray(waveform, dtype=np.float64) for waveform in pair)
    if clean.ndim != 1 or clean.shape != estimate.shape:
        shapes = f"clean speech of shape {clean.shape}, estimate of {estimate.shape}"
        raise ValueError(f"{shapes}: expected (T,) for both; cut them to one length")
    scores, reasons = {}, []
    for name in metrics:
        try:
            with _BLAS.limit(limits=1):  # otherwise the last bit depends on the number of threads
                scores[name] = _METRICS[name](clean, estimate)
            if not np.isfinite(scores[name]):
                raise ValueError(f"not finite: {scores[name]}")
        except (pesq.PesqError, ValueError, ZeroDivisionError, RuntimeWarning) as error:
            scores[name] = float("nan")
            reason = str(_REASONS.get(type(error), error))
            reasons.append(f"{name}: {reason}".replace("\n", " ").replace(";", ",")[:120])
    return scores | {"failed": "; ".join(reasons)}
