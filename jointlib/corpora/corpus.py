"""Spoken commands in the layout of Fluent Speech Commands: a folder to a validated manifest."""

import functools
import os
import stat
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from jointlib import COLUMNS, SPLITS
from jointlib.corpora.audio import pack
from jointlib.corpora.packed import PackedAudio

CACHE = Path("cache")  # under the data folder
SILENCE = 1e-4  # RMS, -80 dBFS: at 16 bits hardly more than the last one


class CorpusError(ValueError):
    """Everything that is wrong with a corpus, a line each: file, row, value, and what would be right."""

    def __init__(self, root: Path, problems: Sequence[str]):
        self.problems = list(problems)
        shown = [*problems[:40], *([f"... and {len(problems) - 40} more"] if len(problems) > 40 else [])]
        super().__init__(f"{root}: {len(problems)} problem(s)\n" + "\n".join(f"  - {line}" for line in shown))


@dataclass
class Corpus:
    """A validated corpus.

    Attributes:
        manifest: a row per utterance: split, row (of its CSV), path, speaker, transcription, action, object, location,
            intent ("action / object / location") and label (its index in `intents`). Row i is file i of `audio`.
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
            CorpusError: lists every problem at once: missing files or columns, audio that cannot be read, is cut off,
                empty or silent, a path that leaves the folder, a speaker or a recording in two splits, an intent that
                train lacks.
        """
        corpus, problems = read_all(Path(root), cache)
        if problems:
            raise CorpusError(Path(root), problems)
        return corpus

    def split(self, name: str) -> pd.DataFrame:
        """The manifest's rows of one split."""
        return self.manifest[self.manifest.split == name]


def read_all(root: Path, cache: Path | str | None = None) -> tuple[Corpus, list[str]]:
    """All of a corpus that can be read, and every problem, a line each. See `Corpus.read`."""
    tables, found = zip(*(_read_split(root, split) for split in SPLITS), strict=True)
    manifest, problems = pd.concat(tables, ignore_index=True), [line for lines in found for line in lines]
    problems += _speakers_in_two_splits(manifest)
    intents = sorted(manifest.loc[manifest.split == "train", "intent"].unique())
    problems += _unknown_intents(manifest, set(intents))
    if len(intents) == 1:
        problems.append(f"data/train_data.csv: {intents[0]!r} is the only intent; there is nothing to tell apart")
    unusable = _unusable_paths(root, manifest.path)
    problems += _at(manifest, unusable)
    manifest = manifest[unusable == ""].reset_index(drop=True)
    files = [root / path for path in manifest.path]
    audio, wrong = pack(files, Path(cache or root.parent / CACHE), f"Reading {root.name}")
    wrong[(wrong == "") & (audio.sources.rms < SILENCE)] = "silent throughout, so that no SNR can be set; remove it"
    problems += _at(manifest, wrong.where(wrong == "", manifest.path + ": " + wrong))
    problems += _recordings_in_two_splits(manifest[wrong == ""], audio.digests)
    manifest["label"] = manifest.intent.map({intent: label for label, intent in enumerate(intents)})
    return Corpus(manifest, intents, audio), problems


def place(row: pd.Series) -> str:
    """Where an utterance of a manifest is named: ``data/train_data.csv, row 7``; row 1 is the header."""
    return f"data/{row.split}_data.csv, row {row.row}"


def _at(manifest: pd.DataFrame, problems: pd.Series) -> list[str]:
    """The problems that are not empty, each with its place."""
    kept = problems[problems != ""]
    return [f"{place(manifest.loc[index])}: {problem}" for index, problem in kept.items()]


def _read_split(root: Path, split: str) -> tuple[pd.DataFrame, list[str]]:
    file = root / "data" / f"{split}_data.csv"
    empty = pd.DataFrame(columns=["split", "row", *COLUMNS, "speaker", "intent"])
    if not file.is_file():
        return empty, [f"{file}: missing; a corpus in FSC layout has data/{{train,valid,test}}_data.csv"]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # rows longer than the header
            table = pd.read_csv(file, dtype=str, keep_default_na=False, index_col=False, skip_blank_lines=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, pd.errors.ParserWarning, ValueError, OSError) as error:
        return empty, [f"{file}: not readable as UTF-8 CSV ({error})"]
    missing = [column for column in COLUMNS if column not in table]
    table = table.reindex(columns=list(COLUMNS), fill_value="").fillna("")  # NaN: a row that is too short
    table = table.rename(columns={"speakerId": "speaker"})
    table.insert(0, "split", split)
    table.insert(1, "row", range(2, len(table) + 2))
    table = table[(table.drop(columns=["split", "row"]) != "").any(axis=1)]  # blank lines count, but are no rows
    if missing or table.empty:
        return empty, [
            f"{file}: lacks {missing or 'rows'}; expected the columns {list(COLUMNS)} and a row an utterance"
        ]
    unnamed = (table == "").drop(columns="transcription")
    blank = unnamed.apply(lambda row: ", ".join(row.index[row]), axis=1) if unnamed.any(axis=None) else ""
    table["intent"] = table.action + " / " + table.object + " / " + table.location
    problems = pd.Series(blank, index=table.index)
    return table, _at(
        table, problems.where(problems == "", "empty " + problems + "; what an intent leaves open is none")
    )


def _unusable_paths(root: Path, paths: pd.Series) -> pd.Series:
    """Why each path cannot be used, empty where it can. Links are followed: nothing outside the corpus is read."""
    top, real_folder = os.path.realpath(root), functools.cache(os.path.realpath)

    def problem(path: str) -> str:
        file = root / path
        try:
            is_file = bool(path) and stat.S_ISREG(file.stat().st_mode) if os.path.lexists(file) else False
            real = os.path.realpath(file) if file.is_symlink() else real_folder(file.parent)
        except (OSError, ValueError) as error:  # a name with a zero byte, a link in a circle
            return f"path {path!r} cannot be a file's name ({error})"
        if Path(path).is_absolute() or ".." in Path(path).parts or os.path.commonpath([top, real]) != top:
            return f"path {path!r} leaves the corpus folder; it must stay below {root}, links too"
        return "" if is_file else f"path {path!r:.200} names no file below {root}"

    return paths.map(problem)


def _speakers_in_two_splits(manifest: pd.DataFrame) -> list[str]:
    lines = []
    for speaker, rows in manifest.groupby("speaker"):
        if rows.split.nunique() > 1:
            firsts = rows.drop_duplicates("split")
            where = "; ".join(place(row) for _, row in firsts.iterrows())
            found = " and ".join(firsts.split)
            lines.append(f"speaker {speaker!r} is in {found}; a speaker may be in one split only (first in {where})")
    return lines


def _recordings_in_two_splits(manifest: pd.DataFrame, digests: list[str]) -> list[str]:
    lines = []
    for _, rows in manifest.groupby([digests[index] for index in manifest.index]):
        if rows.split.nunique() > 1:
            named = [f"{place(row)}: {row.path}" for _, row in rows.drop_duplicates("split").iterrows()]
            lines.append(f"the same recording is in {' and in '.join(named)}; it may be in one split only")
    return lines


def _unknown_intents(manifest: pd.DataFrame, known: set[str]) -> list[str]:
    unknown = manifest[~manifest.intent.isin(known)] if known else manifest[:0]  # without train all would be
    return [
        f"data/{split}_data.csv: intent {intent!r} ({len(rows)} utterances) is not in the train split, so it cannot be "
        f"learnt; add it there or leave it out (first in row {rows.row.iloc[0]})"
        for (split, intent), rows in unknown.groupby(["split", "intent"])
    ]
