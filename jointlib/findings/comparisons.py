"""Paired comparisons of models on the same utterances, and a verdict on each of the paper's claims."""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from jointlib.findings.intervals import in_text, interval
from jointlib.findings.measures import MEASURES
from jointlib.findings.published import claims
from jointlib.runs.folder import title

Cell = tuple[str, float | None]  # strategy and alpha; None: the strategy's own
NOISY: Cell = ("noisy", None)  # the unprocessed input; its accuracy is that of a classifier trained on clean speech
BEST = "detached"  # the strategy beyond the paper that is meant to improve both accuracy and quality


def values(scores: pd.DataFrame, metric: str, cell: Cell) -> pd.Series:
    """A model's column of per_utterance.csv, by seed, speaker and path; empty if the model was not run."""
    strategy, alpha = cell
    if strategy == "noisy" and metric.startswith("correct"):
        rows = scores[scores.strategy == "classifier_clean"]
    elif strategy == "noisy":
        metric = metric.replace("_enhanced", "_noisy")
        rows = scores.drop_duplicates(["seed", "path"])
    else:
        rows = scores[(scores.strategy == strategy) & ((scores.alpha == alpha) | (alpha is None))]
    if metric not in rows:
        return pd.Series(dtype=float)
    return rows.set_index(["seed", "speaker", "path"])[metric].dropna().astype(float)


def difference(scores: pd.DataFrame, metric: str, first: Cell, second: Cell) -> dict[str, float] | None:
    """First minus second on the utterances and seeds that both have: difference, low, high (95 %), p (two-sided t).

    Speakers and seeds are random effects, as in `intervals.interval`. None if one was not run.
    """
    both = pd.concat([values(scores, metric, cell) for cell in (first, second)], axis=1, join="inner", keys=("a", "b"))
    if both.empty:
        return None
    both = both.reset_index()
    mean, low, high, p = interval(both.a - both.b, both.speaker, both.seed)
    return {"difference": mean, "low": low, "high": high, "p": p, "seeds": both.seed.nunique()}


def better(about: Mapping[str, float], metric: str) -> int:
    """1 if the first of a `difference` is better, -1 if worse, 0 if the interval includes 0 or is NaN."""
    if not (about["low"] > 0 or about["high"] < 0):
        return 0
    return 1 if (about["difference"] > 0) != MEASURES[metric].less_is_better else -1


def shown(about: Mapping[str, float], metric: str) -> str:
    """A `difference` with unit and interval: ``+0.20 [+0.16, +0.24]``."""
    measure = MEASURES[metric]
    return in_text(about["difference"], about["low"], about["high"], f"+{measure.form}", measure.unit)


def compare_cells(scores: pd.DataFrame, pairs: Iterable[tuple[str, Cell, Cell]]) -> pd.DataFrame:
    """`difference` of several (metric, first, second), with p corrected for their number (Holm 1979) as p_holm."""
    rows = []
    for metric, first, second in pairs:
        if about := difference(scores, metric, first, second):
            rows.append({"metric": metric, "first": title(*first), "second": title(*second), **about})
    table = pd.DataFrame(rows, columns=["metric", "first", "second", "difference", "low", "high", "p", "seeds"])
    return table.assign(p_holm=holm(table.p.to_numpy(dtype=float)))


def holm(p: np.ndarray) -> np.ndarray:
    """p values corrected to control the family-wise error rate (Holm 1979)."""
    order = np.argsort(p)
    corrected = np.empty_like(p)
    corrected[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)).clip(max=1)
    return corrected


def verdicts(scores: pd.DataFrame) -> pd.DataFrame:
    """Each of the paper's claims with the published values, our difference, and a verdict: held, not held, undecided
    (not significant at 5 % after correction for their number), or not run. A positive difference supports it.
    The effect of a claim that holds is called smaller or larger if our interval excludes the published one."""
    rows, differences = list(claims().itertuples()), []
    for row in rows:
        cells = (row.better, row.better_alpha), (row.worse, row.worse_alpha)
        first, second = cells[::-1] if MEASURES[row.metric].less_is_better else cells
        differences.append(difference(scores, row.metric, first, second))
    corrected = iter(holm(np.array([about["p"] for about in differences if about])))
    table = []
    for row, about in zip(rows, differences, strict=True):
        if about is None:
            verdict = "not run"
        elif not next(corrected) < 0.05:  # NaN: a single test speaker
            verdict = "undecided"
        elif about["difference"] < 0:
            verdict = "not held: the reverse"
        else:
            first, second = map(float, row.published.split(" against "))
            size, effect = abs(first - second), ""
            if not about["low"] <= size <= about["high"]:
                effect = ": smaller effect" if about["high"] < size else ": larger effect"
            verdict = f"held{effect}"
        table.append((row.claim, row.published, shown(about, row.metric) if about else "–", verdict))
    return pd.DataFrame(table, columns=["claim", "in the paper", "difference, positive as claimed [95 %]", "here"])
