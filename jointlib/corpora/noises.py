"""Noises in the layout of MS-SNSD: a folder of ``<Type>_<n>`` files to packed waveforms and where they sound."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from jointlib.corpora.audio import is_audio
from jointlib.corpora.corpus import CorpusError, in_two_splits, in_words
from jointlib.corpora.packed import PackedAudio, pack

NOISES = ("noise_train", "noise_test")  # the two folders


@dataclass
class Noises:
    """Noise files of one folder, and where they sound: no gain brings a dog's long digital silences to an SNR."""

    manifest: pd.DataFrame  # a row per file: file, type (Typing of Typing_3.wav), split (the folder), place (the file)
    audio: PackedAudio  # 16 kHz mono; file i is row i of the manifest
    sounding: list[np.ndarray]  # per file, the samples at which a tenth of a second above -60 dBFS RMS begins

    @classmethod
    def read(cls, folder: Path | str, types: Sequence[str] | None = None) -> "Noises":
        """Read ``<Type>_<n>.<any audio ending>`` of a folder such as MS-SNSD's noise_train, and no other file; all
        types, or those named.

        Raises CorpusError if the folder is missing or empty, a named type is absent, or a file is unreadable or silent.
        """
        folder = Path(folder)
        files = sorted(filter(is_audio, folder.glob("?*_*.*")))
        manifest = pd.DataFrame({"file": files, "type": [file.stem.rpartition("_")[0] for file in files]})
        if manifest.empty:
            raise CorpusError(folder, [f"{folder}: missing or without noises; expected names such as Typing_1.wav"])
        if absent := sorted(set(types or ()) - set(manifest.type)):
            raise CorpusError(folder, [f"no noise of type {absent}; there is {sorted(manifest.type.unique())}"])
        manifest = manifest[manifest.type.isin(types or manifest.type)].reset_index(drop=True)
        manifest = manifest.assign(split=folder.name, place=manifest.file.map(str))
        audio = pack(manifest.file.tolist(), f"Reading {folder.name}")
        sounding = []
        for wave in map(audio.wave, range(len(manifest))):
            frames = np.resize(wave.numpy(), (len(wave) // 1600, 1600))
            sounding.append(np.flatnonzero(np.sqrt((frames**2).mean(axis=1)) > 1e-3) * 1600)
        unread, silent = audio.sources.problem != "", np.array([not len(starts) for starts in sounding])
        problems = in_words(manifest.join(audio.sources.problem), unread, "{problem}")
        problems += in_words(manifest, silent & ~unread, "silent throughout; remove it")
        if problems:
            raise CorpusError(folder, problems)
        return cls(manifest, audio, sounding)


def check_disjoint(train: Noises, test: Noises) -> None:
    """Raise CorpusError if a noise recording of the train folder is in the test folder too, whatever its name."""
    both = [part.manifest.assign(split=part is test, digest=part.audio.sources.digest) for part in (train, test)]
    if shared := in_two_splits(pd.concat(both), "digest", "the same recording", "remove it from one"):
        raise CorpusError(test.manifest.file[0].parent, shared)
