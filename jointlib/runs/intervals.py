"""What many scores come to: means, with intervals that cover the choice of test speakers and of training seeds."""

import numpy as np
import pandas as pd
from scipy.stats import t

from jointlib.runs.evaluate import remark
from jointlib.strategies import STRATEGIES


def interval(values: pd.Series, speakers: pd.Series, seeds: pd.Series) -> tuple[float, float, float]:
    """Mean and 95 % interval: mean, low, high. NaN values are left out; NaN bounds: fewer than two speakers.

    It covers the choice of the test speakers (utterances of one voice go together) and, where there are several, that
    of the training seeds, as two random effects: their variances of the mean are added, and the degrees of freedom
    are Satterthwaite's. It is a t interval, since there are few of either; where neither matters it covers 99 %.
    """
    mean, error, freedom = mean_error(values, speakers, seeds)
    reach = t.ppf(0.975, freedom) * error if error else 0.0 * error
    return mean, mean - reach, mean + reach


def mean_error(values: pd.Series, speakers: pd.Series, seeds: pd.Series) -> tuple[float, float, float]:
    """Mean, its standard error over speakers and seeds, and degrees of freedom (see `interval`)."""
    kept = values.notna()
    values, number = values[kept].astype(float), int(kept.sum())
    if number == 0:
        return (float("nan"),) * 3
    if speakers[kept].nunique() < 2:  # one voice says nothing about others
        return float(values.mean()), float("nan"), float("nan")
    parts = []
    for factor in (speakers[kept], seeds[kept]):
        sums = (values - values.mean()).groupby(factor.to_numpy()).sum()  # of a cluster, as in a ratio of two sums
        if (count := len(sums)) > 1:
            parts.append((count / (count - 1) * (sums**2).sum() / number**2, count - 1))
    variance = sum(part for part, _ in parts)
    freedom = variance**2 / sum(part**2 / free for part, free in parts) if variance else 1.0
    return float(values.mean()), float(variance**0.5), float(freedom)


def cells(scores: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Each (strategy, alpha) of a column of per_utterance.csv, seeds together: strategy, alpha, value, low, high,
    spread (standard deviation of the seeds' means), seeds, utterances, and guessing, whether a classifier of any seed
    has learnt nothing (see `evaluate.remark`)."""
    rows = []
    for (strategy, alpha), group in scores.groupby(["strategy", "alpha"]):
        if metric in group and group[metric].notna().any():
            guessing = any(remark(own.dropna(axis=1, how="all")) for _, own in group.groupby("seed"))
            about = interval(group[metric], group.speaker, group.seed)
            if metric.startswith("correct"):
                about = tuple(np.clip(about, 0, 1))  # a t interval does not know that a share ends at 1
            counts = group.seed.nunique(), int(group[metric].notna().sum())
            rows.append((strategy, alpha, *about, group.groupby("seed")[metric].mean().std(), *counts, guessing))
    columns = ["strategy", "alpha", "value", "low", "high", "spread", "seeds", "utterances", "guessing"]
    return pd.DataFrame(rows, columns=columns)


def on_noise(scores: pd.DataFrame) -> pd.DataFrame:
    """The rows of strategies that are tested on noisy speech; clean speech is another task."""
    return scores[scores.strategy.map(lambda name: STRATEGIES[name].test_input == "noisy").astype(bool)]


def noisy_cell(scores: pd.DataFrame, metric: str, classifier: str = "classifier_clean") -> pd.DataFrame:
    """The row "noisy": the quality of unprocessed noisy speech, or the accuracy of `classifier` on it (the paper does
    not say whether its classifier was trained on clean or on noisy speech)."""
    if metric == "correct":
        found = cells(scores[scores.strategy == classifier], metric)
    else:
        found = cells(scores.drop_duplicates("path"), metric.replace("_enhanced", "_noisy"))
    return found.assign(strategy="noisy", alpha=np.nan)
