"""Spoken commands in the layout of Fluent Speech Commands, and noises in the layout of MS-SNSD."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from jointlib import COLUMNS, SPLITS
from jointlib.audio import PackedAudio, pack

CACHE = Path("cache")  # under the data folder


class CorpusError(ValueError):
    """Everything that is wrong with a corpus, a line each: file, row, value, and what would be right."""

    def __init__(self, root: Path, problems: Sequence[str]):
        shown = [*problems[:40], *([f"... and {len(problems) - 40} more"] if len(problems) > 40 else [])]
        super().__init__(f"{root}: {len(problems)} problem(s)\n" + "\n".join(f"  - {line}" for line in shown))


@dataclass
class Corpus:
    """A validated corpus.

    Attributes:
        manifest: a row per utterance: split, path, speaker, transcription, action, object, location, intent
            ("action / object / location") and label (its index in `intents`). Row i is file i of `audio`.
        intents: the label set, taken from the train split, sorted.
        audio: the waveforms, 16 kHz mono.
    """

    manifest: pd.DataFrame
    intents: list[str]
    audio: PackedAudio

    @classmethod
    def read(cls, root: Path | str, cache: Path | str | None = None) -> "Corpus":
        """Read ``root/data/{train,valid,test}_data.csv`` and the audio they name.

        Args:
            root: folder in FSC layout; audio of any rate, channel count and format that soundfile reads.
            cache: where packed waveforms are kept; beside `root` by default.

        Raises:
            CorpusError: lists every problem at once: missing files or columns, audio that cannot be read or is empty,
                a path that leaves the folder, a speaker in two splits, an intent that train lacks.
        """
        root = Path(root)
        tables, problems = [], []
        for split in SPLITS:
            table, found = _read_split(root, split)
            tables.append(table)
            problems += found
        manifest = pd.concat(tables, ignore_index=True)
        problems += _speakers_in_two_splits(manifest)
        intents = sorted(manifest.loc[manifest.split == "train", "intent"].unique())
        problems += _unknown_intents(manifest, set(intents))
        files = [root / path for path in manifest.path]
        readable = [file for file in files if file.is_file()]
        if readable:
            audio, found = pack(readable, Path(cache or root.parent / CACHE), f"Reading {root.name}")
            problems += found
        problems = problems or _recordings_in_two_splits(manifest, audio.digests)
        if problems:
            raise CorpusError(root, problems)
        manifest["label"] = manifest.intent.map({intent: label for label, intent in enumerate(intents)})
        return cls(manifest, intents, audio)

    def split(self, name: str) -> pd.DataFrame:
        """The manifest's rows of one split."""
        return self.manifest[self.manifest.split == name]


def _read_split(root: Path, split: str) -> tuple[pd.DataFrame, list[str]]:
    file = root / "data" / f"{split}_data.csv"
    empty = pd.DataFrame(columns=["split", *COLUMNS, "speaker", "intent"])
    if not file.is_file():
        return empty, [f"{file}: missing; a corpus in FSC layout has data/{{train,valid,test}}_data.csv"]
    try:
        table = pd.read_csv(file, dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        return empty, [f"{file}: not readable as UTF-8 CSV ({error})"]
    missing = [column for column in COLUMNS if column not in table]
    if missing or table.empty:
        return empty, [
            f"{file}: lacks {missing or 'rows'}; expected the columns {list(COLUMNS)} and a row an utterance"
        ]
    table = table[list(COLUMNS)].rename(columns={"speakerId": "speaker"})
    table["intent"] = table.action + " / " + table.object + " / " + table.location
    table.insert(0, "split", split)
    problems = []
    for row, path in enumerate(table.path, start=2):  # row 1 of the file is its header
        if Path(path).is_absolute() or ".." in Path(path).parts:
            problems.append(f"{file}, row {row}: path {path!r} leaves the corpus folder; it must stay below {root}")
        elif not (root / path).is_file():
            problems.append(f"{file}, row {row}: path {path!r} names no file below {root}")
    return table, problems


def _speakers_in_two_splits(manifest: pd.DataFrame) -> list[str]:
    splits = manifest.groupby("speaker").split.unique()
    return [
        f"speaker {speaker!r} is in {' and '.join(found)}; a speaker may be in one split only"
        for speaker, found in splits[splits.map(len) > 1].items()
    ]


def _recordings_in_two_splits(manifest: pd.DataFrame, digests: list[str]) -> list[str]:
    rows = manifest.assign(digest=digests).groupby("digest").agg(splits=("split", "unique"), path=("path", "first"))
    return [
        f"{row.path}: the same recording is in {' and '.join(row.splits)}; it may be in one split only"
        for row in rows[rows.splits.map(len) > 1].itertuples()
    ]


def _unknown_intents(manifest: pd.DataFrame, known: set[str]) -> list[str]:
    unknown = manifest[~manifest.intent.isin(known)] if known else manifest[:0]  # without train all would be
    return [
        f"data/{split}_data.csv: intent {intent!r} ({len(rows)} utterances) is not in the train split, so it cannot be "
        "learnt; add it there or leave it out"
        for (split, intent), rows in unknown.groupby(["split", "intent"])
    ]


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
            raise CorpusError(folder, ["missing or without noise files; expected names such as Typing_1.wav"])
        absent = sorted(set(types or ()) - set(manifest.type))
        if absent:
            raise CorpusError(folder, [f"no noise of type {absent}; there is {sorted(manifest.type.unique())}"])
        if types is not None:
            manifest = manifest[manifest.type.isin(types)].reset_index(drop=True)
        audio, problems = pack(manifest.file, Path(cache or folder.parent / CACHE), f"Reading {folder.name}")
        sounding = [] if problems else _sounding_frames(audio)
        silent = [not len(frames) for frames in sounding]
        problems += [f"{file}: silent throughout; remove it" for file in manifest.file[: len(silent)][silent]]
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
    for start, length in zip(audio.starts.tolist(), audio.lengths.tolist(), strict=True):
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
