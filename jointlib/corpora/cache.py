"""Audio files as packed int16 waveforms: one memory-mapped file, written once and found by content."""

import hashlib
import json
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from filelock import FileLock

from jointlib import SAMPLE_RATE
from jointlib.corpora.audio import read_channels, resample
from jointlib.corpora.packed import PackedAudio
from jointlib.support.files import remove_partial, replacing, write_atomically
from jointlib.support.progress import Progress
from jointlib.support.workers import cores

SILENCE = 1e-4  # RMS, -80 dBFS: at 16 bits hardly more than the last one
TAIL = 160_000  # samples of silence behind the last file, so that clips of it need no copy of the rest
_FORMAT = "7"  # of the cache; what was written in another format is read anew
_SOURCE = ["sample_rate", "channels", "rms", "clipped", "onset", "problem", "digest", "samples"]


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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch would rather write to it, too, but memory may be smaller
        samples = torch.from_numpy(np.memmap(cache / f"{key}.int16", np.int16, "r"))
    return PackedAudio(samples, lengths.cumsum(0) - lengths, lengths, sources, file=cache / f"{key}.int16")


def _write_pack(files: Sequence[Path], cache: Path, key: str, title: str) -> None:
    sources, checksum = [], 0
    with replacing(cache / f"{key}.int16") as packed, Progress(len(files), title) as progress:
        for samples, source, passing in progress.over(_threaded(_decode, files)):
            packed.write(samples)
            checksum = zlib.crc32(samples, checksum)
            sources.append((*source, "" if passing else _digest(samples), len(samples)))
        packed.write(bytes(2 * TAIL))
    _write_sealed(cache / f"{key}.json", json.dumps([zlib.crc32(bytes(2 * TAIL), checksum), sources]))


def _is_whole(cache: Path, key: str) -> bool:
    """Whether both files of a pack are there as they were written; 19 hours take a second, and to hash them four.

    One with a file that could not be read for a reason which may pass, and so has no digest, is not.
    """
    record, packed = _read_sealed(cache / f"{key}.json"), cache / f"{key}.int16"
    if not record or not packed.is_file() or not packed.stat().st_size:
        return False
    checksum, sources = json.loads(record)
    settled = all(source[_SOURCE.index("digest")] for source in sources)
    return settled and zlib.crc32(np.memmap(packed, np.uint8, "r")) == checksum


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
    with ThreadPoolExecutor(cores()) as pool:
        for start in range(0, len(files), 256):  # so that little is decoded and not yet written
            yield from pool.map(function, files[start : start + 256])


_blake2b = partial(hashlib.blake2b, digest_size=16)


def _digest(content: str | np.ndarray) -> str:
    return _blake2b(content.encode(errors="surrogatepass") if isinstance(content, str) else content).hexdigest()


def _content(file: Path) -> str:
    with suppress(OSError), file.open("rb") as stream:  # decoding will say what is wrong with the file
        return hashlib.file_digest(stream, _blake2b).hexdigest()
    return ""


def _decode(file: Path) -> tuple[np.ndarray, tuple[int, int, float, float, float, str], bool]:
    """A file as int16 (T,) at 16 kHz; its own sample rate and channels, RMS and share of clipped samples, how many
    seconds it is silent at its beginning, and its problem; and whether that lies not in the file, and may pass."""
    try:
        wave, sample_rate = read_channels(file)
    except ValueError as error:
        passing = isinstance(error.__cause__, OSError | MemoryError | TypeError)  # the last: its name
        return np.zeros(0, np.int16), (0, 0, 0.0, 0.0, 0.0, str(error).removeprefix(f"{file}: ")), passing
    mono = resample(torch.from_numpy(wave.mean(axis=1)), sample_rate)
    samples = (mono * 32768).round().clamp(-32768, 32767).to(torch.int16)
    # of what is mixed, without what only higher rates hold
    rms = (samples.double() / 32768).square().mean().sqrt().item()
    onset = (samples.int().abs() > SILENCE * 32768).int().argmax().item() / SAMPLE_RATE
    clipped = float((np.abs(wave) >= 32767 / 32768).mean())
    problem = "silent throughout, so that no SNR can be set; remove it" if rms < SILENCE else ""
    return samples.numpy(), (sample_rate, wave.shape[1], rms, clipped, onset, problem), False
