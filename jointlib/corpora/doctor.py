"""What a folder of speech or of noise holds, and everything that is wrong or odd about it, with file and row."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from jointlib import SAMPLE_RATE
from jointlib.config import Config, load_config
from jointlib.corpora.batches import AUDIO_CACHE, load_data, sources
from jointlib.corpora.corpus import CorpusError, first_few, in_words, read_all
from jointlib.corpora.noises import Noises, check_disjoint, noise_files
from jointlib.corpora.packed import PackedAudio
from jointlib.support.command import command, command_line

CLIPPED = 1e-3  # share of samples at full scale above which a file is named
AUDIO_FACTS = {  # what is said of each split: of which column of a table from `_measured`, and how it is summed up
    "hours": ("seconds", lambda seconds: round(seconds.sum() / 3600, 3)),
    "seconds, shortest to longest": ("seconds", lambda seconds: f"{seconds.min():.2f} to {seconds.max():.2f}"),
    "sample rates (Hz)": ("sample_rate", lambda rates: ", ".join(map(str, sorted(set(rates))))),
    "channels": ("channels", lambda channels: ", ".join(map(str, sorted(set(channels))))),
    "level (dBFS RMS), 1% to 99%": ("level", lambda x: f"{x.quantile(0.01):.0f} to {x.quantile(0.99):.0f}"),
    "clipped": ("clipped", lambda shares: (shares > CLIPPED).sum()),
}
NOISE_FACTS = {"files": ("place", "size"), "types": ("type", "nunique"), **AUDIO_FACTS}
_COUNTS = {"speakers": "speaker", "intents": "intent", "wordings": "transcription", "of those, in train": "familiar"}
SPEECH_FACTS = {"utterances": ("place", "size"), **{fact: (column, "nunique") for fact, column in _COUNTS.items()}}
SPEECH_FACTS |= AUDIO_FACTS
NOISE_ODDITIES = {  # which rows of such a table are odd, and what is said of each
    "copied": "the same recording as {first}; it counts twice",
    f"clipped > {CLIPPED}": "{clipped:.1%} of the samples are clipped",
}
SPEECH_ODDITIES = {
    **NOISE_ODDITIES,
    "level < -60": "very quiet, {level:.0f} dBFS",
    "seconds > 30": "{seconds:.0f} s long; a clip ends at clip_seconds",
    "seconds < 0.2": "only {seconds:.2f} s long",
    "onset > 1": "silent for the first {onset:.2f} s; a clip of that length (clip_seconds) is refused",
    "transcription != stripped": "transcription {transcription!r} begins or ends with a blank",
}
SIZES = {"utterances": "utterance(s)", "files": "noise(s)"}  # of the facts
EXAMPLE = "examples:\n  jointlib doctor --profile mine.yaml\n  jointlib doctor path/to/speech"


@dataclass
class Diagnosis:
    """What was found: a table of facts, errors (nothing is trained with them) and warnings, a line each."""

    root: Path | str
    facts: pd.DataFrame
    errors: list[str]
    warnings: list[str]

    def __str__(self) -> str:
        lines = [f"{self.root}: {len(self.errors)} error(s), {len(self.warnings)} warning(s)"]
        lines += ["", self.facts.to_string(), ""] if self.facts.size else []
        lines += [f"error: {line}" for line in self.errors] + [f"warning: {line}" for line in self.warnings]
        return "\n".join(lines).rstrip()


def examine(path: Path | str, cache: Path | str | None = None) -> list[Diagnosis]:
    """Examine speech (``data/*_data.csv``), noise (``noise_train``, ``noise_test``), or both; CorpusError if none."""
    path = Path(path)
    found = [examine_speech(path, cache)] if list(path.glob("data/*_data.csv")) else []
    found += [examine_noise(path, cache)] if any((path / f"noise_{x}").is_dir() for x in ("train", "test")) else []
    if not found:
        raise CorpusError(path, ["holds neither data/train_data.csv nor noise_train; see data/README.md"])
    return found


def examine_speech(root: Path, cache: Path | str | None = None) -> Diagnosis:
    """Examine speech in FSC layout; the errors are those that `Corpus.read` raises."""
    corpus, errors = read_all(root, cache)
    stripped = corpus.manifest.assign(stripped=corpus.manifest.transcription.str.strip())
    table, warnings = _measured(stripped, corpus.audio, SPEECH_ODDITIES)
    train = table[table.split == "train"]
    table["familiar"] = table.transcription.where(table.transcription.isin(train.transcription))
    for split, intents in table.groupby("split", sort=False).intent:
        if lacking := sorted({*train.intent} - {*intents}):
            warnings.append(f"data/{split}_data.csv: lacks {len(lacking)} intent(s) of train: {', '.join(lacking[:3])}")
    if table.speaker[table.split == "test"].nunique() == 1:
        warnings.append("data/test_data.csv: one speaker only, so there is no interval over speakers")
    rare = train.intent.value_counts().loc[lambda counts: counts < 5].items()
    warnings += first_few([f"data/train_data.csv: only {n} utterance(s) of {intent!r}" for intent, n in rare])
    return Diagnosis(root, table.groupby("split", sort=False).agg(**SPEECH_FACTS).T, errors, warnings)


def examine_noise(root: Path, cache: Path | str | None = None) -> Diagnosis:
    """Examine ``noise_train`` and ``noise_test``; the errors are those that reading them raises."""
    noises, errors, facts, warnings = [], [], pd.DataFrame(), []
    for name in ("noise_train", "noise_test"):
        try:
            noises.append(part := Noises.read(root / name, cache=cache))
            table, odd = _measured(part.manifest.assign(path=part.manifest.place), part.audio, NOISE_ODDITIES)
            facts, warnings = pd.concat([facts, table.groupby("split").agg(**NOISE_FACTS).T], axis=1), warnings + odd
            if len(noises) == 2:
                check_disjoint(*noises)
        except CorpusError as error:
            errors += error.problems
    for folder in (root / "noise_train", root / "noise_test"):
        unread = sorted({file for file in folder.rglob("*") if file.is_file()} - {*noise_files(folder)})
        warnings += first_few(
            [f"{file}: not read; a noise is {folder.name}/Typing_1.wav or the like" for file in unread]
        )
    return Diagnosis(root, facts, errors, warnings)


def _measured(table: pd.DataFrame, audio: PackedAudio, oddities: dict[str, str]) -> tuple[pd.DataFrame, list[str]]:
    """A manifest with what is known of its audio and which rows are copies of others; its oddities, a line each."""
    table = table.assign(**audio.sources, seconds=audio.lengths.numpy() / SAMPLE_RATE)
    table["level"] = 20 * np.log10(table.rms.clip(lower=1e-6))  # dBFS
    table["copied"] = table.duplicated(["split", "digest"]) & ~table.duplicated(["split", "path"])
    table["first"] = table.groupby(["split", "digest"]).place.transform("first")
    usable = table[table.problem == ""]
    lines = [line for query, what in oddities.items() for line in first_few(in_words(usable.query(query), what))]
    return table, lines


def examine_profile(config: Config) -> list[Diagnosis]:
    """Examine what a profile would be trained on, and load it as training does; raises as `sources`."""
    speech, noise = sources(config)
    found = [examine_speech(speech, AUDIO_CACHE), examine_noise(noise, AUDIO_CACHE)]
    if not any(diagnosis.errors for diagnosis in found):
        try:
            load_data(config)
        except CorpusError as error:  # what only this profile objects to: types of noise, clip_seconds
            found.append(Diagnosis(f"profile {config.profile}", pd.DataFrame(), error.problems, []))
    return found


def summary(found: Sequence[Diagnosis]) -> str:
    """How many problems there are, and in how much speech and noise."""
    counts = {"error(s)": sum(len(one.errors) for one in found), "warning(s)": sum(len(one.warnings) for one in found)}
    problems = ", ".join(f"{count} {kind}" for kind, count in counts.items() if count) or "no problem found"
    sums = {name: sum(one.facts.loc[name].sum() for one in found if name in one.facts.index) for name in SIZES}
    return f"{problems}: " + ", ".join(f"{size:,} {SIZES[name]}" for name, size in sums.items() if size)


@command
def main(arguments: Sequence[str] | None = None) -> None:
    """``jointlib doctor``: print what speech and noise hold; the exit status is 1 if there are errors."""
    parser = command_line("doctor", "Examine speech and noise: what they hold, and all that is wrong or odd.", EXAMPLE)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("path", nargs="?", help="speech as Fluent Speech Commands is laid out, or noise as MS-SNSD is")
    what.add_argument("--profile", help="or all that this one is trained on, by its name or the path of a YAML file")
    parser.add_argument("--cache", type=Path, help="where the audio that was read is kept (default: beside PATH)")
    given = vars(parser.parse_args(arguments))
    if "profile" in given and "cache" in given:
        parser.error("--cache goes with PATH")
    found = examine_profile(load_config(given["profile"])) if "profile" in given else examine(**given)
    print("\n\n".join([*map(str, found), summary(found)]))
    raise SystemExit(int(any(diagnosis.errors for diagnosis in found)))
