"""Spoken commands in the layout of Fluent Speech Commands: a folder to a validated manifest."""

import csv
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from jointlib import COLUMNS, SAMPLE_RATE, SPLITS
from jointlib.corpora.packed import SPEECH_DB, PackedAudio, pack

NAMES = ("path", "speaker", "transcription", "action", "object", "location", "split", "place", "intent")
Rules = Sequence[tuple[pd.Series | np.ndarray, str]]  # rows concerned, and what is said of each


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
    def read(cls, root: Path | str, clip_seconds: float = math.inf) -> "Corpus":
        """Read ``root/data/{train,valid,test}_data.csv`` and the audio they name, of any rate, channels and format.

        Raises CorpusError, which lists every problem at once: missing files or columns, stray quotes or blanks, audio
        that cannot be read, is cut off, empty, silent or shorter than 0.1 s, a path that leaves the folder or is given
        twice, a speaker or a recording in two splits, intents that train lacks, no speech in the first `clip_seconds`.
        """
        root, tables, problems = Path(root), [pd.DataFrame(columns=NAMES, dtype=str)], []
        for split in SPLITS:
            try:
                tables.append(_read_split(root, split))
            except ValueError as error:
                problems.append(f"data/{split}_data.csv: {error}")
        manifest = pd.concat(tables, ignore_index=True)
        intents = sorted(manifest.intent[manifest.split == "train"].unique())
        rules = []
        for name in ("path", "speaker", "action", "object", "location"):
            bare = manifest[name].str.strip().where(lambda text: text != "")  # no value, equal to none, if empty
            text = f"{name} {{{name}!r}} is empty, or begins or ends with a blank; correct it (if open: none)"
            rules.append((bare != manifest[name], text))
        again = manifest.duplicated(["split", "path"])
        rules.append((again, "the same path as an earlier row; take one of them out"))
        unknown = ~manifest.intent.isin(intents) & ~manifest.duplicated(["split", "intent"]) & bool(intents)
        rules.append((unknown, "intent {intent!r} is not in the train split; add it there, or take the row out"))
        inside = [{"/", ".."}.isdisjoint(Path(path).parts) and os.path.isfile(root / path) for path in manifest.path]  # noqa: PTH113, any text
        inside = np.array(inside, dtype=bool)
        nowhere = "this path names no file in the corpus folder; correct it, move the file there, or take the row out"
        voices = in_two_splits(manifest, "speaker", "speaker {!r}")
        alone = "if all is your own voice, name speakers by session (me_1 in train, me_2 in valid, me_3 in test), each "
        alone += "with recordings of its own; the scores then say nothing about other voices"
        voices[:1] = [f"{line}; {alone}" for line in voices[:1]]
        problems += voices + in_words(manifest, [*rules, (~inside, nowhere)])
        manifest = manifest[inside].reset_index(drop=True)
        audio = pack([root / path for path in manifest.path], f"Reading {root.name}")
        heard = manifest.assign(**audio.sources)
        spoilt = heard.problem != ""
        late = f"silent for {{onset:.2f}} s, so that a clip of {clip_seconds} s has no speech; trim it"
        late += f" (nothing before is within {SPEECH_DB:g} dB of its loudest part)"
        problems += in_words(heard, [(spoilt, "{problem}"), (heard.onset >= clip_seconds, late)])
        problems += in_two_splits(heard[~spoilt], "digest", "the same recording")
        manifest["label"] = manifest.intent.map({intent: label for label, intent in enumerate(intents)})
        if problems:
            raise CorpusError(root, problems)
        return cls(manifest, intents, audio)

    def split(self, name: str) -> pd.DataFrame:
        """The manifest's rows of one split."""
        return self.manifest[self.manifest.split == name]

    def cut(self, clip_seconds: float) -> str:
        """How many utterances of each split are longer than a clip, in words; empty: none."""
        longer = pd.Series(self.audio.lengths.numpy() / SAMPLE_RATE > clip_seconds)
        parts = longer.groupby(self.manifest.split, sort=False)
        counts = [f"{split} {cut.sum()} of {len(cut)} ({cut.mean():.1%})" for split, cut in parts]
        words = f"utterances cut by clip_seconds = {clip_seconds:g}: {', '.join(counts)}; "
        words += f"the longest lasts {self.audio.lengths.max() / SAMPLE_RATE:.2f} s"
        return words if longer.any() else ""


def _read_split(root: Path, split: str) -> pd.DataFrame:
    """A split's part of the manifest, all of it text. ValueError: its CSV cannot be read, or lacks something."""
    name, rows = f"data/{split}_data.csv", []
    try:
        with (root / name).open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.reader(stream, strict=True)
            for row in reader:
                if reader.line_num > len(rows) + 1:  # quotes or line breaks make two rows one
                    raise csv.Error("a field goes on in the next row")
                rows.append(row)
    except csv.Error as error:
        raise ValueError(f"row {len(rows) + 1}: {error}; look for a stray quote or a line break") from error
    except (UnicodeDecodeError, OSError) as error:
        raise ValueError(f"missing, or not readable as UTF-8 CSV ({error}); see data/README.md") from error
    header = rows[0] if rows else []
    filled = {place: row for place, row in enumerate(rows[1:], start=2) if any(row)}
    if missing := [column for column in COLUMNS if header.count(column) != 1]:
        raise ValueError(f"lacks {missing}, or has them twice; expected the columns {list(COLUMNS)}")
    if not filled:
        raise ValueError("lacks rows; expected one per utterance")
    if uneven := [str(place) for place, row in filled.items() if len(row) != len(header)]:
        raise ValueError(f"row {', '.join(uneven[:5])}: expected {len(header)} fields, as the header has")
    table = pd.DataFrame(list(filled.values()), columns=header, dtype=str)[list(COLUMNS)]
    places = [f"{name}, row {row}: {repr(path)[1:-1]:.200}" for row, path in zip(filled, table.path, strict=True)]
    intent = table.action + " / " + table.object + " / " + table.location
    return table.rename(columns={"speakerId": "speaker"}).assign(split=split, place=places, intent=intent)


def in_two_splits(table: pd.DataFrame, column: str, what: str) -> list[str]:
    """A line for each value that a column has in several splits, with its first place in each."""
    firsts = table.drop_duplicates([column, "split"])
    places = firsts[firsts.duplicated(column, keep=False)].groupby(column, sort=False).place.agg(" and in ".join)
    return [f"{what.format(value)} is in {where}; it may be in one split only" for value, where in places.items()]


def in_words(table: pd.DataFrame, rules: Rules, shown: int | None = None) -> list[str]:
    """A line for each row that a rule concerns: its place, and the rule's template with its values, such as ``"only
    {seconds:.2f} s long"``; of each rule the first `shown`, and how many more there are."""
    lines = []
    for concerned, template in rules:
        found = [f"{row['place']}: {template.format(**row)}" for row in table[concerned].to_dict("records")]
        lines += found if shown is None else first_few(found, shown)
    return lines


def first_few(lines: list[str], shown: int = 5) -> list[str]:
    """The first lines, and how many more there are."""
    return lines if len(lines) <= shown else [*lines[:shown], f"... and {len(lines) - shown} more"]
