"""Audio files in, packed int16 waveforms out: one memory-mapped file, written once and keyed by content."""

import hashlib
import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import scipy.signal
import soundfile
import torch
import torch.nn.functional as F
import torchaudio.functional as AF
from torch import Tensor

from jointlib import SAMPLE_RATE
from jointlib.progress import Progress

# torchaudio's documented equivalent of resampy's "kaiser_best"
_SINC = {"lowpass_filter_width": 64, "rolloff": 0.9475937167399596, "beta": 14.769656459379492}


def read_audio(path: Path | BinaryIO) -> tuple[Tensor, int]:
    """Read any format that soundfile reads, from a path or an open file, as mono float32 (T,) with its own rate in Hz.

    Raises:
        ValueError: the file cannot be read as audio, holds no sample, or holds NaN or infinity.
    """
    try:
        wave, sample_rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError) as error:
        raise ValueError(f"{path}: not readable as audio ({error}); expected wav, flac, ogg or the like") from error
    if not len(wave):
        raise ValueError(f"{path}: holds no samples")
    if not np.isfinite(wave).all():
        raise ValueError(f"{path}: holds samples that are not finite numbers")
    return torch.from_numpy(wave.mean(axis=1)), sample_rate


def resample(wave: Tensor, sample_rate: int, new_rate: int = SAMPLE_RATE) -> Tensor:
    """Resample (..., T) from `sample_rate` to `new_rate` Hz: (..., ceil(T * new_rate / sample_rate)).

    A windowed sinc of 64 zero crossings: exact to -90 dB up to 0.85 of the lower Nyquist frequency, and 90 dB down from
    1.02 of it on. torchaudio's default of 6 has an error of -24 dB at 0.8 of it, and lets -7 dB through at 1.02.
    """
    if sample_rate == new_rate:
        return wave
    if sample_rate * new_rate // math.gcd(sample_rate, new_rate) ** 2 < 10_000_000:
        return AF.resample(wave, sample_rate, new_rate, resampling_method="sinc_interp_kaiser", **_SINC)
    # rates such as 44,099 Hz have so few common divisors that their filters would take gigabytes; an FFT takes whole
    # seconds, so that the ratio is exact, and one second more of silence, as it joins the end to the beginning
    seconds = wave.shape[-1] // sample_rate + 2
    padded = F.pad(wave, (0, seconds * sample_rate - wave.shape[-1])).numpy()
    resampled = scipy.signal.resample(padded, seconds * new_rate, axis=-1).astype(np.float32)
    return torch.from_numpy(resampled[..., : math.ceil(wave.shape[-1] * new_rate / sample_rate)])


@dataclass
class PackedAudio:
    """Waveforms of many files end to end.

    Attributes:
        samples: int16, all files. starts, lengths: int64 (N,), in samples. digests: a hash of each file's samples.
    """

    samples: Tensor
    starts: Tensor
    lengths: Tensor
    digests: list[str]

    def to(self, device: torch.device | str) -> "PackedAudio":
        """The same on another device."""
        tensors = (tensor.to(device) for tensor in (self.samples, self.starts, self.lengths))
        return PackedAudio(*tensors, self.digests)

    def wave(self, index: int) -> Tensor:
        """File `index` as a whole: float32 (T,), on the CPU."""
        start = int(self.starts[index])
        return self.samples[start : start + int(self.lengths[index])].cpu() / 32768

    def clips(self, index: Tensor, length: int) -> tuple[Tensor, Tensor]:
        """Cut or zero-pad the files `index` (B,) to `length` samples: float32 (B, length) and true lengths (B,)."""
        lengths = self.lengths[index].clamp(max=length)
        time = torch.arange(length, device=self.samples.device)
        inside = time < lengths[:, None]  # (B, length)
        position = torch.where(inside, self.starts[index][:, None] + time, 0)
        return self.samples[position] * (inside / 32768), lengths

    def loops(self, index: Tensor, offsets: Tensor, length: int) -> Tensor:
        """Read `length` samples of files `index` (B,) from `offsets` (B,) on, starting over at a file's end."""
        time = torch.arange(length, device=self.samples.device) + offsets[:, None]
        position = self.starts[index][:, None] + time % self.lengths[index][:, None]
        return self.samples[position] / 32768


def pack(files: Sequence[Path], cache: Path, title: str) -> tuple[PackedAudio | None, list[str]]:
    """Read files as 16 kHz mono into one memory-mapped array; from the cache when their contents are known.

    The cache is found by the files' contents; names, sizes and times only spare reading unchanged files again.

    Returns:
        The packed audio, None when a file failed, and what failed, a line each.
    """
    stats = [(str(path), stat.st_size, stat.st_mtime_ns) for path in files for stat in [path.stat()]]
    seen = cache / "seen" / hashlib.blake2b(json.dumps(stats).encode(), digest_size=16).hexdigest()
    key = seen.read_text() if seen.exists() else _content_key(files)
    if not (cache / f"{key}.json").exists():
        problems = _write_pack(files, cache, key, title)
        if problems:
            return None, problems
    seen.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(seen, key.encode())
    index = json.loads((cache / f"{key}.json").read_text())
    lengths = torch.tensor(index["lengths"], dtype=torch.int64)
    # mode "c": torch wants writable memory; nothing is ever written back to the file
    samples = torch.from_numpy(np.memmap(cache / f"{key}.int16", dtype=np.int16, mode="c"))
    return PackedAudio(samples, lengths.cumsum(0) - lengths, lengths, index["digests"]), []


def _content_key(files: Sequence[Path]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for path in files:
        digest.update(hashlib.blake2b(Path(path).read_bytes(), digest_size=16).digest())
    return digest.hexdigest()


def _write_pack(files: Sequence[Path], cache: Path, key: str, title: str) -> list[str]:
    cache.mkdir(parents=True, exist_ok=True)
    lengths, digests, problems = [], [], []
    partial = cache / f"{key}.{os.getpid()}.partial"
    with partial.open("wb") as packed, Progress(len(files), title) as progress:
        for path in files:
            try:
                wave = resample(*read_audio(path))
            except ValueError as error:
                problems.append(str(error))
            else:
                samples = (wave * 32768).round().clamp(-32768, 32767).to(torch.int16).numpy()
                packed.write(samples)
                lengths.append(len(samples))
                digests.append(hashlib.blake2b(samples, digest_size=16).hexdigest())
            progress.advance()
    if problems:
        partial.unlink()
        return problems
    partial.rename(cache / f"{key}.int16")
    write_atomically(cache / f"{key}.json", json.dumps({"lengths": lengths, "digests": digests}).encode())
    return []


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file under a temporary name, then rename it, so that a reader never sees half of it."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    partial.write_bytes(content)
    partial.replace(path)
