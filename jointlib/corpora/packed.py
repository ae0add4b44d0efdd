"""Waveforms of many files end to end, in a mapped file or in memory, and batches of clips cut from them."""

import hashlib
import json
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from filelock import FileLock
from joblib import cpu_count
from torch import Tensor

from jointlib import ROOT, SAMPLE_RATE
from jointlib.corpora.audio import read_audio, resample
from jointlib.support.files import replacing, write_json
from jointlib.support.progress import Progress

CACHE = ROOT / "data/cache"
SILENCE = 1e-4  # RMS, -80 dBFS: at 16 bits hardly more than the last one
_FORMAT = 9  # of the cache; what was written in another format is not found
_COLUMNS = ("sample_rate", "rms", "clipped", "onset", "problem", "digest", "samples")  # of its table


@dataclass
class PackedAudio:
    """Waveforms of many files end to end. Where each begins is known on the CPU; the samples may be on a GPU."""

    samples: Tensor  # int16, all files
    starts: Tensor  # int64 (N,)
    lengths: Tensor  # int64 (N,), in samples
    # a row per file: the sample_rate (Hz) it had, its rms here, clipped (share of samples at full scale), onset
    # (seconds before it sounds), problem (why it cannot be used; empty otherwise) and digest (of its samples)
    sources: pd.DataFrame = field(default_factory=pd.DataFrame)

    def wave(self, index: int) -> Tensor:
        """File `index` as a whole: float32 (T,), on the CPU."""
        return self._file(index).cpu() / 32768

    def clips(self, index: Tensor, length: int) -> tuple[Tensor, Tensor]:
        """Cut or zero-pad the files `index` (B,) to `length` samples: float32 (B, length) and true lengths (B,)."""
        clips = self.samples.new_zeros(len(index), length)
        for clip, row in zip(clips, index.tolist(), strict=True):
            file = self._file(row)[:length]
            clip[: len(file)] = file
        lengths = self.lengths[index].clamp(max=length).to(clips.device, non_blocking=True)
        return clips.float().mul_(1 / 32768), lengths

    def loops(self, index: Tensor, offsets: Tensor, length: int) -> Tensor:
        """Cut `length` samples of files `index` (B,) from `offsets` (B,) on, starting over at a file's end."""
        loops = []
        for row, offset in zip(index.tolist(), offsets.tolist(), strict=True):
            file = self._file(row)
            loop = file[offset % len(file) :][:length]
            while len(loop) < length:
                loop = torch.cat([loop, file[: length - len(loop)]])
            loops.append(loop)
        return torch.stack(loops).float().mul_(1 / 32768)

    def _file(self, index: int) -> Tensor:
        start = int(self.starts[index])
        return self.samples[start : start + int(self.lengths[index])]


def pack(files: Sequence[Path], title: str) -> PackedAudio:
    """Read files as 16 kHz mono into one memory-mapped array; a spoilt one has no samples, and `sources` says why.

    The array is kept in `CACHE`, and found again as long as paths, sizes and times of modification of the files are the
    same. Where one is spoilt, all are read again next time: the fault may be the disk's, and pass.
    """
    known = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    key = hashlib.blake2b(json.dumps([_FORMAT, known]).encode(), digest_size=16).hexdigest()
    packed, table = CACHE / f"{key}.int16", CACHE / f"{key}.json"
    CACHE.mkdir(parents=True, exist_ok=True)
    with FileLock(CACHE / ".lock"):  # a second process waits, and finds what the first has written
        if not (packed.exists() and table.exists()):
            write_json(table, _write(files, packed, title))
        sources = pd.DataFrame(json.loads(table.read_text()), columns=list(_COLUMNS))
        if (sources.problem != "").any():
            table.unlink()
    lengths = torch.tensor(sources.pop("samples").to_numpy(dtype=np.int64))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch would rather write to it, too, but memory may be smaller
        samples = torch.from_numpy(np.memmap(packed, np.int16, "r"))
    return PackedAudio(samples, lengths.cumsum(0) - lengths, lengths, sources)


def _write(files: Sequence[Path], packed: Path, title: str) -> list[tuple]:
    """Write the samples of all files, and return the rows of their table."""
    rows = []
    with replacing(packed) as stream, Progress(len(files), title) as progress, ThreadPoolExecutor(cpu_count()) as pool:
        for start in range(0, len(files), 256):  # decoding releases the interpreter; not all is held in memory
            for samples, row in progress.over(pool.map(_decode, files[start : start + 256])):
                stream.write(samples)
                rows.append(row)
        stream.write(bytes(2))  # an empty file cannot be mapped
    return rows


def _decode(file: Path) -> tuple[np.ndarray, tuple]:
    """A file as int16 (T,) at 16 kHz, and its row of the table."""
    try:
        wave, sample_rate = read_audio(file)
    except ValueError as error:
        return np.zeros(0, np.int16), (0, 0.0, 0.0, 0.0, str(error).removeprefix(f"{file}: "), "", 0)
    samples = (resample(wave, sample_rate) * 32768).round().clamp(-32768, 32767).to(torch.int16)
    rms = (samples.double() / 32768).square().mean().sqrt().item()  # at 16 kHz, as it will be mixed
    onset = (samples.int().abs() > SILENCE * 32768).int().argmax().item() / SAMPLE_RATE
    clipped = (wave.abs() >= 32767 / 32768).double().mean().item()
    problem = "silent throughout, so that no SNR can be set; remove it" if rms < SILENCE else ""
    digest = hashlib.blake2b(samples.numpy(), digest_size=16).hexdigest()
    return samples.numpy(), (sample_rate, rms, clipped, onset, problem, digest, len(samples))
