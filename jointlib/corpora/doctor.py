"""What a folder of speech or of noise holds, and everything that is wrong or odd about it, with file and row."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from jointlib import SAMPLE_RATE
from jointlib.config import Config
from jointlib.corpora.batches import load_data, sources
from jointlib.corpora.corpus import NOISES, Corpus, CorpusError, Noises, check_disjoint, first_few, in_words


@dataclass
class Diagnosis:
    """What was found: errors (nothing is trained with them) or, without any, a table of facts and warnings."""

    root: Path | str
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    facts: pd.DataFrame = field(default_factory=pd.DataFrame)

    def __str__(self) -> str:
        lines = [f"{self.root}: {len(self.errors)} error(s), {len(self.warnings)} warning(s)"]
        lines += ["", self.facts.to_string(), ""] if self.facts.size else []
        lines += [f"error: {line}" for line in self.errors] + [f"warning: {line}" for line in self.warnings]
        return "\n".join(lines).rstrip()


def examine(path: Path) -> list[Diagnosis]:
    """Examine speech (``data/*_data.csv``), noise (``noise_train``, ``noise_test``), or both; CorpusError if none."""
    found = [examine_speech(path)] if list(path.glob("data/*_data.csv")) else []
    found += [examine_noise(path)] if any((path / name).is_dir() for name in NOISES) else []
    if not found:
        raise CorpusError(path, ["holds neither data/train_data.csv nor noise_train; see data/README.md"])
    return found


def examine_profile(config: Config) -> list[Diagnosis]:
    """Examine what a profile would be trained on. Raises as `load_data`: there is no noise of a type that it names."""
    speech, noise = sources(config)
    found = [examine_speech(speech, config.clip_seconds), examine_noise(noise)]
    if not any(diagnosis.errors for diagnosis in found):
        load_data(config)
    return found


def examine_speech(root: Path, clip_seconds: float = math.inf) -> Diagnosis:
    """Examine speech in the layout of Fluent Speech Commands; the errors are those that `Corpus.read` raises."""
    try:
        corpus = Corpus.read(root, clip_seconds)
    except CorpusError as error:
        return Diagnosis(root, error.problems)
    found = _diagnose(root, [corpus], {"speakers": "speaker", "intents": "intent", "wordings": "transcription"})
    found.warnings += filter(None, [corpus.cut(clip_seconds)])
    return found


def examine_noise(root: Path) -> Diagnosis:
    """Examine ``noise_train`` and ``noise_test``; the errors are those that reading them raises."""
    parts, errors = [], []
    for name in NOISES:
        try:
            parts.append(Noises.read(root / name))
            if len(parts) == 2:
                check_disjoint(*parts)
        except CorpusError as error:
            errors += error.problems
    if errors:
        return Diagnosis(root, errors)
    found = _diagnose(root, parts, {"types": "type"})
    for part, name in zip(parts, NOISES, strict=True):
        unread = sorted({file for file in (root / name).rglob("*") if file.is_file()} - {*part.manifest.file})
        lines = [f"{file}: not read; a noise is {name}/Typing_1.wav or the like" for file in unread]
        found.warnings += first_few(lines)
    return found


def _diagnose(root: Path, parts: Sequence[Corpus | Noises], counted: dict[str, str]) -> Diagnosis:
    """What is odd about the files, at most five lines of each rule; and of each split the number of files, that of
    different values in the columns `counted`, hours, and ranges."""
    table = pd.concat([part.manifest.assign(**part.audio.sources) for part in parts], ignore_index=True)
    table["seconds"] = np.concatenate([part.audio.lengths for part in parts]) / SAMPLE_RATE
    table["level"] = 20 * np.log10(table.rms)  # dBFS
    table["original"] = table.groupby(["split", "digest"]).place.transform("first")
    rules = {
        "the same recording as {original}; it counts twice": table.original != table.place,
        "{clipped:.1%} of the samples are clipped": table.clipped > 1e-3,
        "very quiet, {level:.0f} dBFS": table.level < -60,
        "only {seconds:.2f} s long": table.seconds < 0.2,
    }
    warnings = [line for text, rows in rules.items() for line in first_few(in_words(table, rows, text))]
    splits = table.round({"seconds": 2, "level": 0}).groupby("split", sort=False)
    facts = {"files": splits.size(), **{name: splits[column].nunique() for name, column in counted.items()}}
    facts["hours"] = (splits.seconds.sum() / 3600).round(3)
    for name, column in (("seconds", "seconds"), ("sample rate (Hz)", "sample_rate"), ("level (dBFS RMS)", "level")):
        facts[name] = splits[column].agg(lambda x: " to ".join(dict.fromkeys([f"{x.min():g}", f"{x.max():g}"])))
    return Diagnosis(root, [], warnings, pd.DataFrame(facts).T)
