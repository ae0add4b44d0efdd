"""Noises in the layout of MS-SNSD: a folder of ``<Type>_<n>`` files to packed waveforms and where they sound."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from jointlib.corpora.audio import pack
from jointlib.corpora.corpus import CACHE, CorpusError
from jointlib.corpora.packed import PackedAudio


@dataclass
class Noises:
    """Noise files of one folder.

    Attributes:
        manifest: a row per file: file and type (``Typing`` of ``Typing_3.wav``). Row i is file i of `audio`.
        audio: the waveforms, 16 kHz mono.
        sounding: per file, the samples at which a tenth of a second above -60 dBFS RMS begins. Recordings such as a
            dog's bark hold long digital silence, which no gain brings to an SNR.
    """

    manifest: pd.DataFrame
    audio: PackedAudio
    sounding: list[np.ndarray]

    @classmethod
    def read(cls, folder: Path | str, types: Sequence[str] | None = None, cache: Path | str | None = None) -> "Noises":
        """Read ``<Type>_<n>.<any audio ending>`` of a folder such as MS-SNSD's noise_train; all types, or those named.

        Raises:
            CorpusError: the folder is missing or empty, a named type is absent, or a file cannot be read.
        """
        folder = Path(folder)
        files = sorted(file for file in folder.glob("*_*.*") if file.is_file())
        manifest = pd.DataFrame({"file": files, "type": [file.stem.rpartition("_")[0] for file in files]})
        if manifest.empty:
            raise CorpusError(folder, [f"{folder}: missing or without noises; expected names such as Typing_1.wav"])
        absent = sorted(set(types or ()) - set(manifest.type))
        if absent:
            raise CorpusError(folder, [f"no noise of type {absent}; there is {sorted(manifest.type.unique())}"])
        if types is not None:
            manifest = manifest[manifest.type.isin(types)].reset_index(drop=True)
        audio, found = pack(manifest.file.tolist(), Path(cache or folder.parent / CACHE), f"Reading {folder.name}")
        sounding = _sounding_frames(audio)
        problems = [f"{file}: {what}" for file, what in zip(manifest.file, found, strict=True) if what]
        silent = [not problem and not len(frames) for problem, frames in zip(found, sounding, strict=True)]
        problems += [f"{file}: silent throughout; remove it" for file in manifest.file[silent]]
        if problems:
            raise CorpusError(folder, problems)
        return cls(manifest, audio, sounding)

    def stretch(self, row: int, offset: int, samples: int) -> Tensor:
        """File `row` from sample `offset` on, starting over at its end: (T,), on the CPU."""
        place = torch.tensor([[row], [offset]], device=self.audio.samples.device)
        return self.audio.loops(*place, samples)[0].cpu()


def _sounding_frames(audio: PackedAudio, frame: int = 1600) -> list[np.ndarray]:
    """Starts of the frames above -60 dBFS RMS, in samples, per file; a file shorter than a frame is one frame."""
    found = []
    for start, length in zip(audio.starts.tolist(), audio.lengths.clamp_min(1).tolist(), strict=True):
        wave = audio.samples[start : start + length].numpy().astype(np.float32) / 32768
        frames = np.resize(wave, (max(1, length // frame), min(frame, length)))
        found.append(np.flatnonzero(np.sqrt((frames**2).mean(axis=1)) > 1e-3) * frame)
    return found


def check_disjoint(train: Noises, test: Noises) -> None:
    """Raise CorpusError if a noise recording of the train folder is in the test folder too, whatever its name."""
    trained = dict(zip(train.audio.digests, train.manifest.file, strict=True))
    shared = [
        f"{file}: the same recording as {trained[digest]}; remove it from one of the folders"
        for file, digest in zip(test.manifest.file, test.audio.digests, strict=True)
        if digest in trained
    ]
    if shared:
        raise CorpusError(test.manifest.file[0].parent, shared)
