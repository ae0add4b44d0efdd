"""The scores of many runs, utterance by utterance: read with distrust, what failed in them, scored once for all."""

import hashlib
import re
from collections.abc import Collection, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from filelock import FileLock

from jointlib.config import Config, identity, ignored, without
from jointlib.corpora.batches import Data
from jointlib.metrics import QUALITY, Pairs, score
from jointlib.runs.evaluate import pairs_of, remark
from jointlib.runs.folder import cost, list_runs, read_config, read_metrics, title
from jointlib.runs.measures import MEASURES, Measure
from jointlib.runs.wanted import data_changes
from jointlib.strategies import STRATEGIES
from jointlib.support.files import UnusableFile, read_csv, read_json, remedy, remove_partial, write_csv

_DESCRIBED = ("path", "noise_type", "snr_db", "speaker", "intent", "transcription")
_REASONS = ("failed", "failed_noisy", "failed_enhanced")
_NAMES = ("path", "noise_type", "speaker", "intent", "predicted", "runner_up")  # never empty
_TEXTS = (*_NAMES, "transcription", *_REASONS)


def compared_runs(profile: Config) -> pd.DataFrame:
    """`list_runs` of a profile and its variant, without the trainings that only others start from.

    A strategy to which some of the variant's parameters mean nothing (`config.ignored`), as a start to a classifier
    alone, is taken from the runs without those. FileNotFoundError: there is no finished run. UnusableFile: a run that
    differs from the profile in more than strategy, alpha and seed, or from the others in its speech, labels or noise.
    """
    runs, variant = list_runs(profile.folder), profile.variant
    wanted = [without(variant, ignored(STRATEGIES[name])) for name in runs.strategy]
    runs = runs[runs.variant == pd.Series(wanted, runs.index, dtype=object)]
    if runs.empty:
        which = f"no finished run of variant {variant}" if variant else "no finished run"
        raise FileNotFoundError(
            f"{profile.folder / 'runs'}: {which}; train some first, for example with make reproduce"
        )
    first = runs.folder.iloc[0]
    for folder in runs.folder:
        _check_made_with(profile, folder)
        if found := data_changes(read_json(first / "config.json"), read_json(folder / "config.json")):
            raise UnusableFile(f"{folder}: made with other data than {first.name} ({found}); train one of them anew")
    return runs


def _check_made_with(profile: Config, folder: Path) -> None:
    """Raise UnusableFile if a run differs from its profile in more than what its row is named by."""
    config, _ = read_config(folder)
    of_the_row = {"strategy", "alpha", "seed", *ignored(STRATEGIES[config.strategy])}
    wanted, made = identity(profile), identity(config)
    if found := [name for name in made if name not in of_the_row and made[name] != wanted[name]]:
        told = "; ".join(f"{name}: {made[name]!r}, but {wanted[name]!r} in the profile" for name in found)
        what = "move it away, or give one of the two a profile of its own"
        raise UnusableFile(f"{folder}: made with another configuration ({told}); {what}")


def read_scores(profile: Config) -> pd.DataFrame:
    """per_utterance.csv of every run of `compared_runs`, with strategy, alpha, seed and cost (see `read_run`)."""
    return pd.concat(map(read_run, compared_runs(profile).folder), ignore_index=True)


def read_run(folder: Path) -> pd.DataFrame:
    """per_utterance.csv of one run, with its strategy, alpha and seed, and what it cost (see `folder.cost`).

    UnusableFile: the CSV is not what metrics.json was computed from.
    """
    metrics = read_metrics(folder)
    scores = _read_whole(folder / "per_utterance.csv", metrics["utterances"], _DESCRIBED, metrics["mean"])
    return scores.assign(**_cell(folder), **cost(folder))


def read_passages(profile: Config) -> pd.DataFrame:
    """per_passage.csv of the runs that `read_scores` reads, with strategy, alpha and seed."""
    found = []
    for folder in compared_runs(profile).folder:
        means = dict(read_metrics(folder)["passages"])
        number = means.pop("number")
        found.append(_read_whole(folder / "per_passage.csv", number, ["speaker"], means).assign(**_cell(folder)))
    return pd.concat(found, ignore_index=True)


def _cell(folder: Path) -> dict[str, Any]:
    config, _ = read_config(folder)
    return {name: getattr(config, name) for name in ("strategy", "alpha", "seed")}


def _read_whole(file: Path, rows: int, columns: Collection[str], means: Mapping[str, float]) -> pd.DataFrame:
    """A run's scores; UnusableFile unless all rows, columns and names are there, and the values that metrics.json is
    the mean of."""
    with remedy("copy the run again, or remove it and train anew"):
        table = _read_rows(file, _TEXTS, [*columns, *means], rows)
        for name in (name for name in _NAMES if name in table):
            if (nameless := table.index[table[name] == ""]).size:
                raise UnusableFile(f"{file}: row {nameless[0] + 2} has no {name}")
        for name, mean in means.items():
            if not np.isclose(now := table[name].mean(), mean, rtol=1e-6, atol=0):
                raise UnusableFile(f"{file}: {name} has mean {now:.6g}, in metrics.json {mean:.6g}")
    return table


def _read_rows(file: Path, texts: Collection[str], columns: Collection[str], rows: int) -> pd.DataFrame:
    """`read_csv`; UnusableFile unless all columns and rows are there."""
    table = read_csv(file, texts)
    if missing := [name for name in columns if name not in table]:
        raise UnusableFile(f"{file}: lacks {', '.join(missing)}")
    if len(table) != rows:
        raise UnusableFile(f"{file}: has {len(table)} of {rows} rows")
    return table


def failures(scores: pd.DataFrame) -> pd.DataFrame:
    """Which metrics could not be computed: speech (noisy or enhanced), metric, reason, and utterances, how many paths;
    empty when none failed."""
    found = []
    for speech in (name for name in ("noisy", "enhanced") if f"failed_{name}" in scores):
        reasons = scores.assign(reason=scores[f"failed_{speech}"].fillna("").str.split("; ")).explode("reason")
        found.append(reasons[reasons.reason != ""].assign(speech=speech)[["speech", "reason", "path"]])
    table = pd.concat(found)
    table[["metric", "reason"]] = table.reason.str.split(": ", n=1, expand=True).reindex(columns=[0, 1])
    table["reason"] = table.reason.replace("RuntimeWarning.*", "too little speech", regex=True)  # as older runs have it
    return table.groupby(["speech", "metric", "reason"]).path.nunique().rename("utterances").reset_index()


def failed_metrics(scores: pd.DataFrame) -> list[str]:
    """What `failures` found, in words: ``ESTOI and STOI of noisy speech: 7 utterances (too little speech)``."""
    found = failures(scores)
    found["metric"] = [MEASURES.get(f"{name}_enhanced", Measure(name, name, "")).label for name in found.metric]
    grouped = found.groupby(["speech", "utterances", "reason"]).metric.agg(" and ".join)
    return [
        f"{metrics} of {speech} speech: {count} utterance{'s' * (count > 1)} ({reason})"
        for (speech, count, reason), metrics in grouped.items()
    ]


def remarks(scores: pd.DataFrame) -> pd.Series:
    """What `evaluate.remark` says of each run's classifier, by run; empty when all of them classify."""
    found = {}
    for (strategy, alpha, seed), group in scores.groupby(["strategy", "alpha", "seed"]):
        if words := remark(group.dropna(axis=1, how="all")):
            found[f"{title(strategy, alpha)}, seed {seed}"] = words
    return pd.Series(found, name="classifier", dtype=object)


def score_once(config: Config, pairs: Pairs, title: str, metrics: tuple[str, ...] = QUALITY) -> pd.DataFrame:
    """`metrics.score`, read back where the same waves were scored before for this profile."""
    digest = hashlib.blake2b(",".join(metrics).encode(), digest_size=8)
    for wave in chain.from_iterable(pairs):
        digest.update(np.ascontiguousarray(wave))
    file = config.folder / "scores" / f"{digest.hexdigest()}.csv"
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(file.with_suffix(".lock")):  # runs that train side by side want it at the same time
        if not file.exists():
            remove_partial(file.parent, re.escape(file.name))
            write_csv(file, score(pairs, config.metric_workers, title, metrics))
    with remedy("remove it, and the speech is scored again"):
        table = _read_rows(file, _REASONS, [*metrics, "failed"], len(pairs))
        if (table.isna().any(axis=1) != (table.failed != "")).any():
            raise UnusableFile(f"{file}: values are missing without a reason")
    return table


def noisy_quality(data: Data) -> pd.DataFrame:
    """`metrics.quality` of the unprocessed noisy test speech, a row per row of the test plan."""
    pairs = [pair for batch in data.batches("test") for pair in pairs_of(batch, batch.noisy)]
    return score_once(data.config, pairs, "Scoring noisy speech")
