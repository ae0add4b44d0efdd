"""Tables from finished runs: the paper's, with the published values, and overviews of all runs."""

from collections.abc import Sequence
from itertools import starmap
from typing import Any

import numpy as np
import pandas as pd

from jointlib.findings.intervals import cells, in_text, noisy_cell, on_noise
from jointlib.findings.measures import MEASURES
from jointlib.findings.published import TABLES, published
from jointlib.runs.evaluate import remark
from jointlib.runs.folder import title

_OVERVIEW = ("correct", "correct_on_clean", "pesq_wb_enhanced", "stoi_enhanced", "si_sdr_enhanced")


def compare(scores: pd.DataFrame, number: int, classifier: str = "classifier_clean") -> pd.DataFrame:
    """A paper table in long form: table, strategy, alpha, published, and the columns of `intervals.cells`."""
    _, metric, _ = TABLES[number]
    ours = pd.concat([noisy_cell(scores, metric, classifier), cells(scores, metric)])
    theirs = published().query("table == @number").rename(columns={"value": "published"})
    return theirs.merge(ours, on=["strategy", "alpha"], how="left").drop(columns="metric")


def paper_tables(scores: pd.DataFrame, classifier: str = "classifier_clean") -> pd.DataFrame:
    """The paper's Tables 2 to 5 in one, as far as run: "ours [95 % interval] (published)"; for † see `legend`."""
    columns = []
    for number, (caption, metric, form) in TABLES.items():
        texts = {}
        for row in compare(scores, number, classifier).dropna(subset="value").itertuples():
            theirs = "–" if np.isnan(row.published) else f"{row.published:{form}}"
            texts[title(row.strategy, row.alpha)] = f"{_with_bounds(row, form, metric)} ({theirs})"
        columns.append(pd.Series(texts, name=f"Table {number}: {caption}", dtype=object))
    return pd.concat(columns, axis=1).fillna("–").rename_axis("strategy")


def overview(scores: pd.DataFrame) -> pd.DataFrame:
    """Unprocessed speech and every strategy that was run: accuracy on noisy and on clean speech, quality, and the
    average cost of a run with all that initialise it."""
    grouped = scores.groupby(["strategy", "alpha"])
    mean = grouped[["passes", "core_seconds", "parameters"]].mean()
    cost = {
        "seeds": grouped.seed.nunique().map(str),
        "passes": mean.passes.map("{:.3g}".format),
        "core-minutes": (mean.core_seconds / 60).map("{:.1f}".format),
        "parameters": (mean.parameters / 1000).map("{:,.0f} k".format),
    }
    return measured(scores, _OVERVIEW).join(pd.DataFrame(cost).set_axis(starmap(title, mean.index))).fillna("–")


def measured(scores: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """A row for noisy speech and every strategy and alpha that was run, one column per metric. Noisy speech is first,
    the others are sorted by the first metric that they have, best first. Strategies tested on clean speech have no
    quality, and no accuracy on noisy speech."""
    texts, ranks = {}, {}
    for place, metric in enumerate(metrics):
        own = scores if metric == "correct_on_clean" else on_noise(scores)
        noisy = [noisy_cell(scores, metric)] if metric.endswith("_enhanced") else []
        for row in pd.concat([*noisy, cells(own, metric)]).itertuples():
            cell = title(row.strategy, row.alpha)
            ranks.setdefault(cell, (row.strategy != "noisy", place, -row.value))
            texts.setdefault(cell, {})[metric] = _with_bounds(row, MEASURES[metric].form, metric)
    table = pd.DataFrame.from_dict(texts, orient="index", columns=metrics).loc[sorted(ranks, key=ranks.get)]
    return table.rename(columns=lambda metric: MEASURES[metric].head).rename_axis("strategy").fillna("–")


def _with_bounds(row: Any, form: str, metric: str) -> str:
    """A row of `cells` as text, an accuracy marked with † where a classifier has learnt nothing."""
    mark = " †" if row.guessing and metric.startswith("correct") else ""
    return in_text(row.value, row.low, row.high, form, mark)


def legend(scores: pd.DataFrame) -> str:
    """The runs marked †, each with its `evaluate.remark`, as a Markdown list; empty if there are none."""
    lines = []
    for (strategy, alpha, seed), own in scores.groupby(["strategy", "alpha", "seed"]):
        if reason := remark(own.dropna(axis=1, how="all")):
            lines.append(f"- {title(strategy, alpha)}, seed {seed}: {reason}")
    return "\n".join(["† A classifier that has learnt nothing:", "", *lines]) if lines else ""
