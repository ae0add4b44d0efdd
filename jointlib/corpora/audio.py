"""Audio files in, packed int16 waveforms out: one memory-mapped file, written once and found by content."""

import hashlib
import json
import math
import os
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from functools import partial
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
CONTAINERS = ("WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF", "NIST", "FLAC", "OGG", "MP3")  # that tell their end
RATES = (1000, 1_000_000)  # Hz
LONGEST = 2**29  # samples of all channels, 2 GiB as float32: 9 hours at 16 kHz
LOUDEST = 100.0  # of full scale; beyond are integers in a file of floats, or no audio
_FORMAT = "7"  # of the cache; what was written in another format is read anew
_SOURCE = ["sample_rate", "channels", "rms", "clipped", "onset", "problem", "digest", "samples"]
# torchaudio's documented equivalent of resampy's "kaiser_best"
_SINC = {"lowpass_filter_width": 64, "rolloff": 0.9475937167399596, "beta": 14.769656459379492}


def read_audio(path: Path | BinaryIO) -> tuple[Tensor, int]:
    """A file of one of the CONTAINERS: mono float32 (T,), and its rate in Hz.

    ValueError: not readable, cut off, empty, of an absurd rate or length, samples not finite or far beyond full scale.
    """
    wave, sample_rate = _read_channels(path)
    return torch.from_numpy(wave.mean(axis=1)), sample_rate


def _read_channels(path: Path | BinaryIO) -> tuple[np.ndarray, int]:
    """float32 (T, channels) and the rate in Hz; ValueError as `read_audio`."""
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
    # The cache is found by the files' contents; names, sizes and times only save reading unchanged files again. Unlike
    # the time of modification, that of the last change (ctime) is nobody's to set.
    cache, stats = Path(cache), zip(files, map(Path.stat, files), strict=True)
    names = [(str(file), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino) for file, stat in stats]
    seen = cache / "seen" / _digest(json.dumps([_FORMAT, names]))
    key = _read_sealed(seen)
    if not _is_whole(cache, key):
        seen.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(cache / ".lock"):  # a second process waits and finds what the first has written
            remove_partial(cache, r"[0-9a-f]{32}\.(int16|json)")
            remove_partial(seen.parent, "[0-9a-f]{32}")
            key = _digest(_FORMAT + "".join(_threaded(_content, files)))
            if not _is_whole(cache, key):
                _write_pack(files, cache, key, title)
            _write_sealed(seen, key)
    sources = _read_sources(cache, key)
    lengths = torch.tensor(sources.pop("samples").to_numpy(dtype=np.int64))
    # mode "c": torch wants writable memory; nothing is ever written back to the file
    samples = torch.from_numpy(np.memmap(cache / f"{key}.int16", np.int16, "c"))
    return PackedAudio(samples, lengths.cumsum(0) - lengths, lengths, sources)


def _write_pack(files: Sequence[Path], cache: Path, key: str, title: str) -> None:
    sources, checksum = [], 0
    with replacing(cache / f"{key}.int16") as packed, Progress(len(files), title) as progress:
        for samples, source in progress.over(_threaded(_decode, files)):
            packed.write(samples)
            checksum = zlib.crc32(samples, checksum)
            sources.append((*source, _digest(samples), len(samples)))
        packed.write(bytes(2 * TAIL))
    _write_sealed(cache / f"{key}.json", json.dumps([zlib.crc32(bytes(2 * TAIL), checksum), sources]))


def _is_whole(cache: Path, key: str) -> bool:
    """Whether both files of a pack are there as they were written; 19 hours take a second, and to hash them four."""
    record, packed = _read_sealed(cache / f"{key}.json"), cache / f"{key}.int16"
    if not record or not packed.is_file() or not packed.stat().st_size:
        return False
    return zlib.crc32(np.memmap(packed, np.uint8, "r")) == json.loads(record)[0]


def _read_sources(cache: Path, key: str) -> pd.DataFrame:
    return pd.DataFrame(json.loads(_read_sealed(cache / f"{key}.json"))[1], columns=_SOURCE)


def _write_sealed(file: Path, text: str) -> None:
    write_atomically(file, f"{_digest(file.name + text)}\n{text}".encode())


def _read_sealed(file: Path) -> str:
    """What `_write_sealed` wrote; empty if the file is missing, was changed, or is another one under this name."""
    seal, _, text = file.read_text(errors="replace").partition("\n") if file.is_file() else ("", "", "")
    return text if seal == _digest(file.name + text) else ""


def _threaded(function: Callable[[Path], Any], files: Sequence[Path]) -> Iterator[Any]:
    """`function` of every file, in order; decoding and hashing release the interpreter, so threads fill the cores."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(files), 256):  # so that little is decoded and not yet written
            yield from pool.map(function, files[start : start + 256])


_blake2b = partial(hashlib.blake2b, digest_size=16)


def _digest(content: str | np.ndarray) -> str:
    return _blake2b(content.encode(errors="surrogatepass") if isinstance(content, str) else content).hexdigest()


def _content(file: Path) -> str:
    with suppress(OSError), file.open("rb") as stream:  # decoding will say what is wrong with the file
        return hashlib.file_digest(stream, _blake2b).hexdigest()
    return ""


def _decode(file: Path) -> tuple[np.ndarray, tuple[int, int, float, float, float, str]]:
    """A file as int16 (T,) at 16 kHz; its own sample rate and channels, RMS and share of clipped samples; how many
    seconds it is silent at its beginning; and its problem."""
    try:
        wave, sample_rate = _read_channels(file)
    except ValueError as error:
        return np.zeros(0, np.int16), (0, 0, 0.0, 0.0, 0.0, str(error).removeprefix(f"{file}: "))
    mono = resample(torch.from_numpy(wave.mean(axis=1)), sample_rate)
    samples = (mono * 32768).round().clamp(-32768, 32767).to(torch.int16)
    rms = (
        (samples.double() / 32768).square().mean().sqrt().item()
    )  # of what is mixed, without what only higher rates hold
    onset = (samples.int().abs() > SILENCE * 32768).int().argmax().item() / SAMPLE_RATE
    clipped = float((np.abs(wave) >= 32767 / 32768).mean())
    problem = "silent throughout, so that no SNR can be set; remove it" if rms < SILENCE else ""
    return samples.numpy(), (sample_rate, wave.shape[1], rms, clipped, onset, problem)
