"""Blind votes as plain functions: trials drawn by a seed, votes kept one by one, what they come to."""

import csv
import io
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from filelock import FileLock
from scipy.stats import binomtest

KINDS = {"preference": "Which sounds better?", "abx": "Which of the two is X?"}
SESSION = ("voter", "kind", "seed", "trials", "run_a", "run_b")  # what tells one voter's series of trials from another
TRIAL = ("trial", "utterance", "noise_type", "snr_db", "first", "x")
COLUMNS = ("time", *SESSION, *TRIAL, "vote")


class VoteError(ValueError):
    """A vote that cannot be held or kept, in one line of plain words."""


def draw_trials(plan: pd.DataFrame, count: int, seed: int) -> pd.DataFrame:
    """Draw `count` rows of a contamination plan without replacement, and for each which run comes first and which is X.

    Order and X are coin flips: were they balanced, answers would depend on each other, and the binomial interval would
    not be exact. The same seed and count draw the same trials.

    Returns:
        A row per trial: trial (from 0), row (of the plan), utterance (its path), noise_type, snr_db; "A" or "B" as
        first and x.

    Raises:
        VoteError: more trials than rows, or none.
    """
    if not 1 <= count <= len(plan):
        raise VoteError(f"{count} trials asked for; there are 1 to {len(plan)}, one an utterance.")
    rng = np.random.default_rng([seed, count])  # a longer series is another one, not more of what was seen already
    rows = rng.permutation(len(plan))[:count]
    first, x = rng.choice(["A", "B"], size=(2, count))
    drawn = (
        plan.iloc[rows].reset_index(drop=True)[["path", "noise_type", "snr_db"]].rename(columns={"path": "utterance"})
    )
    return drawn.assign(trial=range(count), row=rows, first=first, x=x)


def append_vote(file: Path, vote: Mapping[str, Any]) -> None:
    """Add one vote to a CSV and bring it to the disk before going on, so that no kernel that dies takes it along.

    Raises:
        VoteError: the file has other columns.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(file.with_name(f".{file.name}.lock")):  # a page in a browser has a kernel of its own
        _append(file, vote)


def _append(file: Path, vote: Mapping[str, Any]) -> None:
    fresh = not file.exists() or file.stat().st_size == 0
    if not fresh:
        _check(file)
        os.truncate(file, len(_whole_lines(file)))
    with file.open("a", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS)
        if fresh:
            writer.writeheader()
        writer.writerow({"time": datetime.now(UTC).isoformat(timespec="seconds"), **vote})
        stream.flush()
        os.fsync(stream.fileno())


def read_votes(file: Path) -> pd.DataFrame:
    """Every vote so far; the last one where a trial was voted on twice. Empty when there is no file yet."""
    if not file.exists():
        return pd.DataFrame(columns=COLUMNS)
    _check(file)
    votes = pd.read_csv(io.BytesIO(_whole_lines(file)), dtype={"voter": str}, keep_default_na=False)
    return votes.drop_duplicates([*SESSION, "trial"], keep="last").reset_index(drop=True)


def _whole_lines(file: Path) -> bytes:
    """The file without a last line that has no end: half a vote, of a kernel that was killed."""
    content = file.read_bytes()
    return content[: content.rfind(b"\n") + 1]


def _check(file: Path) -> None:
    with file.open(newline="") as stream:
        found = next(csv.reader(stream), [])
    if found != list(COLUMNS):
        raise VoteError(f"{file} has the columns {found}; votes have {list(COLUMNS)}. Move it away to begin a new one.")


def finished(votes: pd.DataFrame) -> pd.DataFrame:
    """The votes of series that are complete: who is still voting must not see how it stands."""
    return votes.groupby(list(SESSION)).filter(lambda series: len(series) >= series.trials.iloc[-1])


def summary(votes: pd.DataFrame) -> pd.DataFrame:
    """Every kind and pair of runs, voters together, with its exact (Clopper-Pearson) binomial interval.

    Returns:
        kind, run_a, run_b, votes, count and share (votes for A; with abx those that are right), low, high (95 %), and
        p, two-sided, against one half. The interval takes votes for independent; several of one voter are not quite.
    """
    rows = []
    for (kind, run_a, run_b), group in votes.groupby(["kind", "run_a", "run_b"]):
        count = int((group.vote == (group.x if kind == "abx" else "A")).sum())
        test = binomtest(count, len(group))
        low, high = test.proportion_ci(0.95, method="exact")
        rows.append((kind, run_a, run_b, len(group), count, count / len(group), low, high, test.pvalue))
    return pd.DataFrame(rows, columns=["kind", "run_a", "run_b", "votes", "count", "share", "low", "high", "p"])
