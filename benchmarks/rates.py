"""``python -m benchmarks.rates ROW ...``: the learning rate that validation chooses for strategies, at alpha = 0.5.

Three rates on the first seed, and further ones as long as the best is the lowest or the highest; then the best two on
all seeds of `beyond`. Chosen is the rate with the highest validation accuracy, on average; for an enhancer alone, which
is tried on the first seed only, that with the lowest loss. A parent, such as JT's classifier, is trained at the rate
that `per_strategy` in quick.yaml gives it, so choose the parents' first. Writes rates.csv, a row for each run.
"""

import sys
from pathlib import Path

import pandas as pd
import yaml

from benchmarks.pages import TARGET
from benchmarks.reference import recorded
from jointlib.config import ROOT, load_config
from jointlib.runs.fit import fit
from jointlib.runs.folder import list_runs, read_config, title
from jointlib.strategies import STRATEGIES, Enhancer
from jointlib.support.files import locked, write_csv

BASE, FILE = "beyond", TARGET / "rates.csv"
RATES = (1e-3, 2e-3, 4e-3)
KEY = ["strategy", "learning_rate", "seed"]


def trial(strategy: str, rate: float) -> Path:
    """A profile of its own, results/rates/STRATEGY_RATE.yaml, which differs from `BASE` in one rate."""
    file = ROOT / f"results/rates/{strategy}_{rate:g}.yaml"
    own = load_config(BASE).per_strategy | {strategy: {"learning_rate": rate}}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump({"base": BASE, "results": "results/rates", "per_strategy": own}))
    return file


def validated(folder: Path) -> dict[str, float]:
    """A run's learning rate, and the validation that its weights are of."""
    history = pd.read_csv(folder / "history.csv")
    kept = history[history.selected].iloc[-1].filter(like="valid_")
    return {"learning_rate": read_config(folder)[0].learning_rate, **kept.astype(float).round(6)}


def ranked(runs: pd.DataFrame) -> list[float]:
    """The learning rates of one strategy's runs, best first, by the mean over the seeds that all of them have."""
    seeds = set.intersection(*(set(group.seed) for _, group in runs.groupby("learning_rate")))
    mean = runs[runs.seed.isin(seeds)].groupby("learning_rate")[["valid_accuracy", "valid_loss"]].mean()
    return mean.sort_values(["valid_accuracy", "valid_loss"], ascending=[False, True]).index.tolist()


def tried(strategy: str, rates: list[float], seeds: list[int]) -> pd.DataFrame:
    """Train a strategy at these rates and seeds, and return its rows of rates.csv, where they are recorded."""
    for rate in rates:
        profile = trial(strategy, rate)
        folders = [fit(load_config(profile, strategy=strategy, alpha=0.5, seed=seed)) for seed in seeds]
        runs = list_runs(load_config(profile).folder).set_index("folder").loc[folders].reset_index()
        table = recorded(runs).join(pd.DataFrame(map(validated, folders)))
        with locked(FILE.with_suffix(".lock"), f"it writes {FILE}"):
            known = [pd.read_csv(FILE)] if FILE.exists() else []
            table = pd.concat([table, *known]).drop_duplicates(KEY).sort_values(KEY)
            write_csv(FILE, table)
    return table[table.strategy == strategy]


def choose(strategy: str) -> float:
    """The learning rate of a strategy."""
    seeds, rates = list(load_config(BASE).seeds), list(RATES)
    runs = tried(strategy, rates, seeds[:1])
    while (best := ranked(runs)[0]) in (min(rates), max(rates)):
        rates.append(best / 2 if best == min(rates) else best * 2)
        runs = tried(strategy, rates[-1:], seeds[:1])
    if STRATEGIES[strategy].network is not Enhancer:
        finalists = ranked(runs[runs.seed == seeds[0]])[:2]
        runs = tried(strategy, finalists, seeds)
        best = ranked(runs[runs.learning_rate.isin(finalists)])[0]
    return best


if __name__ == "__main__":
    for row in sys.argv[1:]:
        print(f"{title(row)}: {choose(row):g}", flush=True)
