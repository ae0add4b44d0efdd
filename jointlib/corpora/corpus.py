"""Spoken commands in the layout of Fluent Speech Commands: a folder to a validated manifest."""

import csv
import functools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from jointlib import COLUMNS, SAMPLE_RATE, SPLITS
from jointlib.corpora.cache import pack
from jointlib.corpora.packed import PackedAudio

CACHE = "cache"  # beside the folder that is read
SHORTEST = 0.1  # seconds; a noise need not sound in less (see `Noises`)


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
        problem at once: missing files or columns, stray quotes or blanks, audio that cannot be read, is cut off, empty,
        silent or shorter than 0.1 s, a path that leaves the folder or is given twice, a speaker or a recording in two
        splits, an intent that train lacks, or that two combinations of action, object and location share.
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
    seconds = audio.lengths.numpy() / SAMPLE_RATE
    short = pd.Series(seconds < SHORTEST, dtype=bool) & (audio.sources.problem == "")
    found = audio.sources.problem.mask(short, "shorter than 0.1 s, so that a noise need not sound in it; remove it")
    checked = manifest.assign(problem=found, digest=audio.sources.digest)
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
        header, *rows = _read_rows(root / name)
    except (UnicodeDecodeError, OSError) as error:
        raise ValueError(f"not readable as UTF-8 CSV ({error})") from error
    if missing := [column for column in COLUMNS if header.count(column) != 1]:
        raise ValueError(f"lacks {missing}, or has them twice; expected the columns {list(COLUMNS)}")
    if not any(map(any, rows)):
        raise ValueError("lacks rows; expected one per utterance")
    if uneven := [place for place, row in enumerate(rows, start=2) if any(row) and len(row) != len(header)]:
        raise ValueError(f"row {', '.join(map(str, uneven[:5]))}: expected {len(header)} fields, as the header has")
    named = {place: dict(zip(header, row, strict=True)) for place, row in enumerate(rows, start=2) if any(row)}
    table = pd.DataFrame(list(named.values()), columns=list(COLUMNS), dtype=str)
    places = [f"{name}, row {row}: {repr(path)[1:-1]:.200}" for row, path in zip(named, table.path, strict=True)]
    intent = table.action + " / " + table.object + " / " + table.location
    return table.rename(columns={"speakerId": "speaker"}).assign(split=split, place=places, intent=intent)


def _read_rows(file: Path) -> list[list[str]]:
    """A CSV's rows, header first, every field as it stands. ValueError: quotes or line breaks make two rows one."""
    rows = []
    with file.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.reader(stream, strict=True)
        try:
            for row in reader:
                if reader.line_num > len(rows) + 1:
                    raise csv.Error("a field goes on in the next row")
                rows.append(row)
        except csv.Error as error:
            raise ValueError(f"row {len(rows) + 1}: {error}; look for a stray quote or a line break") from error
    return rows or [[]]


def _table_problems(manifest: pd.DataFrame, intents: list[str]) -> list[str]:
    """What is wrong with speakers and intents, and which fields are empty or have blanks around them."""
    problems = in_two_splits(manifest, "speaker", "speaker {!r}")
    for column in ("path", "speaker", "action", "object", "location"):
        problems += in_words(manifest[manifest[column] == ""], f"empty {column}; what an intent leaves open is none")
        blank = manifest[column].str.strip() != manifest[column]
        problems += in_words(manifest[blank], f"{column} {{{column}!r}} begins or ends with a blank; take it out")
    again = manifest.duplicated(["split", "path"]) & (manifest.path != "")
    problems += in_words(manifest[again], "the same path as an earlier row; take one of them out")
    if len(intents) == 1:
        problems.append(f"data/train_data.csv: {intents[0]!r} is the only intent; there is nothing to tell apart")
    triples = manifest.drop_duplicates(["intent", "action", "object", "location"])
    shared = triples[triples.duplicated("intent")]
    wrong = "intent {intent!r} is also that of another action, object and location; put another sign for its slash"
    problems += in_words(shared, wrong)
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
