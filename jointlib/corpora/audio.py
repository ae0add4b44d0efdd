"""Audio files in, packed int16 waveforms out: one memory-mapped file, written once and found by content."""

import hashlib
import json
import math
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd
import scipy.signal
import soundfile
import torch
import torchaudio.functional as AF
from filelock import FileLock
from torch import Tensor

from jointlib import SAMPLE_RATE
from jointlib.corpora.packed import PackedAudio
from jointlib.support.files import remove_partial, replacing, write_atomically
from jointlib.support.progress import Progress

SILENCE = 1e-4  # RMS, -80 dBFS: at 16 bits hardly more than the last one
TAIL = 160_000  # samples of silence behind the last file, so that clips of it need no copy of the rest
_FORMAT = "6"  # of the cache; what was written in another format is read anew
_SOURCE = ["sample_rate", "channels", "rms", "clipped", "problem", "digest"]
_BYTE_ORDER = {b"RIFF": "little", b"RIFX": "big", b"FORM": "big"}  # of wav and aiff files
# torchaudio's documented equivalent of resampy's "kaiser_best"
_SINC = {"lowpass_filter_width": 64, "rolloff": 0.9475937167399596, "beta": 14.769656459379492}


def read_audio(path: Path | BinaryIO) -> tuple[Tensor, int]:
    """Anything that soundfile reads: mono float32 (T,), and its rate in Hz. ValueError: unreadable, cut, not finite."""
    wave, sample_rate = _read_channels(path)
    return torch.from_numpy(wave.mean(axis=1)), sample_rate


def _read_channels(path: Path | BinaryIO) -> tuple[np.ndarray, int]:
    """float32 (T, channels) and the rate in Hz; ValueError if unreadable, cut off, empty, or with NaN or infinity."""
    try:
        with soundfile.SoundFile(path) as audio:
            wave, announced, sample_rate = audio.read(dtype="float32", always_2d=True), audio.frames, audio.samplerate
        _check_size(path)
    except (soundfile.SoundFileError, OSError, MemoryError) as error:  # a header may announce terabytes
        raise ValueError(f"{path}: not readable as audio ({error}); expected wav, flac, ogg or the like") from error
    if not len(wave):
        raise ValueError(f"{path}: holds no samples")
    if len(wave) < 0.99 * announced:  # some mp3 files announce a little more than they hold
        raise ValueError(f"{path}: ends early, after {len(wave)} of {announced} samples; copy it again")
    if not np.isfinite(wave).all():
        raise ValueError(f"{path}: holds samples that are not finite numbers")
    return wave, sample_rate


def _check_size(path: Path | BinaryIO) -> None:
    """Raise ValueError if a wav or aiff file is shorter than its header says; libsndfile reads what is left of it."""
    with Path(path).open("rb") if isinstance(path, str | Path) else nullcontext(path) as file:
        file.seek(0)
        form, field = file.read(4), file.read(4)
        size = file.seek(0, os.SEEK_END)
    announced = int.from_bytes(field, _BYTE_ORDER[form]) if form in _BYTE_ORDER else 0
    # who writes to a pipe does not know the size yet, and puts 0, 0x7FFFxxxx or 0xFFFFFFFF there
    if announced < 0x7FFF0000 and size < 0.99 * announced:
        raise ValueError(f"{path}: ends early, after {size} of {announced + 8} bytes; copy it again")


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


def pack(files: Sequence[Path], cache: Path | str, title: str) -> PackedAudio:
    """Read files as 16 kHz mono into one memory-mapped array; a spoilt one has no samples, and `sources` says why."""
    # the cache is found by the files' contents; names, sizes and times only save reading unchanged files again
    cache, stats = Path(cache), zip(files, map(Path.stat, files), strict=True)
    names = [(str(file), stat.st_size, stat.st_mtime_ns) for file, stat in stats]
    seen = cache / "seen" / _digest(json.dumps([_FORMAT, names]))
    if not seen.exists():
        seen.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(cache / ".lock"):  # a second process waits and finds what the first has written
            remove_partial(cache, r"[0-9a-f]{32}\.(int16|json)")
            remove_partial(seen.parent, "[0-9a-f]{32}")
            key = _digest(_FORMAT + "".join(_threaded(_content, files)))
            if not (cache / f"{key}.json").exists():
                _write_pack(files, cache, key, title)
            write_atomically(seen, key.encode())
    key = seen.read_text()
    sources = pd.DataFrame(json.loads((cache / f"{key}.json").read_text()), columns=[*_SOURCE, "samples"])
    lengths = torch.tensor(sources.pop("samples").to_numpy(dtype=np.int64))
    # mode "c": torch wants writable memory; nothing is ever written back to the file
    samples = torch.from_numpy(np.memmap(cache / f"{key}.int16", np.int16, "c"))
    return PackedAudio(samples, lengths.cumsum(0) - lengths, lengths, sources)


def _write_pack(files: Sequence[Path], cache: Path, key: str, title: str) -> None:
    sources = []
    with replacing(cache / f"{key}.int16") as packed, Progress(len(files), title) as progress:
        for samples, source in progress.over(_threaded(_decode, files)):
            packed.write(samples)
            sources.append((*source, _digest(samples), len(samples)))
        packed.write(bytes(2 * TAIL))
    write_atomically(cache / f"{key}.json", json.dumps(sources).encode())


def _threaded(function: Callable[[Path], Any], files: Sequence[Path]) -> Iterator[Any]:
    """`function` of every file, in order; decoding and hashing release the interpreter, so threads fill the cores."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(files), 256):  # so that little is decoded and not yet written
            yield from pool.map(function, files[start : start + 256])


def _digest(content: str | bytes | np.ndarray) -> str:
    return hashlib.blake2b(content.encode() if isinstance(content, str) else content, digest_size=16).hexdigest()


def _content(file: Path) -> str:
    with suppress(OSError):  # decoding will say what is wrong with the file
        return _digest(file.read_bytes())
    return ""


def _decode(file: Path) -> tuple[np.ndarray, tuple[int, int, float, float, str]]:
    """A file as int16 (T,) at 16 kHz; its own sample rate, channels, RMS, share of clipped samples, and its problem."""
    try:
        wave, sample_rate = _read_channels(file)
    except ValueError as error:
        return np.zeros(0, np.int16), (0, 0, 0.0, 0.0, str(error).removeprefix(f"{file}: "))
    mono = torch.from_numpy(wave.mean(axis=1))
    samples = (resample(mono, sample_rate) * 32768).round().clamp(-32768, 32767).to(torch.int16).numpy()
    rms, clipped = mono.square().mean().sqrt().item(), float((np.abs(wave) >= 32767 / 32768).mean())
    problem = "silent throughout, so that no SNR can be set; remove it" if rms < SILENCE else ""
    return samples, (sample_rate, wave.shape[1], rms, clipped, problem)
