"""Spoken commands in the layout of Fluent Speech Commands: a folder to a validated manifest."""

import functools
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from jointlib import COLUMNS, SPLITS
from jointlib.corpora.audio import pack
from jointlib.corpora.packed import PackedAudio

CACHE = "cache"  # beside the folder that is read


class CorpusError(ValueError):
    """Everything that is wrong with a corpus, a line each: file, row, value, and what would be right."""

    def __init__(self, root: Path, problems: Sequence[str]):
        self.problems = list(problems)
        super().__init__("\n  - ".join([f"{root}: {len(problems)} problem(s)", *first_few(self.problems, 40)]))


@dataclass
class Corpus:
    """A validated corpus."""

    # a row per utterance: path, speaker, transcription, action, object, location, split, place (CSV, row and path),
    # intent ("action / object / location") and label (its index in `intents`)
    manifest: pd.DataFrame
    intents: list[str]  # the label set, taken from the train split, sorted
    audio: PackedAudio  # 16 kHz mono; file i is row i of the manifest

    @classmethod
    def read(cls, root: Path | str, cache: Path | str | None = None) -> "Corpus":
        """Read ``root/data/{train,valid,test}_data.csv`` and the audio they name, of any rate, channels and format.

        Packed waveforms are kept in `cache`, a folder beside `root` by default. Raises CorpusError, which lists every
        problem at once: missing files or columns, audio that cannot be read, is cut off, empty or silent, a path that
        leaves the folder, a speaker or a recording in two splits, an intent that train lacks.
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
    names = ["path", "speaker", "transcription", "action", "object", "location", "split", "place", "intent"]
    tables, problems = [pd.DataFrame(columns=names, dtype=str)], []
    for split in SPLITS:
        try:
            tables.append(_read_split(root, split))
        except ValueError as error:
            problems.append(f"data/{split}_data.csv: {error}")
    manifest = pd.concat(tables, ignore_index=True)
    intents = sorted(manifest.intent[manifest.split == "train"].unique())
    problems += _table_problems(manifest, intents)
    found = _path_problems(root, manifest.path)
    problems += in_words(manifest.assign(problem=found)[found != ""])
    manifest = manifest[found == ""].reset_index(drop=True)
    audio = pack([root / path for path in manifest.path], cache or root.parent / CACHE, f"Reading {root.name}")
    checked = manifest.assign(problem=audio.sources.problem, digest=audio.sources.digest)
    problems += in_words(checked[checked.problem != ""])
    problems += in_two_splits(checked[checked.problem == ""], "digest", "the same recording")
    manifest["label"] = manifest.intent.map({intent: label for label, intent in enumerate(intents)})
    return Corpus(manifest, intents, audio), problems


def _read_split(root: Path, split: str) -> pd.DataFrame:
    """A split's part of the manifest, all of it text. Raises ValueError when its CSV cannot be read as one."""
    name = f"data/{split}_data.csv"
    if not (root / name).is_file():
        raise ValueError(f"missing; a corpus in FSC layout has {root}/data/{{train,valid,test}}_data.csv")
    try:
        with warnings.catch_warnings(action="error", category=pd.errors.ParserWarning):  # rows longer than the header
            table = pd.read_csv(root / name, dtype=str, keep_default_na=False, index_col=False, skip_blank_lines=False)
    except (ValueError, pd.errors.ParserWarning, OSError) as error:
        raise ValueError(f"not readable as UTF-8 CSV ({str(error).strip()})") from error
    missing = [column for column in COLUMNS if column not in table]
    table = table.reindex(columns=list(COLUMNS), fill_value="").fillna("")  # NaN: the row is too short
    blank = (table == "").all(axis=1)
    if missing or blank.all():
        raise ValueError(f"lacks {missing or 'rows'}; expected the columns {list(COLUMNS)} and a row per utterance")
    places = [f"{name}, row {row}: {repr(path)[1:-1]:.200}" for row, path in enumerate(table.path, start=2)]
    intent = table.action + " / " + table.object + " / " + table.location
    return table.rename(columns={"speakerId": "speaker"}).assign(split=split, place=places, intent=intent)[~blank]


def _table_problems(manifest: pd.DataFrame, intents: list[str]) -> list[str]:
    """What is wrong with speakers and intents, and which fields are empty."""
    problems = in_two_splits(manifest, "speaker", "speaker {!r}")
    for column in ("path", "speaker", "action", "object", "location"):
        problems += in_words(manifest[manifest[column] == ""], f"empty {column}; what an intent leaves open is none")
    if len(intents) == 1:
        problems.append(f"data/train_data.csv: {intents[0]!r} is the only intent; there is nothing to tell apart")
    unknown = manifest[~manifest.intent.isin(intents)] if intents else manifest[:0]  # without train all would be
    wrong = "intent {intent!r} is not in the train split, so it cannot be learnt; add it there or leave it out"
    return problems + in_words(unknown.drop_duplicates(["split", "intent"]), wrong)


def _path_problems(root: Path, paths: pd.Series) -> pd.Series:
    """Why each path cannot be used, empty where it can. Links are followed: nothing outside the corpus is read."""
    top, real_folder = os.path.realpath(root), functools.cache(os.path.realpath)

    def problem(path: str) -> str:
        file = root / path
        try:
            found, real = file.is_file(), os.path.realpath(file) if file.is_symlink() else real_folder(file.parent)
        except (OSError, ValueError):  # too long, or with a zero byte
            return "this path cannot be a file's name"
        if Path(path).is_absolute() or ".." in Path(path).parts or os.path.commonpath([top, real]) != top:
            return f"this path leaves the corpus folder; it must stay below {root}, links too"
        return "" if found else f"this path names no file below {root}"

    return paths.map(problem)


def in_two_splits(table: pd.DataFrame, column: str, what: str) -> list[str]:
    """A line for each value that a column has in several splits, with its first place in each."""
    firsts = table.drop_duplicates([column, "split"])
    places = firsts[firsts.duplicated(column, keep=False)].groupby(column, sort=False).place.agg(" and in ".join)
    return [f"{what.format(value)} is in {where}; it may be in one split only" for value, where in places.items()]


def in_words(table: pd.DataFrame, template: str = "{problem}") -> list[str]:
    """A line for each row: its place, and a template such as ``"only {seconds:.2f} s long"`` of its values."""
    return [f"{row['place']}: {template.format(**row)}" for row in table.to_dict("records")]


def first_few(lines: list[str], shown: int = 5) -> list[str]:
    """The first lines, and how many more there are."""
    return lines if len(lines) <= shown else [*lines[:shown], f"... and {len(lines) - shown} more"]
