"""The per-utterance scores of many runs, and what they come to, with intervals; speech that is scored once for all."""

import hashlib
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
from filelock import FileLock
from scipy.stats import bootstrap, norm, t

from jointlib.config import Config, without_init
from jointlib.corpora.batches import Data
from jointlib.evaluate import Pairs, pairs_of, remark, score
from jointlib.runs.folder import list_runs, read_config, title
from jointlib.strategies import STRATEGIES
from jointlib.support.files import remove_partial, write_csv


def read_scores(results: Path, variant: str = "") -> pd.DataFrame:
    """per_utterance.csv of every finished run of a profile and variant, with strategy, alpha and seed.

    What a variant's start (``init=...``) does not touch, such as a classifier alone, is taken from the runs without it.
    FileNotFoundError: there is no finished run.
    """
    runs, rest = list_runs(results), without_init(variant)
    own = runs[runs.variant == variant]
    baselines = runs.strategy.map(lambda name: STRATEGIES[name].alpha is not None) & ~runs.strategy.isin(own.strategy)
    runs = pd.concat([own, runs[baselines & (runs.variant == rest)]]) if rest != variant else own
    if runs.empty:
        which = f"no finished run of variant {variant}" if variant else "no finished run"
        raise FileNotFoundError(f"{results / 'runs'}: {which}; train some first, for example with make reproduce")
    return pd.concat([read_run(folder) for folder in runs.folder], ignore_index=True)


def read_run(folder: Path) -> pd.DataFrame:
    """per_utterance.csv of one run, with its strategy, alpha and seed."""
    config, _ = read_config(folder)
    named = {name: getattr(config, name) for name in ("strategy", "alpha", "seed")}
    texts = {"failed_noisy": str, "failed_enhanced": str}  # empty columns would be read as numbers
    scores = pd.read_csv(folder / "per_utterance.csv", dtype=texts).assign(**named)
    return scores.fillna({name: "" for name in texts if name in scores})


def interval(values: pd.Series, speakers: pd.Series, seed: int = 0) -> tuple[float, float, float]:
    """Mean over utterances and its 95 % interval, by bootstrap over speakers (utterances of one voice go together).

    A percentile interval of few speakers is too narrow (24 of them: 0.92 in place of 0.95). It is taken wider by what a
    t interval is wider than a normal one (Hesterberg's expanded percentile interval, 2015). Returns mean, low, high;
    NaN values are left out, and the interval is NaN with fewer than two speakers.
    """
    kept = values.notna()
    grouped = values[kept].groupby(speakers[kept])
    sums, counts = grouped.sum().to_numpy(dtype=float), grouped.count().to_numpy(dtype=float)
    if len(sums) == 0:
        return (float("nan"),) * 3
    mean = float(sums.sum() / counts.sum())
    if len(sums) < 2 or np.ptp(sums / counts) == 0:
        return mean, *((float("nan"),) * 2 if len(sums) < 2 else (mean, mean))
    count = len(sums)
    spread = (count / (count - 1)) ** 0.5 * t.ppf(0.975, count - 1)  # standard errors to each side
    result = bootstrap(
        (sums, counts),
        lambda total, number, axis: total.sum(axis=axis) / number.sum(axis=axis),
        paired=True,
        vectorized=True,
        method="percentile",
        confidence_level=2 * norm.cdf(spread) - 1,
        n_resamples=2000,
        rng=np.random.default_rng(seed),
    )
    return mean, float(result.confidence_interval.low), float(result.confidence_interval.high)


def cells(scores: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Each (strategy, alpha) of a column of per_utterance.csv, seeds together: strategy, alpha, value, low, high,
    seeds, utterances, and guessing, whether a classifier of any seed has learnt nothing (see `evaluate.remark`)."""
    rows = []
    for (strategy, alpha), group in scores.groupby(["strategy", "alpha"]):
        if metric in group and group[metric].notna().any():
            guessing = any(remark(own.dropna(axis=1, how="all")) for _, own in group.groupby("seed"))
            counts = group.seed.nunique(), int(group[metric].notna().sum())
            rows.append((strategy, alpha, *interval(group[metric], group.speaker), *counts, guessing))
    return pd.DataFrame(rows, columns=["strategy", "alpha", "value", "low", "high", "seeds", "utterances", "guessing"])


def noisy_cell(scores: pd.DataFrame, metric: str, classifier: str = "classifier_clean") -> pd.DataFrame:
    """The row "noisy": the quality of unprocessed noisy speech, or the accuracy of `classifier` on it (the paper does
    not say whether its classifier was trained on clean or on noisy speech)."""
    if metric == "correct":
        found = cells(scores[scores.strategy == classifier], metric)
    else:
        found = cells(scores.drop_duplicates("path"), metric.replace("_enhanced", "_noisy"))
    return found.assign(strategy="noisy", alpha=np.nan)


def failures(scores: pd.DataFrame) -> pd.Series:
    """How often a metric could not be computed, by reason; empty when none failed."""
    columns = [name for name in ("failed_noisy", "failed_enhanced") if name in scores]
    reasons = pd.concat([scores[name].dropna() for name in columns]).str.split("; ").explode()
    return reasons[reasons != ""].value_counts().rename("utterances")


def remarks(scores: pd.DataFrame) -> pd.Series:
    """What `evaluate.remark` says of each run's classifier, by run; empty when all of them classify."""
    found = {}
    for (strategy, alpha, seed), group in scores.groupby(["strategy", "alpha", "seed"]):
        if words := remark(group.dropna(axis=1, how="all")):
            found[f"{title(strategy, alpha)}, seed {seed}"] = words
    return pd.Series(found, name="classifier", dtype=object)


def score_once(config: Config, pairs: Pairs, title: str) -> pd.DataFrame:
    """`evaluate.score`, read back where the same waves were scored before for this profile."""
    digest = hashlib.blake2b(digest_size=8)
    for wave in chain.from_iterable(pairs):
        digest.update(np.ascontiguousarray(wave))
    file = config.folder / "scores" / f"{digest.hexdigest()}.csv"
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(file.with_suffix(".lock")):  # runs that train side by side want it at the same time
        if not file.exists():
            remove_partial(file.parent, f"{file.name}.*")
            write_csv(file, score(pairs, config.metric_workers, title))
    return pd.read_csv(file, dtype={"failed": str}).fillna({"failed": ""})


def noisy_quality(data: Data) -> pd.DataFrame:
    """`evaluate.quality` of the unprocessed noisy test speech, a row per row of the test plan."""
    pairs = [pair for batch in data.batches("test") for pair in pairs_of(batch, batch.noisy)]
    return score_once(data.config, pairs, "Scoring noisy speech")
