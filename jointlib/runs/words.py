"""What a table or a figure shows, in sentences: computed from the scores, right for any corpus and any outcome."""

import re
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd
from IPython.display import Markdown

from jointlib.corpora.batches import Data
from jointlib.runs.comparisons import BEST, Cell, better, difference, name, one_change_at_a_time, shown, values
from jointlib.runs.intervals import cells, interval, on_noise
from jointlib.runs.measures import MEASURES
from jointlib.runs.scores import failed_metrics
from jointlib.runs.tables import TABLES, held_back
from jointlib.strategies import STRATEGIES

NOISY: Cell = ("noisy", None)
_HEARD = ("pesq_wb_enhanced", "stoi_enhanced", "si_sdr_enhanced")
_CALLED = {  # in a sentence, where the title is no name
    "noisy": "the unprocessed noisy input",
    "classifier_clean": "the classifier trained on clean speech",
    "classifier_noisy": "the classifier trained on noisy speech",
    "enhancement": "enhancement alone",
    "mask": "the mask alone",
    "cascade_clean": "the cascade with a classifier trained on clean speech",
    "cascade_enhanced": "the cascade with a classifier trained on enhanced speech",
}
_VERDICTS = {
    "held": ("holds", "hold"),
    "not held": ("does not hold", "do not hold"),
    "undecided": ("is undecided", "are undecided"),
    "cannot be tested": ("cannot be tested", "cannot be tested"),
}
_PLACES = {(True, True): "in both accuracy and {}", (False, True): "in {} only", (True, False): "in accuracy only"}


def what_we_see(*sentences: str) -> Markdown:
    """The sentences that are not empty, below a table or a figure: a paragraph, which a list (it ends a line) ends."""
    told = "".join(f"{sentence}\n" if sentence.endswith("\n") else f"{sentence} " for sentence in sentences if sentence)
    return Markdown(f"**What we see.** {told.rstrip() or 'Nothing that was run can be compared here.'}")


def realised_snr(plans: pd.DataFrame) -> str:
    """How far each mixer is from the SNR asked for, of plans with the columns mixer, snr_db and realised_snr_db."""
    off = (plans.realised_snr_db - plans.snr_db).abs().groupby(plans.mixer).max()
    listed = [f"{value:.2f} dB with `{mixer}`" for mixer, value in off.items()]
    return f"The realised SNR differs from the nominal one by at most {' and '.join(listed)}."


def noise_damage(quality: pd.DataFrame) -> str:
    """What unprocessed noisy speech is worth at the lowest and the highest SNR: columns snr_db, pesq_wb and stoi."""
    mean = quality.groupby("snr_db")[["pesq_wb", "stoi"]].mean()
    listed = [f"PESQ {row.pesq_wb:.2f} and STOI {row.stoi:.2f} at {row.Index:g} dB" for row in mean.itertuples()]
    ends = ", and ".join(listed[:: max(1, len(listed) - 1)])
    return f"Unprocessed noisy speech has {ends}; clean speech has 4.64 and 1."


def versus(scores: pd.DataFrame, metric: str, first: Cell, second: Cell, subject: str = "") -> str:
    """One cell, called by its name unless by another `subject`, against a second on the same utterances and seeds;
    empty where one of them was not run."""
    about, measure = difference(scores, metric, first, second), MEASURES[metric]
    if about is None:
        return ""
    one, other = subject or _capital(called(first)), called(second)
    told = shown(about, metric)
    if np.isnan(about["low"]):
        return f"{one} differs from {other} by {told} in {measure.label}; a single test speaker gives no interval."
    verdict = better(about, metric)
    if not verdict:
        return f"{one} does not differ significantly from {other} in {measure.label} ({told})."
    return f"{one} is {'better' if verdict > 0 else 'worse'} than {other} in {measure.label} ({told})."


def cost_of_noise(scores: pd.DataFrame, strategy: str) -> str:
    """What a classifier loses between clean and noisy test speech; empty where it was not run."""
    own = scores[scores.strategy == strategy]
    if own.empty or "correct_on_clean" not in own or own.correct_on_clean.isna().all():
        return ""
    lost, low, high = interval(own.correct_on_clean - own.correct, own.speaker, own.seed)
    bounds = "" if np.isnan(low) else f" [{low:.3f}, {high:.3f}]"
    read = f"{own.correct_on_clean.mean():.3f} on clean and of {own.correct.mean():.3f} on noisy speech"
    who = _capital(called((strategy, own.alpha.iloc[0])))
    return f"{who} has an accuracy of {read}, a loss of {lost:.3f}{bounds}."


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
        read = f"has an accuracy of {scores.correct.mean():.3f} on clean speech; it has met no noise"
        return f"{_capital(called((strategy, alpha)))} {read}."
    cell = (strategy, alpha)
    told = (cost_of_noise(scores, strategy), against_input(scores, cell), by_snr(scores, "pesq_wb_enhanced", cell))
    return " ".join(filter(None, told))


def best_cell(scores: pd.DataFrame, number: int, classifier: str = "classifier_clean") -> str:
    """The best joint cell of one of the paper's tables, and whether it is better than the noisy input, in accuracy
    as `classifier` reads it."""
    metric, compared = TABLES[number].metric, on_noise(scores)
    found = _best(compared[compared.strategy.isin(TABLES[number].rows)], metric)
    if found is None:
        return ""
    cell, value, count = found
    unprocessed = (classifier, None) if metric == "correct" else NOISY
    best = f"the best of {count} cells" if count > 1 else "the only cell"
    told = f"{_capital(called(cell))} is {best} ({value})."
    return f"{told} {versus(scores, metric, cell, unprocessed, 'It')}"


def best_of_all(scores: pd.DataFrame, metric: str, rival: Cell) -> str:
    """The best of all cells that are tested on noisy speech, and whether it is better than `rival`."""
    found = _best(on_noise(scores), metric)
    if found is None:
        return ""
    cell, value, number = found
    label = MEASURES[metric].label
    reached = f"Of {number} cells, **{called(cell)}** has the best {label}, {value}."
    if number == 1:
        reached = f"The only cell, **{called(cell)}**, reaches {value} in {label}."
    return f"{reached} {versus(scores, metric, cell, rival, 'It') if cell != rival else ''}".strip()


def best_rows(scores: pd.DataFrame) -> str:
    """Which cell has the best mean of each measure, of those that are tested on noisy speech."""
    best = {measure.label: _best(on_noise(scores), metric) for metric, measure in MEASURES.items()}
    told = [f"\n- {label}: {name(found[0])}, {found[1]}" for label, found in best.items() if found]
    return f"The best mean of each measure:{''.join(told)}\n" if told else ""


def _best(scores: pd.DataFrame, metric: str) -> tuple[Cell, str, int] | None:
    """The cell with the best mean, that mean, and of how many cells; None where none was measured."""
    if (found := cells(scores, metric)).empty:
        return None
    measure = MEASURES[metric]
    best = found.loc[found.value.idxmin() if measure.less_is_better else found.value.idxmax()]
    cell = (best.strategy, None if STRATEGIES[best.strategy].alpha is not None else best.alpha)
    return cell, f"{best.value:{measure.form}}{measure.unit}", len(found)


def corner(scores: pd.DataFrame, quality: str = "pesq_wb_enhanced") -> str:
    """Which cells are better, by the intervals, than without enhancement: listening to the noisy input, and reading it
    with a classifier that was trained on noisy speech."""
    reached: dict[str, list[str]] = {place: [] for place in (*_PLACES.values(), "in neither")}
    for strategy, alpha in scores[["strategy", "alpha"]].drop_duplicates().itertuples(index=False):
        cell = (strategy, alpha)
        heard = difference(scores, quality, cell, NOISY)
        read = difference(scores, "correct", cell, ("classifier_noisy", None))
        if heard and read and STRATEGIES[strategy].test_input == "noisy":
            place = better(read, "correct") > 0, better(heard, quality) > 0
            reached[_PLACES.get(place, "in neither")].append(name(cell))
    if not any(reached.values()):
        return ""
    label = MEASURES[quality].label
    listed = [f"\n- {place.format(label)}: {'; '.join(names) or 'none'}" for place, names in reached.items()]
    return f"Better than without enhancement, by the 95 % intervals:{''.join(listed)}\n"


def by_snr(scores: pd.DataFrame, metric: str, cell: Cell) -> str:
    """At which SNR a cell's gain over the noisy input is best and worst; empty where it was not run."""
    ours, noisy = values(scores, metric, cell), values(scores, metric, NOISY)
    if ours.empty or noisy.empty or scores.snr_db.nunique() < 2:
        return ""
    snr_db = scores.drop_duplicates("path").set_index("path").snr_db
    gain = (ours - noisy.reindex(ours.index)).groupby(lambda key: snr_db[key[2]]).mean()
    label, _, form, unit, less = MEASURES[metric]
    best, worst = (gain.idxmin(), gain.idxmax()) if less else (gain.idxmax(), gain.idxmin())
    most, least = (f"{gain[snr]:+{form}}{unit}" for snr in (best, worst))
    ends = f"by {most} at best, at an SNR of {best:g} dB, and by {least} at worst, at {worst:g} dB"
    return f"{_capital(called(cell))} changes {label} {ends}."


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
    count = f"{len(told)} of {len(steps)} comparisons {'is' if len(told) == 1 else 'are'} significant"
    return f"{count}:{''.join(told)}\n" if told else f"{count}."


def failed(scores: pd.DataFrame) -> str:
    """What could not be computed, of how many utterances and why; it is not part of any mean."""
    lines = "".join(f"\n- {line}" for line in failed_metrics(scores))
    return f"Not computed, and left out of every mean:{lines}\n" if lines else "Every metric was computed."


def training(histories: Mapping[str, pd.DataFrame], clean: Collection[str] = ()) -> str:
    """When each training's best validation was, and what it read of the validation split; histories by strategy, those
    in `clean` of trainings that were validated on clean speech."""
    lines = []
    for strategy, history in histories.items():
        if "selected" in history and len(best := history[history.selected.astype(bool)]):
            row, end = best.iloc[-1], history.step.iloc[-1]  # each was the best so far
            speech = "clean" if strategy in clean else "noisy"
            read = (
                f", accuracy {row.valid_accuracy:.3f} on {speech} speech" if pd.notna(row.get("valid_accuracy")) else ""
            )
            lines.append(f"\n- {STRATEGIES[strategy].title}: step {row.step:,.0f} of {end:,.0f}{read}")
    return f"Kept, as the best on the validation split:{''.join(lines)}\n" if lines else "Nothing was trained."


def extremes(scores: pd.DataFrame, by: str, metric: str = "correct") -> str:
    """At which SNR (by snr_db) or in which noise (by noise_type) each strategy's mean of a measure is lowest and
    highest."""
    if metric not in scores or scores[by].nunique() < 2:
        return ""
    measure, told = MEASURES[metric], []
    place = {"snr_db": "at {:g} dB", "noise_type": "in {}"}[by].format
    rows = {cell: own for cell, own in scores.groupby(["strategy", "alpha"]) if own[metric].notna().any()}
    for cell, own in rows.items():
        means = own.groupby(by)[metric].mean()
        low, high = (
            f"{place(key)} ({means[key]:{measure.form}}{measure.unit})" for key in (means.idxmin(), means.idxmax())
        )
        who = f" of {called(cell)}" if len(rows) > 1 else ""
        told.append(f"{_capital(measure.label)}{who} is lowest {low} and highest {high}.")
    return " ".join(told)


def utterance(scores: pd.DataFrame, path: str, metric: str = "pesq_wb_enhanced") -> str:
    """A measure of one utterance, noisy and as every row with a front-end makes it, best first."""
    own = scores[scores.path == path].dropna(subset=metric) if metric in scores else scores[:0]
    if own.empty:
        return ""
    label, _, form, unit, less = MEASURES[metric]
    means = own.groupby(["strategy", "alpha"])[metric].mean().sort_values(ascending=less)
    listed = ", ".join(f"{value:{form}}{unit} with {called(cell)}" for cell, value in means.items())
    noisy = own[metric.replace("_enhanced", "_noisy")].iloc[0]
    return f"{label} of this utterance: {noisy:{form}}{unit} unprocessed, {listed}."


def pair(runs: Sequence[pd.DataFrame], path: str) -> str:
    """Two runs, as of `scores.read_run`: how they read one utterance, how many only one of them understands, which is
    better. Empty where they are not of two cells, or one classifies nothing or was tested on other utterances."""
    both: list[Cell] = [(run.strategy.iloc[0], run.alpha.iloc[0]) for run in runs]
    if len(set(both)) != 2 or not all("predicted" in run and path in set(run.path) for run in runs):
        return ""
    (first, second), (row, other) = map(called, both), [run.set_index("path").loc[path] for run in runs]
    heard = f"*{row.transcription}* ({row.noise_type}, {row.snr_db:g} dB), meant as *{row.intent}*"
    told = f"{heard}, is read as *{row.predicted}* by {first} and as *{other.predicted}* by {second}."
    right = runs[0].merge(runs[1], on="path", suffixes=("", "_other"))[["correct", "correct_other"]].astype(bool)
    alone, other_alone = ((right == sides).all(axis=1).sum() for sides in ([True, False], [False, True]))
    told += f" Of {len(right)} utterances {first} alone understands {alone}, {second} alone {other_alone}. "
    scores = pd.concat(runs)
    compared = (versus(scores, metric, *reversed(both)) for metric in ("correct", *_HEARD[:2]))
    return told + " ".join(filter(None, compared))


def gradients(ratios: pd.Series, cosines: pd.Series) -> str:
    """Of front-ends by name: how much longer the classification's gradient is, and whether the two agree."""
    if ratios.empty:
        return ""
    times = ", ".join(f"{float(f'{ratio:.3g}'):,g} in {name}" for name, ratio in ratios.items())
    agree = ", ".join(f"{cosine:.2f} in {name}" for name, cosine in cosines.items())
    return (
        f"Relative to the enhancement's, the length of the cross-entropy's gradient is {times}. The cosine between the "
        f"two is {agree}: near 0 they neither help nor oppose each other, below 0 they oppose."
    )


def held_back_costs(scores: pd.DataFrame, data: Data, cell: Cell = (BEST, None), metric: str = "correct") -> str:
    """What a cell loses in what training has not met."""
    own = scores[scores.strategy == cell[0]]
    if own.empty or not (conditions := held_back(own, data)):
        return ""
    measure, gained = MEASURES[metric], metric.endswith("_enhanced")
    value = own[metric] - (own[metric.replace("_enhanced", "_noisy")] if gained else 0)
    listed = []
    for condition, unmet in conditions.items():
        unknown, known = (f"{value[rows].mean():{measure.form}}" for rows in (unmet, ~unmet))
        article = "an" if condition == "SNR" else "a"
        listed.append(f"{unknown} with {article} {condition} that training has not met, {known} with the others")
    return f"{_capital('gain in ' * gained + measure.label)} of {called(cell)}: {'; '.join(listed)}."


def peers(table: pd.DataFrame, metric: str = "pesq_wb") -> str:
    """Of results/reference/peers.csv, where ours are marked so: the best of ours and the best of the others."""
    values = table[table.metric == metric].set_index("enhancer").value
    ours = values.index.str.endswith("(ours)")
    told = [f"{best.idxmax().removesuffix(' (ours)')} ({best.max():.2f})" for best in (values[ours], values[~ours])]
    both = f"Of ours, {told[0]} has the highest PESQ; of the others, {told[1]}"
    return f"{both}. Only ours were trained on such voices and noises."


def verdict_count(table: pd.DataFrame) -> str:
    """How many of the paper's claims are held up, of a table of `comparisons.verdicts`."""
    counts = table["here"].str.partition(":")[0].value_counts()
    told = [f"{counts[found]} {forms[int(counts[found] > 1)]}" for found, forms in _VERDICTS.items() if found in counts]
    return f"Of the paper's {len(table)} claims, {', '.join(told[:-1])}{' and ' * (len(told) > 1)}{told[-1]}."


def best_model(table: pd.DataFrame) -> str:
    """Against how many published rows the best model has both, of a table of `comparisons.dominance`."""
    if table.empty:
        return ""
    won = int((table["not worse, and better"] == "yes").sum())
    rows = f"{won} of {len(table)} published rows" if won < len(table) or won == 1 else f"all {won} published rows"
    better = f"is no worse in accuracy, and better in quality, than {rows}"
    return f"{STRATEGIES[BEST].title} {better if won else f'beats none of {len(table)} published rows in both'}."


def mistakes(scores: pd.DataFrame) -> str:
    """Which intent is most often taken for which."""
    wrong = scores[scores.predicted != scores.intent]
    if wrong.empty:
        return "Every utterance is classified correctly."
    counts = wrong.value_counts(["intent", "predicted"])
    (intent, predicted), count = counts.index[0], counts.iloc[0]
    told = f"{len(wrong)} of {len(scores)} utterances are misclassified"
    return f"{told}, most often *{intent}* as *{predicted}* ({count} of them)."


def called(cell: Cell) -> str:
    """A cell within a sentence: ``JT (α = 0.5)``, ``the classifier trained on clean speech``."""
    return _CALLED.get(cell[0]) or re.sub(", (.*)", r" (\1)", name(cell))


def _capital(text: str) -> str:
    """As it begins a sentence."""
    return text[:1].upper() + text[1:]
