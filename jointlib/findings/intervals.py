"""Means of scores, with intervals that cover the choice of test speakers and of training seeds."""

import numpy as np
import pandas as pd
from scipy.stats import t

from jointlib.runs.evaluate import remark
from jointlib.strategies import STRATEGIES


def interval(values: pd.Series, speakers: pd.Series, seeds: pd.Series) -> tuple[float, float, float, float]:
    """Mean and 95 % interval: mean, low, high, and p of a mean of 0 (two-sided t). NaN values are left out; low, high
    and p are NaN for fewer than two speakers.

    It covers the choice of the test speakers (a speaker's utterances are a cluster) and, where there are several, that
    of the training seeds, as two random effects: their variances of the mean are added, and the degrees of freedom
    are Satterthwaite's. It is a t interval, since there are few of either; where neither has an effect, it covers 99 %.
    """
    kept = values.notna()
    values, number = values[kept].astype(float), int(kept.sum())
    if number == 0:
        return (float("nan"),) * 4
    mean = float(values.mean())
    if speakers[kept].nunique() < 2:  # one speaker gives no variance between speakers
        return mean, *(float("nan"),) * 3
    parts = []
    for factor in (speakers[kept], seeds[kept]):
        sums = (values - values.mean()).groupby(factor.to_numpy()).sum()  # of a cluster, as in a ratio of two sums
        if (count := len(sums)) > 1:
            parts.append((count / (count - 1) * (sums**2).sum() / number**2, count - 1))
    variance = sum(part for part, _ in parts)
    if variance == 0:
        return mean, mean, mean, float(mean == 0)
    error, freedom = float(variance**0.5), float(variance**2 / sum(part**2 / free for part, free in parts))
    reach = float(t.ppf(0.975, freedom)) * error
    return mean, mean - reach, mean + reach, float(2 * t.sf(abs(mean) / error, freedom))


def in_text(mean: float, low: float, high: float, form: str, unit: str = "") -> str:
    """A mean with its interval, in a number format: ``0.85 [0.80, 0.91]``; without bounds where they are NaN."""
    bounds = "" if np.isnan(low) else f" [{low:{form}}, {high:{form}}]"
    return f"{mean:{form}}{unit}{bounds}"


def cells(scores: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Means of a column of per_utterance.csv for each (strategy, alpha), all seeds together.

    Columns: strategy, alpha, value, low, high, spread (standard deviation of the seeds' means), seeds, utterances, and
    guessing (the classifier of some seed has learnt nothing, see `evaluate.remark`).
    """
    rows = []
    for (strategy, alpha), group in scores.groupby(["strategy", "alpha"]):
        if metric in group and group[metric].notna().any():
            guessing = any(remark(own.dropna(axis=1, how="all")) for _, own in group.groupby("seed"))
            about = interval(group[metric], group.speaker, group.seed)[:3]
            if metric.startswith("correct"):
                about = tuple(np.clip(about, 0, 1))  # a t interval can exceed the range of a proportion
            counts = group.seed.nunique(), int(group[metric].notna().sum())
            rows.append((strategy, alpha, *about, group.groupby("seed")[metric].mean().std(), *counts, guessing))
    columns = ["strategy", "alpha", "value", "low", "high", "spread", "seeds", "utterances", "guessing"]
    return pd.DataFrame(rows, columns=columns)


def on_noise(scores: pd.DataFrame) -> pd.DataFrame:
    """The rows of strategies that are tested on noisy speech, as clean speech is another task."""
    return scores[scores.strategy.map(lambda name: STRATEGIES[name].test_input == "noisy").astype(bool)]


def noisy_cell(scores: pd.DataFrame, metric: str, classifier: str = "classifier_clean") -> pd.DataFrame:
    """`cells` of unprocessed noisy speech, as the strategy "noisy": its quality, or the accuracy of `classifier` on it
    (the paper does not say whether its classifier was trained on clean or on noisy speech)."""
    if metric.startswith("correct"):
        rows = scores[scores.strategy == classifier]
    else:
        rows, metric = scores.drop_duplicates("path"), metric.replace("_enhanced", "_noisy")
    return cells(rows, metric).assign(strategy="noisy", alpha=np.nan)
