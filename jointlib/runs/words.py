"""What a table or a figure shows, in sentences: computed from the scores, right for any corpus and any outcome."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from IPython.display import Markdown

from jointlib.runs.comparisons import BEST, Cell, difference, name, one_change_at_a_time, values
from jointlib.runs.scores import cells, interval
from jointlib.runs.tables import TABLES
from jointlib.strategies import STRATEGIES


class Measure(NamedTuple):
    """A column of per_utterance.csv in a sentence: name, format and unit, and whether less of it is better."""

    label: str
    form: str
    unit: str = ""
    less_is_better: bool = False


MEASURES = {
    "correct": Measure("accuracy", ".3f"),
    "pesq_wb_enhanced": Measure("PESQ", ".2f"),
    "stoi_enhanced": Measure("STOI", ".3f"),
    "estoi_enhanced": Measure("ESTOI", ".3f"),
    "si_sdr_enhanced": Measure("SI-SDR", ".1f", " dB"),
    "lsd_enhanced": Measure("log-spectral distance", ".1f", " dB", less_is_better=True),
    "mse_enhanced": Measure("MSE", ".1e", less_is_better=True),
}
NOISY: Cell = ("noisy", None)
_HEARD = ("pesq_wb_enhanced", "stoi_enhanced", "si_sdr_enhanced")
_PLACES = {(True, True): "in both accuracy and {}", (False, True): "in {} only", (True, False): "in accuracy only"}


def what_we_see(*sentences: str) -> Markdown:
    """The sentences that are not empty, as a paragraph below a table or a figure."""
    return Markdown(
        f"**What we see.** {' '.join(filter(None, sentences)) or 'Nothing that was run can be compared here.'}"
    )


def realised_snr(plans: pd.DataFrame) -> str:
    """How far each mixer is from the SNR asked for, of plans with the columns mixer, snr_db and realised_snr_db."""
    off = (plans.realised_snr_db - plans.snr_db).abs().groupby(plans.mixer).max()
    listed = [f"with `{mixer}` by at most {value:.2f} dB" for mixer, value in off.items()]
    return f"The realised SNR differs from the nominal one {', '.join(listed)}."


def noise_damage(quality: pd.DataFrame) -> str:
    """What unprocessed noisy speech is worth at the lowest and the highest SNR: columns snr_db, pesq_wb and stoi."""
    mean = quality.groupby("snr_db")[["pesq_wb", "stoi"]].mean()
    listed = [f"PESQ {row.pesq_wb:.2f} and STOI {row.stoi:.2f} at {row.Index:g} dB" for row in mean.itertuples()]
    return (
        f"Unprocessed, noisy speech has {', '.join(listed[:: max(1, len(listed) - 1)])}; clean speech has 4.64 and 1."
    )


def versus(scores: pd.DataFrame, metric: str, first: Cell, second: Cell) -> str:
    """One cell against another on the same utterances and seeds; empty where one of them was not run."""
    about, measure = difference(scores, metric, first, second), MEASURES[metric]
    if about is None:
        return ""
    one, other = name(first), _later(name(second))
    shown = "{:+{form}}{unit}".format(about["difference"], form=measure.form, unit=measure.unit)
    if np.isnan(about["low"]):
        return f"{one} differs from {other} by {shown} in {measure.label}; a single test speaker gives no interval."
    shown += " [{:+{form}}, {:+{form}}]".format(about["low"], about["high"], form=measure.form)
    verdict = _verdict(about, metric)
    if not verdict:
        return f"{one} and {other} cannot be told apart in {measure.label} ({shown})."
    return f"{one} is {'better' if verdict > 0 else 'worse'} than {other} in {measure.label} ({shown})."


def cost_of_noise(scores: pd.DataFrame, strategy: str) -> str:
    """What a classifier loses between clean and noisy test speech; empty where it was not run."""
    own = scores[scores.strategy == strategy]
    if own.empty or "correct_on_clean" not in own or own.correct_on_clean.isna().all():
        return ""
    lost, low, high = interval(own.correct_on_clean - own.correct, own.speaker, own.seed)
    bounds = "" if np.isnan(low) else f" [{low:.3f}, {high:.3f}]"
    read = f"reads {own.correct_on_clean.mean():.3f} of clean and {own.correct.mean():.3f} of noisy speech"
    return f"{STRATEGIES[strategy].title} {read}: {lost:.3f}{bounds} less."


def against_input(scores: pd.DataFrame, cell: Cell) -> str:
    """What a cell's front-end does to the noisy input, in three measures of quality."""
    return " ".join(filter(None, (versus(scores, metric, cell, NOISY) for metric in _HEARD)))


def baselines(scores: pd.DataFrame) -> str:
    """What noise costs, what training on it repairs, and what enhancement in front adds, as far as it was run."""
    clean, noisy = ("classifier_clean", None), ("classifier_noisy", None)
    told = [cost_of_noise(scores, strategy) for strategy, _ in (clean, noisy)]
    told += [versus(scores, "correct", noisy, clean), against_input(scores, ("enhancement", None))]
    told += [versus(scores, "correct", ("cascade_clean", None), clean)]
    told += [versus(scores, "correct", ("cascade_enhanced", None), noisy)]
    return " ".join(filter(None, told))


def one_run(scores: pd.DataFrame) -> str:
    """What a single run's scores say: what noise costs it, and what its front-end does to the noisy input."""
    strategy, alpha = scores.strategy.iloc[0], scores.alpha.iloc[0]
    if STRATEGIES[strategy].test_input == "clean":
        return f"{name((strategy, alpha))} reads {scores.correct.mean():.3f} of clean speech; it has met no noise."
    cell = (strategy, alpha)
    told = (cost_of_noise(scores, strategy), against_input(scores, cell), by_snr(scores, "pesq_wb_enhanced", cell))
    return " ".join(filter(None, told))


def best_cell(scores: pd.DataFrame, number: int) -> str:
    """The best joint cell of one of the paper's tables, and whether it is better than the noisy input, in accuracy
    as a classifier of clean speech reads it."""
    metric = TABLES[number].metric
    found = cells(scores[scores.strategy.isin(TABLES[number].rows) & (scores.strategy != "jt_clean")], metric)
    if found.empty:
        return ""
    best = found.loc[found.value.idxmin() if MEASURES[metric].less_is_better else found.value.idxmax()]
    cell = (best.strategy, best.alpha)
    unprocessed = ("classifier_clean", None) if metric == "correct" else NOISY
    shown = f"{name(cell)}, with {best.value:{MEASURES[metric].form}}"
    number = f"{len(found)} cell{'s' * (len(found) > 1)}"
    return f"The best of {number} is {shown}. {versus(scores, metric, cell, unprocessed)}"


def best_of_all(scores: pd.DataFrame, metric: str, rival: Cell) -> str:
    """The best of all cells that are tested on noisy speech, and whether it is better than `rival`."""
    found = cells(scores[scores.strategy.map(lambda name: STRATEGIES[name].test_input == "noisy")], metric)
    if found.empty:
        return ""
    measure = MEASURES[metric]
    best = found.loc[found.value.idxmin() if measure.less_is_better else found.value.idxmax()]
    cell = (best.strategy, None if STRATEGIES[best.strategy].alpha is not None else best.alpha)
    number, value = f"{len(found)} cell{'s' * (len(found) > 1)}", f"{best.value:{measure.form}}{measure.unit}"
    reached = f"Of {number} **{name(cell)}** is best in {measure.label}, {value}."
    return f"{reached} {versus(scores, metric, cell, rival) if cell != rival else ''}".strip()


def corner(scores: pd.DataFrame, quality: str = "pesq_wb_enhanced") -> str:
    """Which cells are better, by the intervals, than doing nothing: listening to the noisy input, and reading it with
    a classifier that was trained on noisy speech."""
    reached: dict[str, list[str]] = {place: [] for place in (*_PLACES.values(), "in neither")}
    for strategy, alpha in scores[["strategy", "alpha"]].drop_duplicates().itertuples(index=False):
        cell = (strategy, alpha)
        heard = difference(scores, quality, cell, NOISY)
        read = difference(scores, "correct", cell, ("classifier_noisy", None))
        if heard and read and STRATEGIES[strategy].test_input == "noisy":
            better = _verdict(read, "correct") > 0, _verdict(heard, quality) > 0
            reached[_PLACES.get(better, "in neither")].append(name(cell))
    if not any(reached.values()):
        return ""
    label = MEASURES[quality].label
    listed = [f"\n- {place.format(label)}: {', and '.join(names) or 'none'}" for place, names in reached.items()]
    return f"Better than doing nothing, by the 95 % intervals:{''.join(listed)}\n"


def by_snr(scores: pd.DataFrame, metric: str, cell: Cell) -> str:
    """At which SNR a cell's gain over the noisy input is largest and smallest; empty where it was not run."""
    ours, noisy = values(scores, metric, cell), values(scores, metric, NOISY)
    if ours.empty or noisy.empty or scores.snr_db.nunique() < 2:
        return ""
    snr_db = scores.drop_duplicates("path").set_index("path").snr_db
    gain = (ours - noisy.reindex(ours.index)).groupby(lambda key: snr_db[key[2]]).mean()
    best, worst = gain.idxmax(), gain.idxmin()
    label, form, unit, _ = MEASURES[metric]
    most, least = (f"{gain[snr]:+{form}}{unit} (at an SNR of {snr:g} dB)" for snr in (best, worst))
    return f"{name(cell)} changes {label} by {most} at best and {least} at worst."


def gains_by_snr(scores: pd.DataFrame, metric: str, alpha: float = 0.5) -> str:
    """`by_snr` of every row with a front-end, the joint ones at one alpha, a line each."""
    rows = scores[["strategy", "alpha"]].drop_duplicates().itertuples(index=False)
    chosen = [row for row in rows if STRATEGIES[row.strategy].alpha is not None or row.alpha == alpha]
    told = (by_snr(scores, metric, tuple(row)) for row in chosen if STRATEGIES[row.strategy].test_input == "noisy")
    return "".join(f"\n- {line}" for line in told if line)


def ladder(scores: pd.DataFrame, quality: str = "pesq_wb_enhanced") -> str:
    """Which steps of `comparisons.LADDER` pay, after correction for their number, in accuracy and in quality."""
    steps = one_change_at_a_time(scores, quality)
    if steps.empty:
        return ""
    told = []
    for row in steps[steps.p_holm < 0.05].itertuples():
        measure = MEASURES[row.metric]
        told.append(f"\n- {row.first} over {row.second}: {row.difference:+{measure.form}} in {measure.label}")
    return f"Of {len(steps)} comparisons {len(told)} are significant. {''.join(told)}"


def verdict_count(table: pd.DataFrame) -> str:
    """How many of the paper's claims are held up, of a table of `comparisons.verdicts`."""
    counts = table["here"].str.partition(":")[0].value_counts()
    names = ("held", "not held", "undecided", "cannot be tested")
    listed = ", ".join(f"{counts[found]} {found}" for found in names if found in counts)
    return f"Of {len(table)} claims of the paper: {listed}."


def best_model(table: pd.DataFrame) -> str:
    """Against how many published rows the best model has both, of a table of `comparisons.dominance`."""
    if table.empty:
        return ""
    won = int((table["not worse, and better"] == "yes").sum())
    return f"{STRATEGIES[BEST].title} is not worse in accuracy, and better in quality, than {won} of {len(table)} rows."


def mistakes(scores: pd.DataFrame) -> str:
    """Which intent is most often taken for which."""
    wrong = scores[scores.predicted != scores.intent]
    if wrong.empty:
        return f"All {len(scores)} utterances are read as they were meant."
    counts = wrong.value_counts(["intent", "predicted"])
    (intent, predicted), count = counts.index[0], counts.iloc[0]
    return f"{len(wrong)} of {len(scores)} are misread, most often *{intent}* as *{predicted}* ({count})."


def _verdict(about: dict[str, float], metric: str) -> int:
    """1: better, -1: worse, 0: the interval includes 0, or there is none."""
    if not (about["low"] > 0 or about["high"] < 0):
        return 0
    return 1 if (about["difference"] > 0) != MEASURES[metric].less_is_better else -1


def _later(named: str) -> str:
    """A cell's name within a sentence."""
    return "the unprocessed noisy input" if named == name(NOISY) else named
