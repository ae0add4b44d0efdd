"""Audio files to waves: read with distrust, and brought to another rate."""

import math
import re
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import BinaryIO

import numpy as np
import scipy.signal
import torch
import torch.nn.functional as F
import torchaudio.functional as AF
from torch import Tensor

from jointlib import SAMPLE_RATE

CONTAINERS = ("WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF", "NIST", "FLAC", "OGG", "MP3")  # that tell their end
RATES = (1000, 1_000_000)  # Hz
LONGEST = 2**29  # samples of all channels, 2 GiB as float32: 9 hours at 16 kHz
LOUDNESS = -26.0  # LUFS of waves that are brought to one loudness; lower for all when one of them would clip
LOUDEST = 100.0  # of full scale; beyond are integers in a file of floats, or no audio
Wave = np.ndarray | Tensor
# torchaudio's documented equivalent of resampy's "kaiser_best"
_SINC = {"lowpass_filter_width": 64, "rolloff": 0.9475937167399596, "beta": 14.769656459379492}


def read_audio(path: Path | BinaryIO) -> tuple[Tensor, int]:
    """A file of one of the CONTAINERS: mono float32 (T,), and its rate in Hz.

    ValueError: not readable, cut off, empty, of an absurd rate or length, samples not finite or far beyond full scale.
    """
    wave, sample_rate = read_channels(path)
    return torch.from_numpy(wave.mean(axis=1)), sample_rate


def read_channels(path: Path | BinaryIO) -> tuple[np.ndarray, int]:
    """float32 (T, channels) and the rate in Hz; ValueError as `read_audio`."""
    import soundfile  # here: training on tensors alone goes without

    try:
        with Path(path).open("rb") if isinstance(path, str | Path) else nullcontext(path) as file:
            file.seek(0)
            content = file.read()
            file.seek(0)
        with soundfile.SoundFile(path) as audio:
            end, promised = _promises(content)
            samples, channels, sample_rate = max(audio.frames, promised), audio.channels, audio.samplerate
            if audio.format not in CONTAINERS:
                raise ValueError(
                    f"{path}: in {audio.format}, of which a cut would not be seen; convert it to wav or flac"
                )
            if not RATES[0] <= sample_rate <= RATES[1]:
                raise ValueError(f"{path}: has {sample_rate} samples a second; expected {RATES[0]} to {RATES[1]}")
            if samples > 2**62:  # FLAC that was written to a pipe
                raise ValueError(f"{path}: does not tell how long it is; write it again to a file, as flac or wav")
            if samples * channels > LONGEST:
                raise ValueError(
                    f"{path}: announces {samples} samples of {channels} channel(s); expected {LONGEST} or less"
                )
            wave = audio.read(audio.frames, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError, MemoryError, TypeError) as error:  # TypeError: its name ends in .raw
        raise ValueError(f"{path}: not readable as audio ({error}); expected wav, flac, ogg or the like") from error
    if end > len(content) + (0 if audio.format == "OGG" else 64):  # some writers count a header twice
        raise ValueError(f"{path}: ends early, after {len(content)} of {end} bytes; copy it again")
    if not samples:
        raise ValueError(f"{path}: holds no samples")
    if len(wave) < samples * (0.99 if audio.format == "MP3" else 1):  # some mp3 files announce a little more
        raise ValueError(f"{path}: ends early, after {len(wave)} of {samples} samples; copy it again")
    if not np.abs(wave).max() <= LOUDEST:
        raise ValueError(
            f"{path}: holds samples that are not finite, or beyond {LOUDEST:g} times full scale, which is 1"
        )
    return wave, sample_rate


def _promises(content: bytes) -> tuple[int, int]:
    """Where a file's header says that its samples end, in bytes, and how many a channel has; 0 where it does not say.

    libsndfile reads what is left of a cut file, and only of FLAC and MP3 it tells how much there should be.
    """
    form = content[:4]
    order = "big" if form in (b"RIFX", b"FORM", b"caff", b".snd") else "little"

    def number(place: int, size: int = 4) -> int:
        return int.from_bytes(content[place : place + size], order)

    end = promised = 0
    if form == b"OggS":
        page = content.rfind(form)
        lengths = content[page + 27 :][: number(page + 26, 1)]  # of the segments of the last page
        end = page + 27 + sum(lengths) + len(lengths) + (0 if number(page + 5, 1) & 4 else 1)  # bit 2: it is the last
    elif form == b"NIST":
        promised = int((re.search(rb"\nsample_count -i (\d+)", content[:4096]) or [0, 0])[1])
    elif form in (b".snd", b"dns."):  # au
        end = number(4) + number(8)
    elif form == b"riff":  # w64
        end = number(16, 8)
    elif form == b"RF64":
        end, promised = number(20, 8) + 8, number(36, 8)
    elif form in (b"RIFF", b"RIFX", b"FORM", b"caff"):
        wide, place = (8, 8) if form == b"caff" else (4, 12)
        while place < len(content) and (kind := content[place : place + 4]) not in (b"data", b"SSND"):
            promised = number(place + 10) if kind == b"COMM" else promised  # of aiff
            size = number(place + 4, wide)
            place += 4 + wide + size + (size % 2 if wide == 4 else 0)
        end = place + 4 + wide + number(place + 4, wide)
    # who writes to a pipe does not know the end yet, and puts 0, 0x7FFFxxxx, 0xFFFFFFFF or -1 there
    return 0 if 0x7FFF0000 <= end < 2**32 + 2**16 or end > 2**62 else end, promised


def mono(wave: Wave) -> Tensor:
    """A wave (T,), or channels (C, T), which are averaged as by `read_audio`: float32 (T,) on the CPU.

    Floats of any size have a full scale of 1; int8, int16 and int32 are divided by theirs, as soundfile does.
    ValueError: another type or shape; (T, C) is one, as soundfile reads several channels: hand on its transpose.
    """
    if isinstance(wave, Tensor):
        wave = (wave.float() if wave.is_floating_point() else wave).detach().cpu().numpy()
    if not isinstance(wave, np.ndarray):
        raise ValueError(f"a wave as a {type(wave).__name__}; expected a numpy array or a torch tensor")
    if wave.ndim not in (1, 2) or (wave.ndim == 2 and not 0 < wave.shape[0] <= wave.shape[1]):
        raise ValueError(f"a wave of shape {wave.shape}; expected (T,), or (C, T) for C channels, not (T, C)")
    if wave.dtype.kind != "f" and wave.dtype.name not in ("int8", "int16", "int32"):
        raise ValueError(f"a wave of {wave.dtype}; expected floats, int8, int16 or int32")
    with np.errstate(over="ignore"):  # whoever uses it finds what is not finite
        samples = wave.astype(np.float32)
    if wave.dtype.kind == "i":
        samples /= 2 ** (8 * wave.dtype.itemsize - 1)
    return torch.from_numpy(samples if wave.ndim == 1 else samples.mean(axis=0))


def resample(wave: Tensor, sample_rate: int, new_rate: int = SAMPLE_RATE) -> Tensor:
    """Resample (..., T) from `sample_rate` to `new_rate` Hz: (..., ceil(T * new_rate / sample_rate)).

    A windowed sinc of 64 zero crossings: exact to -90 dB up to 0.85 of the lower Nyquist frequency, and 90 dB down from
    1.02 of it on. torchaudio's default of 6 has an error of -24 dB at 0.8 of it, and lets -7 dB through at 1.02.
    """
    if sample_rate * new_rate // math.gcd(sample_rate, new_rate) ** 2 < 10_000_000:
        return AF.resample(wave, sample_rate, new_rate, resampling_method="sinc_interp_kaiser", **_SINC)
    # At rates such as 44,099 Hz, which share no large divisor with 16,000, the filters would take gigabytes, so we use
    # an FFT: of whole seconds, for an exact ratio, and with a second of silence, as it joins the end to the beginning.
    seconds = wave.shape[-1] // sample_rate + 2
    padded = torch.nn.functional.pad(wave, (0, seconds * sample_rate - wave.shape[-1])).numpy()
    resampled = scipy.signal.resample(padded, seconds * new_rate, axis=-1).astype(np.float32)
    return torch.from_numpy(resampled[..., : math.ceil(wave.shape[-1] * new_rate / sample_rate)])


def loudness_gains(waves: Mapping[str, Tensor]) -> dict[str, float]:
    """Gains by channel that bring waves (T,) to one loudness (ITU-R BS.1770), lower for all when one would clip."""
    samples = torch.stack(list(waves.values()))  # (N, T)
    long_enough = F.pad(samples, (0, max(0, SAMPLE_RATE // 2 - samples.shape[1])))  # BS.1770 wants 0.4 s
    loudness = AF.loudness(long_enough[:, None], SAMPLE_RATE).nan_to_num(LOUDNESS, neginf=LOUDNESS)  # NaN: inaudible
    gains = dict(zip(waves, (10 ** ((LOUDNESS - loudness) / 20)).tolist(), strict=True))
    if "residual" in waves:
        gains["residual"] = gains["noisy"]  # it must sound as loud as what was removed
    peak = max(0.99, *(gains[name] * float(wave.abs().max()) for name, wave in waves.items()))
    return {name: gain * 0.99 / peak for name, gain in gains.items()}
