"""Waveforms of many files end to end on one device, or left in a file, and batches of clips cut from them."""

import os
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor


def inside(lengths: Tensor, length: int) -> Tensor:
    """1 up to each of `lengths` (B,), 0 behind: float32 (B, length)."""
    time = torch.arange(length, dtype=torch.float32, device=lengths.device)
    return (lengths[:, None] - time).clamp_(0, 1)  # on a CPU a comparison takes six times as long


@dataclass
class PackedAudio:
    """Waveforms of many files end to end."""

    samples: Tensor  # int16, all files, and possibly more behind them
    starts: Tensor  # int64 (N,)
    lengths: Tensor  # int64 (N,), in samples
    # a row per file: the sample_rate (Hz) and channels it had, its rms here, clipped (share of samples at full scale),
    # onset (seconds before it sounds), problem (why it cannot be used; empty otherwise) and digest (of its samples)
    sources: pd.DataFrame = field(default_factory=pd.DataFrame)
    margin: int = 0  # how many samples of its own beginning follow each file
    file: Path | None = None  # which `samples` are mapped from

    def __post_init__(self) -> None:
        self._last = int(self.starts.max()) if len(self.starts) else 0
        self._looped: PackedAudio | None = None  # with a margin, made at need

    def to(self, device: torch.device | str) -> "PackedAudio":
        """The same on another device."""
        return PackedAudio(*(x.to(device) for x in (self.samples, self.starts, self.lengths)), self.sources)

    def wave(self, index: int) -> Tensor:
        """File `index` as a whole: float32 (T,), on the CPU."""
        start = int(self.starts[index])
        return self.samples[start : start + int(self.lengths[index])].cpu() / 32768

    def clips(self, index: Tensor, length: int) -> tuple[Tensor, Tensor]:
        """Cut or zero-pad the files `index` (B,) to `length` samples: float32 (B, length) and true lengths (B,)."""
        index = index.to(self.lengths.device, non_blocking=True)
        lengths = self.lengths[index].clamp(max=length)
        return self._rows(self.starts[index], length).mul_(inside(lengths, length)), lengths

    def loops(self, index: Tensor, offsets: Tensor, length: int) -> Tensor:
        """Read `length` samples of files `index` (B,) from `offsets` (B,) on, starting over at a file's end."""
        if self._looped is None or self._looped.margin < length:
            margin = 1 << (length - 1).bit_length()
            files = self.samples[: int(self.lengths.sum())].split(self.lengths.tolist())
            copies = [file.repeat(1 + -(-margin // len(file)))[: len(file) + margin] for file in files]
            lengths = self.lengths + margin
            self._looped = PackedAudio(torch.cat(copies), lengths.cumsum(0) - lengths, lengths, margin=margin)
        return self._looped._rows(self._looped.starts[index] + offsets % self.lengths[index], length)

    def _rows(self, starts: Tensor, length: int) -> Tensor:
        """float32 (B, length) from each of `starts` (B,) on: rows of a view in which every sample begins a row."""
        if len(self.samples) < self._last + length:
            self.samples = torch.nn.functional.pad(self.samples, (0, self._last + length - len(self.samples)))
        every = self.samples.as_strided((len(self.samples) - length + 1, length), (1, 1))
        return every.index_select(0, starts).float().mul_(1 / 32768)


class StreamedAudio(PackedAudio):
    """The same, left in its file: what a batch needs is read from there, and only that is moved to `device`."""

    def __init__(self, audio: PackedAudio, device: torch.device | str):
        super().__init__(audio.samples, audio.starts, audio.lengths, audio.sources, file=audio.file)
        self._device = torch.device(device)

    def clips(self, index: Tensor, length: int) -> tuple[Tensor, Tensor]:
        """See `PackedAudio.clips`; `index` on the CPU, so that this waits for no device. OSError: the file was cut."""
        lengths = self.lengths[index].clamp(max=length)
        rows = torch.zeros(len(index), length, dtype=torch.int16, pin_memory=self._device.type == "cuda")
        with self.file.open("rb", buffering=0) as stream:
            for row, start, wanted in zip(rows.numpy(), self.starts[index].tolist(), lengths.tolist(), strict=True):
                if os.preadv(stream.fileno(), [memoryview(row[:wanted]).cast("B")], 2 * start) != 2 * wanted:
                    raise OSError(f"{self.file}: was cut; remove it, and the speech is read anew")
        clips, lengths = (x.to(self._device, non_blocking=True) for x in (rows, lengths))
        return clips.float().mul_(1 / 32768), lengths
