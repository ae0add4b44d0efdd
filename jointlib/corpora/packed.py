"""Waveforms of many files end to end on one device, and batches of clips cut from them without an index a sample."""

from dataclasses import dataclass, field

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
    # problem (why it cannot be used; empty otherwise) and digest (a hash of its samples here)
    sources: pd.DataFrame = field(default_factory=pd.DataFrame)
    margin: int = 0  # how many samples of its own beginning follow each file

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
