"""Sentences computed from scores: those that must be right for any corpus. All else is prose in the notebooks."""

import numpy as np
import pandas as pd
from IPython.display import Markdown

from jointlib.findings.comparisons import Cell, better, difference, shown
from jointlib.findings.intervals import cells, on_noise
from jointlib.findings.measures import MEASURES
from jointlib.runs.folder import title

_VERDICTS = {1: "is better than", 0: "does not differ significantly from", -1: "is worse than"}


def what_we_see(*sentences: str) -> Markdown:
    """The sentences that are not empty, below a table or a figure; each may be a list in Markdown."""
    text = "\n\n".join(filter(None, sentences)) or "Nothing that was run can be compared here."
    return Markdown(f"**What we see.** {text}")


def versus(scores: pd.DataFrame, metric: str, first: Cell, second: Cell) -> str:
    """Whether one cell is better than a second on the same utterances and seeds; empty where one was not run."""
    about = difference(scores, metric, first, second)
    if about is None:
        return ""
    verdict = _VERDICTS[better(about, metric)]
    if np.isnan(about["low"]):
        verdict = "cannot be compared, with a single test speaker, with"
    label = MEASURES[metric].label
    return f"**{title(*first)}** {verdict} **{title(*second)}** in {label} ({shown(about, metric)})."


def best_of_all(scores: pd.DataFrame, metric: str, rival: Cell) -> str:
    """The best of all cells that are tested on noisy speech, or those that share the best mean, and whether they are
    better than `rival`; a classifier that has learnt nothing is not the best in accuracy."""
    table, measure = cells(on_noise(scores), metric), MEASURES[metric]
    if table.empty:
        return ""
    able = table[~table.guessing.astype(bool)] if metric == "correct" else table
    if able.empty:
        return f"Of {len(table)} cells, none has learnt to classify, so that none is the best."
    value = f"{able.value.min() if measure.less_is_better else able.value.max():{measure.form}}"
    best = [row for row in able.itertuples() if f"{row.value:{measure.form}}" == value]  # equal as they are shown
    names = " and ".join(f"**{title(row.strategy, row.alpha)}**" for row in best)
    text = f"Of {len(table)} cells, {names} {'has' if len(best) == 1 else 'share'} the best {measure.label}, {value}."
    against = [versus(scores, metric, (row.strategy, row.alpha), rival) for row in best if row.strategy != rival[0]]
    return " ".join(filter(None, [text, *against]))


def verdict_count(verdicts: pd.DataFrame) -> str:
    """How many of the paper's claims hold, from a table of `comparisons.verdicts`."""
    counts = verdicts.here.str.partition(":")[0].value_counts()
    listed = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    return f"The paper's {len(verdicts)} claims: {listed}."


def failed(scores: pd.DataFrame) -> str:
    """Which metrics could not be computed and why: ``STOI of noisy speech: 7 utterances (too little speech)``."""
    labels = {name.removesuffix("_enhanced"): measure.label for name, measure in MEASURES.items()}
    lines = []
    for column in scores.filter(like="failed_"):
        speech = column.removeprefix("failed_")
        reasons = scores.assign(reason=scores[column].fillna("").str.split("; ")).explode("reason")
        counts = reasons[reasons.reason != ""].groupby("reason").path.nunique()
        for text, count in counts.items():
            metric, _, reason = text.partition(": ")
            lines.append(f"\n- {labels.get(metric, metric)} of {speech} speech: {count} utterances ({reason})")
    return f"Not computed, and left out of every mean:{''.join(lines)}" if lines else "Every metric was computed."
