"""Audio files to waveforms: read, averaged over channels, resampled."""

import io
import math
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
import torchaudio.functional as AF
from torch import Tensor

from jointlib import SAMPLE_RATE

RATES = (1000, 400_000)  # Hz; of other files the header is damaged
LOUDEST = 100.0  # times full scale; louder samples are integers stored as floats
Wave = np.ndarray | Tensor
# torchaudio's documented equivalent of resampy's "kaiser_best"
_SINC = {"lowpass_filter_width": 64, "rolloff": 0.9475937167399596, "beta": 14.769656459379492}


def read_audio(path: Path | BinaryIO) -> tuple[Tensor, int]:
    """Read any file that soundfile reads, channels averaged: float32 (T,) and the rate in Hz.

    Raises ValueError: not readable, shorter than its header says, empty, samples that are not finite or far beyond full
    scale, or a rate outside `RATES`.
    """
    import soundfile  # here: training on tensors alone goes without

    try:
        content = Path(path).read_bytes() if isinstance(path, str | Path) else path.read()
        with soundfile.SoundFile(io.BytesIO(content)) as audio:
            announced, sample_rate = audio.frames, audio.samplerate
            wave = audio.read(dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError, MemoryError, ValueError) as error:  # the last two: absurd lengths
        reason = str(error).rpartition(": ")[2]
        raise ValueError(f"{path}: not readable as audio ({reason}); convert it to wav or flac") from error
    # A WAV's header holds the file's size; of a cut file, libsndfile reads what is left. Programs that write to a pipe
    # put 0, 0x7FFFxxxx or 0xFFFFFFFF there; some count the header twice.
    size = int.from_bytes(content[4:8], "little") if content[:4] == b"RIFF" else 0
    if len(content) < size < 0x7FFF0000:
        raise ValueError(f"{path}: ends early, after {len(content)} of {size + 8} bytes; copy it again")
    if len(wave) < 0.99 * announced:  # some MP3 files announce a little more
        raise ValueError(f"{path}: ends early, after {len(wave)} of {announced} samples; copy it again")
    if not len(wave):
        raise ValueError(f"{path}: holds no samples")
    if not RATES[0] <= sample_rate <= RATES[1]:
        raise ValueError(f"{path}: has {sample_rate} samples a second; expected {RATES[0]} to {RATES[1]}")
    if not np.abs(wave).max() <= LOUDEST:
        raise ValueError(f"{path}: holds samples that are not finite, or beyond {LOUDEST:g} times full scale (1.0)")
    return torch.from_numpy(wave.mean(axis=1)), sample_rate


def mono(wave: Wave) -> Tensor:
    """Average the channels of a waveform (C, T), or take one (T,): float32 (T,) on the CPU.

    Full scale is 1 for floats; int8, int16 and int32 are divided by theirs, as soundfile does. ValueError: another type
    or shape, such as the (T, C) in which soundfile returns several channels; pass its transpose.
    """
    if isinstance(wave, Tensor):
        wave = (wave.float() if wave.is_floating_point() else wave).detach().cpu()
    samples = np.asarray(wave)
    if samples.ndim not in (1, 2) or (samples.ndim == 2 and not 0 < samples.shape[0] <= samples.shape[1]):
        raise ValueError(f"a wave of shape {samples.shape}; expected (T,), or (C, T) for C channels, not (T, C)")
    if samples.dtype.kind != "f" and samples.dtype.name not in ("int8", "int16", "int32"):
        raise ValueError(f"a wave of {samples.dtype}; expected floats, int8, int16 or int32")
    full_scale = 1 if samples.dtype.kind == "f" else 2 ** (8 * samples.dtype.itemsize - 1)
    with np.errstate(over="ignore"):  # `Run.process` refuses what is not finite
        samples = samples.astype(np.float32) / np.float32(full_scale)
    return torch.from_numpy(samples if samples.ndim == 1 else samples.mean(axis=0))


def resample(wave: Tensor, sample_rate: int, new_rate: int = SAMPLE_RATE) -> Tensor:
    """Resample (..., T) from `sample_rate` to `new_rate` Hz: (..., ceil(T * new_rate / sample_rate)).

    A windowed sinc of 64 zero crossings: exact to -90 dB up to 0.85 of the lower Nyquist frequency, and 90 dB down from
    1.02 of it on. torchaudio's default of 6 has an error of -24 dB at 0.8 of it, and lets -7 dB through at 1.02. Rates
    such as 44,099 Hz, for which torchaudio would need gigabytes of filters, are rounded to 10 Hz.
    """
    if sample_rate * new_rate >= 10_000_000 * math.gcd(sample_rate, new_rate) ** 2:
        sample_rate, new_rate = round(sample_rate, -1), round(new_rate, -1)
    return AF.resample(wave, sample_rate, new_rate, resampling_method="sinc_interp_kaiser", **_SINC)
