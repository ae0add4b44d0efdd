"""The per-utterance scores of many runs, and what they come to, with intervals."""

from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import bootstrap, norm, t

from jointlib.evaluate import remark
from jointlib.runs.folder import list_runs, read_config, title
from jointlib.strategies import STRATEGIES


def read_scores(results: Path, variant: str = "") -> pd.DataFrame:
    """per_utterance.csv of every finished run of a profile and variant, with strategy, alpha and seed.

    What a variant's start (``init=...``) does not touch, such as a classifier alone, is taken from the runs without it.

    Raises:
        FileNotFoundError: there is no finished run.
    """
    runs = list_runs(results)
    rest = ",".join(part for part in variant.split(",") if not part.startswith("init="))
    own = runs[runs.variant == variant]
    baselines = runs.strategy.map(lambda name: STRATEGIES[name].alpha is not None) & ~runs.strategy.isin(own.strategy)
    runs = pd.concat([own, runs[baselines & (runs.variant == rest)]]) if rest != variant else own
    if runs.empty:
        raise FileNotFoundError(
            f"{results / 'runs'}: no finished run{f' of variant {variant}' if variant else ''}; "
            "train some first, for example with make reproduce"
        )
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
    t interval is wider than a normal one (Hesterberg's expanded percentile interval, 2015).

    Returns:
        mean, low, high; NaN values are left out, and the interval is NaN with fewer than two speakers.
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
    """Every (strategy, alpha) of a column of per_utterance.csv, seeds together.

    Returns:
        strategy, alpha, value, low, high, seeds, utterances; guessing: whether a classifier among the seeds is no better
        than that (see `evaluate.remark`).
    """
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
    found = {
        f"{title(strategy, alpha)}, seed {seed}": remark(group.dropna(axis=1, how="all"))
        for (strategy, alpha, seed), group in scores.groupby(["strategy", "alpha", "seed"])
    }
    return pd.Series({run: words for run, words in found.items() if words}, name="classifier", dtype=object)
