"""Two rows on the same utterances, and the paper's claims: what is held up by our scores, and what is not."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import t

from jointlib.config import CHECKOUT
from jointlib.runs.folder import title
from jointlib.runs.intervals import interval, mean_error
from jointlib.runs.measures import MEASURES
from jointlib.strategies import STRATEGIES

Cell = tuple[str, float | None]  # strategy and alpha; None: the strategy's own; "noisy" is the unprocessed input


class Claim(NamedTuple):
    """That one cell is better than another: a sentence, the column of per_utterance.csv, and the two cells."""

    text: str
    metric: str
    better: Cell
    worse: Cell


_NOISY: Cell = ("noisy", None)
# Of a measure the paper's table, and how that prints it.
_TABLE_OF = {
    "correct": (2, ".3f"),
    "pesq_wb_enhanced": (3, ".2f"),
    "stoi_enhanced": (4, ".2f"),
    "mse_enhanced": (5, ".1e"),
}
BEST = "protected"  # the strategy beyond the paper that is meant to have both, accuracy and quality
# Each changes one thing in the one before; the second has another start, too, unless all are trained from scratch.
LADDER = ("jt", "jt_spectral", "jt_mask", "shielded", "protected", "dual")
_JT, _BN, _MIX = ("jt", 0.5), ("bn", 0.5), ("bn_mix", 0.5)
CLAIMS = (
    Claim("Joint training repairs what noise costs: JT over a classifier of clean speech", "correct", _JT, _NOISY),
    Claim("JT classifies better than BN", "correct", _JT, _BN),
    Claim("BN classifies better than BN-Mix", "correct", _BN, _MIX),
    Claim("JT has a lower PESQ than the noisy input", "pesq_wb_enhanced", _NOISY, _JT),
    Claim("JT has a lower STOI than the noisy input", "stoi_enhanced", _NOISY, _JT),
    Claim("BN has a higher PESQ than the noisy input", "pesq_wb_enhanced", _BN, _NOISY),
    Claim("BN-Mix has a higher PESQ than the noisy input", "pesq_wb_enhanced", _MIX, _NOISY),
    Claim("JT has a higher MSE than the noisy input", "mse_enhanced", _NOISY, _JT),
    Claim("BN has a lower MSE than the noisy input", "mse_enhanced", _BN, _NOISY),
    Claim("BN-Mix has a lower MSE than the noisy input", "mse_enhanced", _MIX, _NOISY),
    Claim("BN needs the MSE: PESQ at alpha = 0.1 over alpha = 0", "pesq_wb_enhanced", ("bn", 0.1), ("bn", 0.0)),
    Claim("JT needs the MSE: accuracy at alpha = 0.5 over alpha = 0", "correct", _JT, ("jt", 0.0)),
)


def published() -> pd.DataFrame:
    """The paper's Tables 2 to 5: table, metric, strategy, alpha, value (NaN where the paper prints a dash).

    FileNotFoundError: an installed package has no published tables.
    """
    file = CHECKOUT / "results/published/tables.csv"
    if not file.is_file():
        raise FileNotFoundError(
            f"{file} is missing: the published tables, like the notebooks, come with a checkout only"
        )
    return pd.read_csv(file)


def values(scores: pd.DataFrame, metric: str, cell: Cell) -> pd.Series:
    """A column's values in one cell, by seed, speaker and path; empty where it was not run."""
    strategy, alpha = cell
    if strategy == "noisy" and metric == "correct":
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

    Speakers and seeds are random, as in `intervals.interval`. None where one was not run.
    """
    both = pd.concat([values(scores, metric, cell) for cell in (first, second)], axis=1, join="inner", keys=("a", "b"))
    if both.empty:
        return None
    both = both.reset_index()
    columns = both.a - both.b, both.speaker, both.seed
    mean, error, freedom = mean_error(*columns)
    _, low, high = interval(*columns)
    p = float(2 * t.sf(abs(mean) / error, freedom)) if error else float(mean == 0)
    return {"difference": mean, "low": low, "high": high, "p": p, "seeds": both.seed.nunique()}


def better(about: Mapping[str, float], metric: str) -> int:
    """Of a `difference`: 1, the first is better; -1, worse; 0, the interval includes 0, or there is none."""
    if not (about["low"] > 0 or about["high"] < 0):
        return 0
    return 1 if (about["difference"] > 0) != MEASURES[metric].less_is_better else -1


def shown(about: Mapping[str, float], metric: str) -> str:
    """A `difference` with unit and interval, which a single test speaker does not have: ``+0.20 [+0.16, +0.24]``."""
    _, _, form, unit, _ = MEASURES[metric]
    bounds = "" if np.isnan(about["low"]) else f" [{about['low']:+{form}}, {about['high']:+{form}}]"
    return f"{about['difference']:+{form}}{unit}{bounds}"


def compare_cells(scores: pd.DataFrame, pairs: Iterable[tuple[str, Cell, Cell]]) -> pd.DataFrame:
    """`difference` of several (metric, first, second), with p corrected for their number (Holm 1979) as p_holm."""
    rows = []
    for metric, first, second in pairs:
        if found := difference(scores, metric, first, second):
            rows.append({"metric": metric, "first": name(first), "second": name(second), **found})
    table = pd.DataFrame(rows, columns=["metric", "first", "second", "difference", "low", "high", "p", "seeds"])
    return table.assign(p_holm=holm(table.p.to_numpy(dtype=float)))


def pairs_of_interest(scores: pd.DataFrame, best: str = BEST) -> list[tuple[str, Cell, Cell]]:
    """What is compared: `best` with every other row that reads noisy speech, in accuracy and in three measures of
    quality, and every joint strategy of the paper with what it has to beat: a classifier that was trained on noisy
    speech, and a cascade of separately trained parts."""
    rows = scores[["strategy", "alpha"]].drop_duplicates().itertuples(index=False)
    cells: list[Cell] = [tuple(row) for row in rows if STRATEGIES[row.strategy].test_input == "noisy"]
    pairs: list[tuple[str, Cell, Cell]] = [
        (metric, (best, None), other)
        for metric in ("correct", "pesq_wb_enhanced", "stoi_enhanced", "si_sdr_enhanced")
        for other in [*([_NOISY] if metric != "correct" else []), *(cell for cell in cells if cell[0] != best)]
    ]  # who reads the noisy input is a row of its own: the classifier of clean speech
    joint = [cell for cell in cells if STRATEGIES[cell[0]].alpha is None]
    rivals = [("classifier_noisy", None), ("cascade_enhanced", None)]
    return pairs + [("correct", cell, rival) for cell in joint for rival in rivals]


def one_change_at_a_time(scores: pd.DataFrame, quality: str = "pesq_wb_enhanced") -> pd.DataFrame:
    """`compare_cells` of every step of the ladder that was run, in accuracy and in quality, joint rows at alpha 0.5."""
    ladder: list[Cell] = [(row, STRATEGIES[row].alpha or 0.5) for row in LADDER if row in set(scores.strategy)]
    return compare_cells(
        scores, [(metric, after, before) for before, after in pairwise(ladder) for metric in ("correct", quality)]
    )


def dominance(
    scores: pd.DataFrame, best: str = BEST, quality: str = "pesq_wb_enhanced", margin: float = 0.01
) -> pd.DataFrame:
    """Whether `best` has both: for every published row, the differences in accuracy and in quality, and a verdict.

    It is not worse in accuracy where the 95 % interval of the difference lies above -`margin`, and better in quality
    where it lies on the better side of 0; a row without a front-end is compared in accuracy, and the noisy input is
    its quality.
    """
    rows = scores[["strategy", "alpha"]].drop_duplicates().itertuples(index=False)
    published = [
        tuple(row)
        for row in rows
        if STRATEGIES[row.strategy].published and STRATEGIES[row.strategy].test_input == "noisy"
    ]
    found = []
    for cell in published:
        read = difference(scores, "correct", (best, None), cell)
        heard = difference(scores, quality, (best, None), cell) or difference(scores, quality, (best, None), _NOISY)
        if read and heard:
            verdict = read["low"] > -margin and better(heard, quality) > 0
            found.append((name(cell), shown(read, "correct"), shown(heard, quality), "yes" if verdict else "no"))
    return pd.DataFrame(found, columns=["against", "accuracy", MEASURES[quality].label, "not worse, and better"])


def holm(p: np.ndarray) -> np.ndarray:
    """p values corrected so that the chance of any false find stays below the level (Holm 1979)."""
    order = np.argsort(p)
    corrected = np.empty_like(p)
    corrected[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)).clip(max=1)
    return corrected


def name(cell: Cell) -> str:
    """How a sentence names a cell."""
    strategy, alpha = cell
    return "Noisy, unprocessed" if strategy == "noisy" else title(strategy, alpha if alpha is not None else np.nan)


def verdicts(scores: pd.DataFrame, claims: Sequence[Claim] = CLAIMS) -> pd.DataFrame:
    """Each claim with the published values, our difference, and a verdict: held, not held, undecided, or not tested.

    A positive difference speaks for the claim.
    """
    found = [_in_favour(scores, claim) for claim in claims]
    corrected = iter(holm(np.array([about["p"] for about in found if about])))
    rows = []
    for claim, about in zip(claims, found, strict=True):
        named = sorted((claim.better, claim.worse), key=lambda cell: cell == _NOISY)  # as the sentence does
        theirs = " against ".join(_published(claim.metric, cell) for cell in named)
        if about is None:
            rows.append((claim.text, theirs, "–", "cannot be tested: not run"))
        elif not next(corrected) < 0.05:  # NaN: a single test speaker
            rows.append((claim.text, theirs, shown(about, claim.metric), "undecided"))
        else:
            verdict = "held" if about["difference"] > 0 else "not held: the reverse"
            rows.append((claim.text, theirs, shown(about, claim.metric), verdict))
    return pd.DataFrame(rows, columns=["claim", "in the paper", "our difference [95 % interval]", "here"])


def _in_favour(scores: pd.DataFrame, claim: Claim) -> dict[str, float] | None:
    """By how much the cell that a claim calls better is so, as a `difference`."""
    less = MEASURES[claim.metric].less_is_better
    first, second = (claim.worse, claim.better) if less else (claim.better, claim.worse)
    return difference(scores, claim.metric, first, second)


def _published(metric: str, cell: Cell) -> str:
    """The paper's value of a cell, as it prints it."""
    table, (strategy, alpha), (number, form) = published(), cell, _TABLE_OF[metric]
    rows = table[(table.table == number) & (table.strategy == strategy)]
    return f"{rows[rows.alpha.isna() if alpha is None else rows.alpha == alpha].value.item():{form}}"
