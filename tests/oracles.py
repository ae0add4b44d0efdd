"""Second implementations to hold the library against, written from the papers in float64, and signals to try them on.

They are slow and plain on purpose, and share no code with what they check.
"""

import numpy as np
from scipy.signal import lfilter, resample_poly

SAMPLE_RATE = 16_000


def speech_like(seconds: float = 4.0, seed: int = 0) -> np.ndarray:
    """Harmonics of a gliding 120 Hz voice under four formants, in bursts of syllables: float64 (T,), peak 0.3."""
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    phase = 2 * np.pi * np.cumsum(120 + 20 * np.sin(2 * np.pi * 0.7 * time)) / SAMPLE_RATE
    formants = [(1.0, 500, 120), (0.6, 1500, 200), (0.35, 2500, 250), (0.15, 3800, 400)]  # gain, centre, width in Hz
    starts = np.random.default_rng(seed).uniform(0, 2 * np.pi, 50)
    wave = np.zeros_like(time)
    for harmonic in range(1, 50):
        gain = sum(peak * np.exp(-(((120 * harmonic - at) / width) ** 2) / 2) for peak, at, width in formants)
        wave += gain * np.sin(harmonic * phase + starts[harmonic])
    wave *= np.sqrt(np.clip(np.sin(2 * np.pi * 1.7 * time), 0, None))
    return 0.3 * wave / np.abs(wave).max()


def add_noise(clean: np.ndarray, snr_db: float, kind: str = "white", seed: int = 1) -> np.ndarray:
    """`clean` (T,) with white noise, or with "low" noise that falls by 6 dB an octave, at an SNR over all of it."""
    noise = np.random.default_rng(seed).normal(size=len(clean))
    if kind == "low":
        noise = lfilter([1.0], [1.0, -0.98], noise)
    return clean + noise * np.sqrt((clean @ clean) / (noise @ noise)) * 10 ** (-snr_db / 20)


def si_sdr(clean: np.ndarray, estimate: np.ndarray) -> float:
    """SI-SDR in dB (Le Roux et al. 2019): a least-squares fit of a * clean + b, so that means do not count."""
    basis = np.stack([clean, np.ones_like(clean)], axis=1)
    (scale, offset), *_ = np.linalg.lstsq(basis, estimate)
    target = scale * (clean - clean.mean())
    return 10 * np.log10(np.sum(target**2) / np.sum((estimate - scale * clean - offset) ** 2))


def stoi(clean: np.ndarray, estimate: np.ndarray) -> float:
    """STOI of Taal et al. 2011 (IEEE TASLP 19(7)), sections II and III, loop by loop, of waves (T,) at 16 kHz."""
    waves = [resample_poly(wave, 5, 8) for wave in (clean, estimate)]  # to 10 kHz
    bands = [_third_octaves(wave) for wave in _without_silence(*waves)]  # (15, F)
    correlations = []
    for last in range(30, bands[0].shape[1] + 1):  # 30 frames, 384 ms, ending at every frame
        for band in range(15):
            reference, degraded = (spectrum[band, last - 30 : last] for spectrum in bands)
            degraded = degraded * np.linalg.norm(reference) / np.linalg.norm(degraded)
            degraded = np.minimum(degraded, (1 + 10 ** (15 / 20)) * reference)  # clipped at -15 dB
            correlations.append(np.corrcoef(reference, degraded)[0, 1])
    return float(np.mean(correlations))


def _frames(wave: np.ndarray) -> np.ndarray:
    """Hann-windowed frames of 256 samples every 128 (F, 256), as Taal's Matlab code takes them: not the last one."""
    window = np.sin(np.pi * np.arange(1, 257) / 257) ** 2
    return np.array([window * wave[start : start + 256] for start in range(0, len(wave) - 256, 128)])


def _without_silence(clean: np.ndarray, estimate: np.ndarray) -> list[np.ndarray]:
    """Both waves of the frames in which the clean one lies less than 40 dB below its loudest, overlapped and added."""
    energy = 20 * np.log10(np.linalg.norm(_frames(clean), axis=1) + 1e-16)
    kept = np.flatnonzero(energy > energy.max() - 40)
    joined = [np.zeros(128 * (len(kept) + 1)) for _ in range(2)]
    for target, frames in zip(joined, (_frames(clean), _frames(estimate)), strict=True):
        for place, frame in enumerate(kept):
            target[128 * place : 128 * place + 256] += frames[frame]
    return joined


def _third_octaves(wave: np.ndarray) -> np.ndarray:
    """The norm of each of 15 third-octave bands from 150 Hz, edges at the nearest bin of a DFT of 512: (15, F)."""
    power = np.abs(np.fft.rfft(_frames(wave), 512)) ** 2  # (F, 257)
    centres = 150 * 2 ** (np.arange(15) / 3)
    low, high = (np.rint(centres * 2 ** (side / 6) * 512 / 10_000).astype(int) for side in (-1, 1))
    return np.sqrt([power[:, start:end].sum(axis=1) for start, end in zip(low, high, strict=True)])
