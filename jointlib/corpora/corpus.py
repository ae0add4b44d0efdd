"""Speech in the layout of Fluent Speech Commands and noise in that of MS-SNSD: folders to validated manifests."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from jointlib import COLUMNS, SAMPLE_RATE, SPLITS
from jointlib.corpora.audio import PackedAudio, is_audio, pack

NOISES = ("noise_train", "noise_test")  # the two folders of MS-SNSD
NAMES = ("path", "speaker", "transcription", "action", "object", "location", "split", "place", "intent")


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

        Raises CorpusError, which lists every problem at once: in the CSVs, in the audio, what two splits share, intents
        that train lacks, and utterances without speech in the first `clip_seconds`.
        """
        root, tables, problems = Path(root), [pd.DataFrame(columns=NAMES, dtype=str)], []
        for split in SPLITS:
            try:
                tables.append(_read_split(root, split))
            except ValueError as error:
                problems.append(f"data/{split}_data.csv: {error}")
        manifest = pd.concat(tables, ignore_index=True)
        for name in ("path", "speaker", "action", "object", "location"):
            bare = manifest[name].str.strip().where(lambda text: text != "")  # no value, equal to none, if empty
            text = f"{name} {{{name}!r}} is empty, or begins or ends with a blank; correct it (if open: none)"
            problems += in_words(manifest, bare != manifest[name], text)
        again = manifest.duplicated(["split", "path"])
        problems += in_words(manifest, again, "the same path as an earlier row; take one of them out")
        intents = sorted(manifest.intent[manifest.split == "train"].unique())
        unknown = ~manifest.intent.isin(intents) & ~manifest.duplicated(["split", "intent"]) & bool(intents)
        text = "intent {intent!r} is not in the train split; add it there, or take the row out"
        problems += in_words(manifest, unknown, text)
        remedy = "if both are your own voice, name speakers by session (me_1, me_2, me_3)"
        problems += in_two_splits(manifest, "speaker", "speaker {!r}", remedy)
        inside = [{"/", ".."}.isdisjoint(Path(path).parts) and (root / path).is_file() for path in manifest.path]
        inside = np.array(inside, dtype=bool)
        text = "this path names no file in the corpus folder; correct it, move the file there, or take the row out"
        problems += in_words(manifest, ~inside, text)
        manifest = manifest[inside].reset_index(drop=True)
        audio = pack([root / path for path in manifest.path], f"Reading {root.name}")
        heard = manifest.assign(**audio.sources)
        problems += in_words(heard, heard.problem != "", "{problem}")
        late = f"silent for {{onset:.2f}} s, so that a clip of {clip_seconds} s has no speech; trim it"
        problems += in_words(heard, heard.onset >= clip_seconds, late)
        problems += in_two_splits(heard[heard.problem == ""], "digest", "the same recording", "remove it from one")
        if problems:
            raise CorpusError(root, problems)
        manifest["label"] = manifest.intent.map(intents.index)
        return cls(manifest, intents, audio)

    def cut(self, clip_seconds: float) -> str:
        """How many utterances of each split are longer than a clip, in words; empty: none."""
        seconds = self.audio.lengths.numpy() / SAMPLE_RATE
        cut = self.manifest.split[seconds > clip_seconds].value_counts(sort=False)
        if cut.empty:
            return ""
        counts = ", ".join(f"{split} {count}" for split, count in cut.items())
        return f"utterances cut by clip_seconds = {clip_seconds:g}: {counts}; the longest lasts {seconds.max():.2f} s"


@dataclass
class Noises:
    """Noise files of one folder, and where they sound: no gain brings a dog's long digital silences to an SNR."""

    manifest: pd.DataFrame  # a row per file: file, type (Typing of Typing_3.wav), split (the folder), place (the file)
    audio: PackedAudio  # 16 kHz mono; file i is row i of the manifest
    sounding: list[np.ndarray]  # per file, the samples at which a tenth of a second above -60 dBFS RMS begins

    @classmethod
    def read(cls, folder: Path, types: Sequence[str] | None = None) -> "Noises":
        """Read ``<Type>_<n>.<any audio ending>`` of a folder such as MS-SNSD's noise_train; all types, or those named.

        Raises CorpusError if the folder is missing or empty, a named type is absent, or a file is unreadable or silent.
        """
        files = sorted(filter(is_audio, folder.glob("?*_*.*")))
        names = [file.stem.rpartition("_")[0] for file in files]
        manifest = pd.DataFrame({"file": files, "type": names, "split": folder.name, "place": list(map(str, files))})
        if manifest.empty:
            raise CorpusError(folder, [f"{folder}: missing or without noises; expected names such as Typing_1.wav"])
        if absent := sorted(set(types or ()) - set(manifest.type)):
            raise CorpusError(folder, [f"no noise of type {absent}; there is {sorted(manifest.type.unique())}"])
        manifest = manifest[manifest.type.isin(types or manifest.type)].reset_index(drop=True)
        audio = pack(manifest.file.tolist(), f"Reading {folder.name}")
        sounding = []
        for wave in map(audio.wave, range(len(manifest))):
            frames = np.resize(wave.numpy(), (len(wave) // 1600, 1600))
            sounding.append(np.flatnonzero(np.sqrt((frames**2).mean(axis=1)) > 1e-3) * 1600)
        silent = np.array([not len(starts) for starts in sounding])
        problem = audio.sources.problem.mask((audio.sources.problem == "") & silent, "silent throughout; remove it")
        if problems := in_words(manifest.assign(problem=problem), problem != "", "{problem}"):
            raise CorpusError(folder, problems)
        return cls(manifest, audio, sounding)


def check_disjoint(train: Noises, test: Noises) -> None:
    """Raise CorpusError if a noise recording of the train folder is in the test folder too, whatever its name."""
    both = [part.manifest.assign(split=part is test, digest=part.audio.sources.digest) for part in (train, test)]
    if shared := in_two_splits(pd.concat(both), "digest", "the same recording", "remove it from one"):
        raise CorpusError(test.manifest.file[0].parent, shared)


def _read_split(root: Path, split: str) -> pd.DataFrame:
    """A split's part of the manifest, all of it text. ValueError: its CSV cannot be read, or lacks something."""
    name = f"data/{split}_data.csv"
    as_it_is = {"dtype": str, "header": None, "keep_default_na": False, "skip_blank_lines": False}
    try:
        table = pd.read_csv(root / name, encoding="utf-8-sig", **as_it_is)
    except (OSError, ValueError) as error:
        reason = str(error).replace("at row", "below line")  # which pandas counts from 0
        raise ValueError(f"missing, or not readable as UTF-8 CSV ({reason}); see data/README.md") from error
    table = table[1:].set_axis(list(table.iloc[0]), axis=1)
    if missing := [column for column in COLUMNS if column not in table]:
        raise ValueError(f"lacks {missing}; expected the columns {list(COLUMNS)}")
    table = table[list(COLUMNS)].rename(columns={"speakerId": "speaker"})
    table = table[(table != "").any(axis=1)]
    if table.empty:
        raise ValueError("lacks rows; expected one per utterance")
    broken = table.apply(lambda column: column.str.contains("\n")).any(axis=1)
    if broken.any():
        raise ValueError(f"row {broken.idxmax() + 1}: a field goes on in the next row; look for a stray quote")
    places = [f"{name}, row {row + 1}: {repr(path)[1:-1]}" for row, path in table.path.items()]
    intent = table.action + " / " + table.object + " / " + table.location
    return table.assign(split=split, place=places, intent=intent)


def in_two_splits(table: pd.DataFrame, column: str, what: str, remedy: str) -> list[str]:
    """A line for each value that a column has in several splits, with its first place in each."""
    firsts = table.drop_duplicates([column, "split"])
    places = firsts[firsts.duplicated(column, keep=False)].groupby(column, sort=False).place.agg(" and in ".join)
    return [f"{what.format(value)} is in {where}; {remedy}" for value, where in places.items()]


def in_words(table: pd.DataFrame, rows: pd.Series | np.ndarray, template: str) -> list[str]:
    """A line for each of `rows`: its place, and a template such as ``"only {seconds:.2f} s long"`` with its values."""
    return [f"{row['place']}: {template.format(**row)}" for row in table[rows].to_dict("records")]


def first_few(lines: list[str], shown: int = 5) -> list[str]:
    """The first lines, and how many more there are."""
    return lines if len(lines) <= shown else [*lines[:shown], f"... and {len(lines) - shown} more"]
