"""What a folder of speech or of noise holds, and everything that is wrong or odd about it, with file and row."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from jointlib import SAMPLE_RATE, SPLITS
from jointlib.corpora.corpus import CorpusError, place, read_all
from jointlib.corpora.noises import Noises, check_disjoint

CLIPPED = 1e-3  # share of samples at full scale above which an utterance is named
QUIET_DB = -60.0  # dBFS RMS
LONG, SHORT = 30.0, 0.2  # seconds
SHOWN = 5  # lines of a kind


@dataclass
class Diagnosis:
    """What was found: a table of facts, errors (nothing is trained with them) and warnings, a line each."""

    root: Path
    facts: pd.DataFrame
    errors: list[str]
    warnings: list[str]

    def __str__(self) -> str:
        heading = f"{self.root}: {len(self.errors)} error(s), {len(self.warnings)} warning(s)"
        lines = [heading, "", self.facts.T.to_string(), ""] if len(self.facts) else [heading]
        lines += [f"error: {line}" for line in self.errors] + [f"warning: {line}" for line in self.warnings]
        return "\n".join(lines).rstrip()


def examine(path: Path | str, cache: Path | str | None = None) -> list[Diagnosis]:
    """Examine speech (a folder with ``data/*_data.csv``), noise (``noise_train``, ``noise_test``), or both.

    Raises:
        CorpusError: the folder is laid out as neither.
    """
    path, found = Path(path), []
    if list(path.glob("data/*_data.csv")):
        found.append(examine_speech(path, cache))
    if (path / "noise_train").is_dir() or (path / "noise_test").is_dir():
        found.append(examine_noise(path, cache))
    if not found:
        raise CorpusError(
            path, ["neither data/train_data.csv nor noise_train there; data/README.md shows both layouts"]
        )
    return found


def examine_speech(root: Path, cache: Path | str | None = None) -> Diagnosis:
    """Examine speech in FSC layout; the errors are those that `Corpus.read` raises."""
    corpus, errors = read_all(root, cache)
    manifest = corpus.manifest.assign(seconds=corpus.audio.lengths.numpy() / SAMPLE_RATE, **corpus.audio.sources)
    manifest["level"] = _decibels(manifest.rms)
    return Diagnosis(root, _speech_facts(manifest), errors, _speech_warnings(manifest, corpus.audio.digests))


def examine_noise(root: Path, cache: Path | str | None = None) -> Diagnosis:
    """Examine ``noise_train`` and ``noise_test``; the errors are those that reading them raises."""
    facts, errors, noises = {}, [], []
    for name in ("noise_train", "noise_test"):
        try:
            noises.append(Noises.read(root / name, cache=cache))
        except CorpusError as error:
            errors += error.problems
            continue
        audio = noises[-1].audio
        table = audio.sources.assign(seconds=audio.lengths.numpy() / SAMPLE_RATE, level=_decibels(audio.sources.rms))
        facts[name] = {"files": len(table), "types": noises[-1].manifest.type.nunique(), **_audio_facts(table)}
    if len(noises) == 2:
        try:
            check_disjoint(*noises)
        except CorpusError as error:
            errors += error.problems
    warnings = [line for part in noises for line in _noise_warnings(part)] + _few(_passed_over(root))
    return Diagnosis(root, pd.DataFrame(facts).T, errors, warnings)


def _decibels(rms: pd.Series) -> pd.Series:
    return 20 * np.log10(rms.clip(lower=1e-6))


def _audio_facts(table: pd.DataFrame) -> dict[str, object]:
    """Of a table with seconds, level, clipped, sample_rate and channels."""
    return {
        "hours": round(table.seconds.sum() / 3600, 3),
        "seconds, shortest to longest": f"{table.seconds.min():.2f} to {table.seconds.max():.2f}",
        "sample rates (Hz)": ", ".join(map(str, sorted(table.sample_rate.unique()))),
        "channels": ", ".join(map(str, sorted(table.channels.unique()))),
        "level (dBFS RMS), 1 % to 99 %": " to ".join(f"{table.level.quantile(q):.0f}" for q in (0.01, 0.99)),
        "clipped": int((table.clipped > CLIPPED).sum()),
    }


def _speech_facts(manifest: pd.DataFrame) -> pd.DataFrame:
    heard = set(manifest.transcription[manifest.split == "train"])
    facts = {}
    for split in [name for name in SPLITS if name in set(manifest.split)]:
        rows = manifest[manifest.split == split]
        wordings = set(rows.transcription)
        facts[split] = {
            "utterances": len(rows),
            "speakers": rows.speaker.nunique(),
            "intents": rows.intent.nunique(),
            "wordings": len(wordings),
            "wordings that train has, too": len(wordings & heard),
            **_audio_facts(rows),
        }
    return pd.DataFrame(facts).T


def _speech_warnings(manifest: pd.DataFrame, digests: Sequence[str]) -> list[str]:
    sound = manifest[manifest.seconds > 0]
    repeated = sound.duplicated(["split", "path"])
    recording = pd.Series(digests)[sound.index]
    first = sound.groupby(recording).path.transform("first")
    copied = recording.duplicated() & ~repeated & ~sound.groupby(recording).split.transform("nunique").gt(1)
    lines = _named(sound[repeated], lambda row: "the same path as an earlier row; it counts twice")
    lines += _named(sound[copied], lambda row: f"the same recording as {first[row.name]}; it counts twice")
    lines += _named(sound[sound.clipped > CLIPPED], lambda row: f"{100 * row.clipped:.1f} % of the samples are clipped")
    lines += _named(sound[sound.level < QUIET_DB], lambda row: f"very quiet, {row.level:.0f} dBFS")
    lines += _named(sound[sound.seconds > LONG], lambda row: f"{row.seconds:.0f} s long; a clip ends at clip_seconds")
    lines += _named(sound[sound.seconds < SHORT], lambda row: f"only {row.seconds:.2f} s long")
    return lines + [
        line for split, rows in manifest.groupby("split") for line in _split_warnings(split, rows, manifest)
    ]


def _split_warnings(split: str, rows: pd.DataFrame, manifest: pd.DataFrame) -> list[str]:
    lines = []
    missing = sorted(set(manifest.intent[manifest.split == "train"]) - set(rows.intent))
    if missing:
        lines.append(
            f"data/{split}_data.csv: {len(missing)} intent(s) of train are not in it: {', '.join(missing[:3])}"
        )
    if split == "test" and rows.speaker.nunique() < 2:
        lines.append("data/test_data.csv: one speaker only, so there is no interval over speakers")
    if split == "train":
        counts = rows.intent.value_counts()
        rare = [
            f"data/train_data.csv: {count} utterance(s) of {intent!r}" for intent, count in counts.items() if count < 5
        ]
        lines += _few([f"{line}, few to learn from" for line in rare])
    return lines


def _passed_over(root: Path) -> list[str]:
    files = [file for name in ("noise_train", "noise_test") for file in sorted((root / name).glob("*.*"))]
    known = {f".{name.lower()}" for name in soundfile.available_formats()}
    left = [file for file in files if file.suffix.lower() in known and "_" not in file.stem]
    return [f"{file}: not read; names of noises are such as {file.stem}_1{file.suffix}" for file in left]


def _noise_warnings(noises: Noises) -> list[str]:
    files, audio = noises.manifest.file, noises.audio
    clipped = files[audio.sources.clipped > CLIPPED]
    lines = [f"{file}: clipped" for file in clipped]
    copies = pd.Series(audio.digests)
    first = copies.map(dict(reversed([*zip(audio.digests, files, strict=True)])))
    return _few(lines) + _few(
        [f"{files[i]}: the same recording as {first[i]}" for i in copies[copies.duplicated()].index]
    )


def _named(rows: pd.DataFrame, what) -> list[str]:
    """A line for each of the first rows, and how many more there are."""
    return _few([f"{place(row)}: {row.path}: {what(row)}" for _, row in rows.iterrows()])


def _few(lines: list[str]) -> list[str]:
    if len(lines) <= SHOWN:
        return lines
    return [*lines[:SHOWN], f"... and {len(lines) - SHOWN} more as the last"]


def main(arguments: list[str] | None = None) -> None:
    """``python -m jointlib.corpora.doctor PATH``: print what a folder holds; exit status 1 if anything is wrong with it."""
    parser = argparse.ArgumentParser(
        prog="python -m jointlib.corpora.doctor",
        description="What a folder of speech or noise holds, and what is wrong with it.",
    )
    parser.add_argument("path", type=Path, help="speech as Fluent Speech Commands is laid out, or noise as MS-SNSD is")
    parser.add_argument("--cache", type=Path, help="where read audio is kept; beside PATH by default")
    given = parser.parse_args(arguments)
    try:
        found = examine(given.path, given.cache)
    except (CorpusError, OSError) as error:
        raise SystemExit(f"{type(error).__name__}: {error}") from error
    print("\n\n".join(map(str, found)))
    sys.exit(1 if any(diagnosis.errors for diagnosis in found) else 0)


if __name__ == "__main__":
    main()
