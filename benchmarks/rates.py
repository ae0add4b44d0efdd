"""``python -m benchmarks.rates``: which learning rate validation chooses for the rows of `beyond`; what that changes.

Three rates on one seed; then, for the rows that classify, the best two of them and the profile's own on all seeds,
of which the one with the highest validation accuracy, on average, is chosen. Trains what is missing, but not what the
record has of the first seed. Writes into results/reference rates.csv, a row a run, and, at the chosen rates, rates.md,
the comparison, and rates_verdicts.csv, the paper's claims.
"""

from collections.abc import Mapping
from itertools import product
from pathlib import Path

import pandas as pd

from benchmarks.reference import PAGE, TARGET, fill, recorded
from jointlib.config import load_config
from jointlib.findings.comparisons import BEST, difference, dominance, shown, verdicts
from jointlib.findings.intervals import cells, in_text
from jointlib.findings.measures import MEASURES
from jointlib.findings.scores import read_run
from jointlib.runs.fit import fit
from jointlib.runs.folder import list_runs, read_config, title
from jointlib.strategies import STRATEGIES
from jointlib.support.files import write_atomically, write_csv

PROFILE, FILE = "beyond", TARGET / "rates.csv"
RATES = (1e-3, 2e-3, 4e-3)
NOISY_TRAINED = "classifier_noisy"
FINAL = (BEST, "jt", NOISY_TRAINED, "bn_mix", "cascade_enhanced", "bn", "classifier_clean")
CELLS = (*product((*FINAL, "enhancement", "mask"), RATES), ("enhancement", 8e-3))
KEY = ["strategy", "learning_rate", "seed"]


def validated(folder: Path) -> dict[str, float]:
    """A run's learning rate, and the validation that its weights are of."""
    history = pd.read_csv(folder / "history.csv")
    kept = history[history.selected].iloc[-1].filter(like="valid_")
    return {"learning_rate": read_config(folder)[0].learning_rate, **kept.astype(float).round(6)}


def ranked(runs: pd.DataFrame) -> list[float]:
    """The learning rates of one strategy's runs, best first: by validation accuracy, then by cross-entropy, each the
    mean over the seeds, which all rates must have."""
    assert runs.groupby("learning_rate").seed.agg(frozenset).nunique() == 1, "rates with other seeds are no rivals"
    mean = runs.groupby("learning_rate")[["valid_accuracy", "valid_cross_entropy"]].mean()
    return mean.sort_values(["valid_accuracy", "valid_cross_entropy"], ascending=[False, True]).index.tolist()


def record(cells: list[tuple[str, float, int]]) -> pd.DataFrame:
    """rates.csv with these (strategy, rate, seed) trained and written into it."""
    folders = [fit(load_config(PROFILE, strategy=row, learning_rate=rate, seed=seed)) for row, rate, seed in cells]
    runs = list_runs(load_config(PROFILE).folder).set_index("folder").loc[folders].reset_index()
    table = recorded(runs).join(pd.DataFrame(map(validated, folders)))
    if FILE.exists():
        table = pd.concat([table, pd.read_csv(FILE)]).drop_duplicates(KEY)
    write_csv(FILE, table.sort_values(KEY))
    return table


def at_chosen_rates(validations: pd.DataFrame, scores: pd.DataFrame, rates: Mapping[str, float]) -> pd.DataFrame:
    """A row for every strategy of `rates`, trained at that: validation accuracy of each rate, the scores, and how far
    Protected JT, at its own, is above it."""
    won, rows = dominance(scores).set_index("against"), {}
    for strategy, rate in rates.items():
        cell = (strategy, STRATEGIES[strategy].alpha or 0.5)
        trials = validations[validations.strategy == strategy].groupby("learning_rate").valid_accuracy.mean()
        texts = {tried: f"{mean:.3f} at {tried:g}" for tried, mean in trials.items()}
        texts[rate] = f"**{trials[rate]:.3f}** at {rate:g}"
        row = {"validation accuracy, at learning rate": ", ".join(texts.values())}
        for metric in ("correct", "pesq_wb_enhanced"):
            for mean in cells(scores[scores.strategy == strategy], metric).itertuples():
                row[MEASURES[metric].head] = in_text(mean.value, mean.low, mean.high, MEASURES[metric].form)
        if title(*cell) in won.index:
            row |= {f"Protected JT above it, {column}": won.loc[title(*cell), column] for column in won.columns[:2]}
        if strategy != NOISY_TRAINED:
            gap = difference(scores, "correct", (strategy, None), (NOISY_TRAINED, None))
            row["above a classifier of noisy speech, accuracy"] = shown(gap, "correct")
        rows[title(*cell)] = row
    return pd.DataFrame.from_dict(rows, orient="index").fillna("–").rename_axis("strategy").reset_index()


def main() -> None:
    """Train, choose, record, and show the table in docs/results.md."""
    profile = load_config(PROFILE)
    known = set(pd.read_csv(FILE)[KEY].itertuples(index=False, name=None)) if FILE.exists() else set()
    tried = record([cell for strategy, rate in CELLS if (cell := (strategy, rate, 0)) not in known])
    first = tried[tried.seed == 0]
    finalists = {row: {profile.learning_rate, *ranked(first[first.strategy == row])[:2]} for row in FINAL}
    last = [(row, rate, seed) for row in FINAL for rate in sorted(finalists[row]) for seed in profile.seeds]
    tried = record(last)
    tried = tried[tried[KEY].apply(tuple, axis=1).isin(last)]
    rates = {row: ranked(tried[tried.strategy == row])[0] for row in FINAL}
    chosen = [load_config(PROFILE, strategy=row, learning_rate=rates[row], seed=seed) for row, _, seed in last]
    scores = pd.concat(map(read_run, dict.fromkeys(map(fit, chosen))), ignore_index=True)
    table = at_chosen_rates(tried, scores, rates)
    write_atomically(TARGET / "rates.md", f"{table.to_markdown(index=False)}\n".encode())
    claims = verdicts(scores)
    write_csv(TARGET / "rates_verdicts.csv", claims[~claims.here.str.startswith("cannot")])
    fill(PAGE)


if __name__ == "__main__":
    main()
