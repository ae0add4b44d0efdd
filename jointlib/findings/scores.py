"""The scores of many runs, utterance by utterance."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from pandas.api.types import is_numeric_dtype

from jointlib.config import Config, identity
from jointlib.runs.folder import changes, cost, list_runs, read_config
from jointlib.support.files import UnusableFile, read_json

_TEXTS = ("path", "noise_type", "speaker", "intent", "transcription", "predicted", "runner_up")
_TEXTS += ("failed", "failed_noisy", "failed_enhanced")


def compared_runs(profile: Config, data: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """`list_runs` of a profile and its variant, without runs that only initialise others.

    A strategy that ignores some of the variant's parameters (a classifier ignores JT's `init`) is taken from the runs
    without those. `data`: the `Data.identity` that the runs must have been made with.
    FileNotFoundError: there is no finished run. UnusableFile: a run that differs from the profile in more than
    strategy, alpha and seed, or from `data` (without it, from the first run) in its speech, labels or noise.
    """
    runs, variant = list_runs(profile.folder), profile.variant
    own = [profile.replace(strategy=run.strategy, alpha=run.alpha, seed=run.seed) for run in runs.itertuples()]
    runs = runs.assign(own=own)[runs.variant == pd.Series([cell.variant for cell in own], runs.index, dtype=object)]
    if runs.empty:
        which = f"no finished run{f' of variant {variant}' if variant else ''}"
        raise FileNotFoundError(f"{profile.folder / 'runs'}: {which}; train some first, as with make reproduce")
    first = read_json(runs.folder.iloc[0] / "config.json")
    data = data or {name: first[name] for name in ("intents", "content")}
    for folder, cell in zip(runs.folder, runs.pop("own"), strict=True):
        if differing := changes(read_json(folder / "config.json"), data | identity(cell)):
            remedy = "move it away, or give one of the two a profile of its own"
            raise UnusableFile(f"{folder}: not made with the profile and the data ({'; '.join(differing)}); {remedy}")
    return runs


def read_scores(profile: Config) -> pd.DataFrame:
    """`read_run` of every run of `compared_runs`; UnusableFile: one was tested on other utterances than the first."""
    return _together([read_run(folder) for folder in compared_runs(profile).folder])


def read_passages(profile: Config) -> pd.DataFrame:
    """per_passage.csv of the runs that `read_scores` reads, with run, strategy, alpha and seed."""
    return _together([_read(folder, "per_passage.csv", "speaker") for folder in compared_runs(profile).folder])


def _together(tables: list[pd.DataFrame]) -> pd.DataFrame:
    for table in tables:
        if not table.speaker.equals(tables[0].speaker):
            both = f"{table.run[0]} has {len(table)} rows, {tables[0].run[0]} {len(tables[0])}, or other speakers"
            raise UnusableFile(f"{both}: one of the two is damaged; copy it again, or train it anew")
    return pd.concat(tables, ignore_index=True)


def read_run(folder: Path) -> pd.DataFrame:
    """per_utterance.csv of one run, with its name (run), strategy, alpha and seed, and what it cost (`folder.cost`).

    UnusableFile: the file is damaged.
    """
    scores = _read(folder, "per_utterance.csv", "path", "noise_type", "snr_db", "speaker", "intent")
    return scores.assign(**cost(folder))


def _read(folder: Path, name: str, *wanted: str) -> pd.DataFrame:
    """A CSV of a run: names and sentences as text, even if they are 007 or NA; all other columns as numbers."""
    file = next(folder.glob(f"{name}.gz"), folder / name)  # results/reference has them compressed
    remedy = "copy the run again, or move it away and train anew"
    try:
        table = pd.read_csv(file, dtype=dict.fromkeys(_TEXTS, str), keep_default_na=False, na_values=[""])
    except ValueError as error:
        raise UnusableFile(f"{file}: not readable as CSV ({error}); {remedy}") from error
    if missing := [column for column in wanted if column not in table]:
        raise UnusableFile(f"{file}: lacks {', '.join(missing)}; {remedy}")
    for column in table.columns.difference(_TEXTS):
        if not is_numeric_dtype(table[column]):
            raise UnusableFile(f"{file}: {column} has an entry that is not a number; {remedy}")
    config, _ = read_config(folder)
    table = table.fillna(dict.fromkeys(_TEXTS, ""))
    return table.assign(run=folder.name, strategy=config.strategy, alpha=config.alpha, seed=config.seed)
