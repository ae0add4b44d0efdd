"""Audio files in, packed int16 waveforms out: one memory-mapped file, written once and keyed by content."""

import hashlib
import json
import math
import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd
import scipy.signal
import soundfile
import torch
import torch.nn.functional as F
import torchaudio.functional as AF
from filelock import FileLock
from torch import Tensor

from jointlib import SAMPLE_RATE
from jointlib.corpora.packed import PackedAudio
from jointlib.support.files import remove_partial, replacing, write_atomically
from jointlib.support.progress import Progress

_FORMAT = "5"  # of the cache; what was written in another one is made anew
_ABOUT = ("sample_rate", "channels", "rms", "clipped", "samples", "digest", "problem")  # what the cache says of a file
TAIL = 160_000  # samples of silence behind the last file, so that clips of it need no copy of the rest
FULL_SCALE = 32767 / 32768  # a sample of this size or above is clipped
# torchaudio's documented equivalent of resampy's "kaiser_best"
_SINC = {"lowpass_filter_width": 64, "rolloff": 0.9475937167399596, "beta": 14.769656459379492}


def read_audio(path: Path | BinaryIO) -> tuple[Tensor, int]:
    """Read any format that soundfile reads, from a path or an open file, as mono float32 (T,) with its own rate in Hz.

    Raises:
        ValueError: the file cannot be read as audio, ends early, holds no sample, or holds NaN or infinity.
    """
    wave, sample_rate = _read_channels(path)
    return torch.from_numpy(wave.mean(axis=1)), sample_rate


def _read_channels(path: Path | BinaryIO) -> tuple[np.ndarray, int]:
    """float32 (T, channels) and the rate in Hz."""
    try:
        with soundfile.SoundFile(path) as opened:
            wave = opened.read(dtype="float32", always_2d=True)
            announced, sample_rate = _announced_samples(opened), opened.samplerate
    except (soundfile.SoundFileError, OSError, MemoryError) as error:  # a header may announce terabytes
        raise ValueError(f"{path}: not readable as audio ({error}); expected wav, flac, ogg or the like") from error
    if not len(wave):
        raise ValueError(f"{path}: holds no samples")
    if len(wave) < 0.99 * announced:  # some mp3 files announce a little more than they hold
        raise ValueError(f"{path}: ends early, after {len(wave)} of {announced} samples; copy it again")
    if not np.isfinite(wave).all():
        raise ValueError(f"{path}: holds samples that are not finite numbers")
    return wave, sample_rate


def _announced_samples(opened: soundfile.SoundFile) -> int:
    """How many samples a file says it holds, per channel; of a cut wav libsndfile reports what is left."""
    size = re.search(r"^\s*(?:data|SSND)\s*: (\d+) \(should be (\d+)\)", opened.extra_info, re.MULTILINE)
    if size is None or int(size[1]) >= 0x7FFF0000 or not int(size[2]):  # a stream's writer did not know its length
        return opened.frames
    return opened.frames * int(size[1]) // int(size[2])


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


def pack(files: Sequence[Path], cache: Path, title: str) -> tuple[PackedAudio, pd.Series]:
    """Read files as 16 kHz mono into one memory-mapped array; from the cache when their contents are known.

    The cache is found by the files' contents; names, sizes and times only spare reading unchanged files again.

    Returns:
        The packed audio, and what is wrong with each file, empty where nothing is. A file that cannot be read is there
        with no samples.
    """
    stats = [(str(path), stat.st_size, stat.st_mtime_ns) for path in files for stat in [Path(path).stat()]]
    seen = cache / "seen" / hashlib.blake2b(json.dumps([_FORMAT, stats]).encode(), digest_size=16).hexdigest()
    if not seen.exists():
        seen.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(cache / ".lock"):  # a second process waits and finds what the first has written
            remove_partial(cache)
            remove_partial(seen.parent)
            key = _content_key(files)
            if not (cache / f"{key}.json").exists():
                _write_pack(files, cache, key, title)
            write_atomically(seen, key.encode())
    key = seen.read_text()
    about = pd.DataFrame(json.loads((cache / f"{key}.json").read_text()), columns=list(_ABOUT))
    lengths = torch.tensor(about.pop("samples").to_numpy(dtype=np.int64))
    problems = about.pop("problem")
    # mode "c": torch wants writable memory; nothing is ever written back to the file
    samples = torch.from_numpy(np.memmap(cache / f"{key}.int16", np.int16, "c"))
    return PackedAudio(samples, lengths.cumsum(0) - lengths, lengths, about.pop("digest").tolist(), about), problems


def _threaded(function: Any, files: Sequence[Path]) -> Iterator[Any]:
    """`function` of every file, in order; decoding and hashing leave the interpreter, so threads fill the cores."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(files), 256):  # what is decoded and not yet written stays small
            yield from pool.map(function, files[start : start + 256])


def _content_key(files: Sequence[Path]) -> str:
    digest = hashlib.blake2b(_FORMAT.encode(), digest_size=16)
    for part in _threaded(_hash, files):
        digest.update(part)
    return digest.hexdigest()


def _hash(path: Path) -> bytes:
    try:
        return hashlib.blake2b(Path(path).read_bytes(), digest_size=16).digest()
    except OSError:  # decoding will say what is wrong with it
        return b""


def _decode(path: Path) -> tuple[np.ndarray, dict[str, Any]]:
    """A file as int16 (T,) at 16 kHz, and what there is to say about it."""
    try:
        wave, sample_rate = _read_channels(path)
    except ValueError as error:
        about = {"sample_rate": 0, "channels": 0, "rms": 0.0, "clipped": 0.0}
        return np.zeros(0, np.int16), about | {"problem": str(error).removeprefix(f"{path}: ")}
    mono = torch.from_numpy(wave.mean(axis=1))
    samples = (resample(mono, sample_rate) * 32768).round().clamp(-32768, 32767).to(torch.int16).numpy()
    return samples, {
        "sample_rate": sample_rate,
        "channels": wave.shape[1],
        "rms": mono.square().mean().sqrt().item(),
        "clipped": float((np.abs(wave) >= FULL_SCALE).mean()),
        "problem": "",
    }


def _write_pack(files: Sequence[Path], cache: Path, key: str, title: str) -> None:
    abouts = []
    with replacing(cache / f"{key}.int16") as packed, Progress(len(files), title) as progress:
        for samples, about in progress.over(_threaded(_decode, files)):
            packed.write(samples)
            digest = hashlib.blake2b(samples, digest_size=16).hexdigest()
            abouts.append(about | {"samples": len(samples), "digest": digest})
        packed.write(bytes(2 * TAIL))
    write_atomically(cache / f"{key}.json", json.dumps(abouts).encode())
