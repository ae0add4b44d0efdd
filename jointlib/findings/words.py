"""Sentences computed from scores, which must hold for any corpus. All other prose is in the notebooks."""

import numpy as np
import pandas as pd
from IPython.display import Markdown

from jointlib.findings.comparisons import Cell, better, difference, shown
from jointlib.findings.measures import MEASURES
from jointlib.runs.folder import title

_VERDICTS = {1: "is better than", 0: "does not differ significantly from", -1: "is worse than"}


def what_we_see(*sentences: str) -> Markdown:
    """The sentences that are not empty, below a table or a figure; each may be a list in Markdown."""
    text = "\n\n".join(filter(None, sentences)) or "Nothing that was run can be compared here."
    return Markdown(f"**What we see.** {text}")


def versus(scores: pd.DataFrame, metric: str, first: Cell, second: Cell) -> str:
    """A sentence that compares two models on the same utterances and seeds; empty if one was not run."""
    about = difference(scores, metric, first, second)
    if about is None:
        return ""
    verdict = _VERDICTS[better(about, metric)]
    if np.isnan(about["low"]):
        verdict = "cannot be compared, with a single test speaker, with"
    label = MEASURES[metric].label
    return f"**{title(*first)}** {verdict} **{title(*second)}** in {label} ({shown(about, metric)})."


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
