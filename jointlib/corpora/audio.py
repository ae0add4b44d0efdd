"""Audio files to waveforms: read, averaged over channels, resampled."""

import io
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
import torchaudio.functional as AF
from torch import Tensor

from jointlib import SAMPLE_RATE

LOUDEST = 100.0  # times full scale; louder samples are integers stored as floats
# What libsndfile reads, and what people record but must convert first; all else beside a sound is not meant as one.
ENDINGS = "wav wave wavex rf64 w64 aif aiff aifc au snd caf flac ogg oga opus mp3 voc sph nist m4a mp4 aac wma amr webm"
# torchaudio's documented equivalent of resampy's "kaiser_best"
_SINC = {"lowpass_filter_width": 64, "rolloff": 0.9475937167399596, "beta": 14.769656459379492}


def is_audio(path: Path) -> bool:
    """Whether a path is a file with the ending of a sound, and not hidden, as the ._a.wav that macOS adds to a.wav."""
    return path.suffix[1:].lower() in ENDINGS.split() and path.name[0] != "." and path.is_file()


def read_audio(path: Path | BinaryIO) -> tuple[Tensor, int]:
    """Read any file that soundfile reads, channels averaged: float32 (T,) and the rate in Hz.

    Raises ValueError: not readable, shorter than its header says, empty, or samples that are not finite or far beyond
    full scale.
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
    if not np.abs(wave).max() <= LOUDEST:
        raise ValueError(f"{path}: holds samples that are not finite, or beyond {LOUDEST:g} times full scale (1.0)")
    return torch.from_numpy(wave.mean(axis=1)), sample_rate


def resample(wave: Tensor, sample_rate: int, new_rate: int = SAMPLE_RATE) -> Tensor:
    """Resample (..., T) from `sample_rate` to `new_rate` Hz: (..., ceil(T * new_rate / sample_rate)).

    A windowed sinc of 64 zero crossings: exact to -90 dB up to 0.85 of the lower Nyquist frequency, and 90 dB down from
    1.02 of it on. torchaudio's default of 6 has an error of -24 dB at 0.8 of it, and lets -7 dB through at 1.02.
    """
    if sample_rate * new_rate >= 10_000_000 * np.gcd(sample_rate, new_rate) ** 2:  # gigabytes of filters at 44,099 Hz
        sample_rate, new_rate = round(sample_rate, -1), round(new_rate, -1)
    return AF.resample(wave, sample_rate, new_rate, resampling_method="sinc_interp_kaiser", **_SINC)
