"""``python -m benchmarks.rates ROW ...``: the learning rate that validation chooses for strategies, at alpha = 0.5.

Three rates are tried on the first seed of `beyond`, and further ones while the best is the lowest or the highest. Rates
whose mean validation accuracy is within `MARGIN` of the best are tried on a second and a third seed, while there are
several. An enhancer alone is tried on the first seed only, and gets the rate with the lowest loss. Parents, such as
JT's classifier, have the rate chosen for them: choose theirs first. Writes rates.csv, a row per run, and skips the
runs recorded there. `tried` adds trials where seeds differ more than rates, as those of BN-Mix do.
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
RATES, MARGIN = (1e-3, 2e-3, 4e-3), 0.01
KEY = ["strategy", "learning_rate", "seed"]


def record() -> pd.DataFrame:
    """The trials so far."""
    return pd.read_csv(FILE) if FILE.exists() else pd.DataFrame(columns=KEY)


def best(runs: pd.DataFrame) -> float:
    """The learning rate with the best mean validation, among a strategy's rates with the most seeds."""
    rates = runs.groupby("learning_rate").agg({"seed": "count", "valid_accuracy": "mean", "valid_loss": "mean"})
    return rates.sort_values(list(rates), ascending=[False, False, True]).index.tolist()[0]


def trial(strategy: str, rate: float) -> Path:
    """A profile of its own, results/rates/STRATEGY_RATE.yaml: `BASE` with this rate, and those chosen for parents."""
    file = ROOT / f"results/rates/{strategy}_{rate:g}.yaml"
    chosen = {name: best(runs) for name, runs in record().groupby("strategy")} | {strategy: rate}
    own = dict(load_config(BASE).per_strategy)
    own |= {name: own.get(name, {}) | {"learning_rate": value} for name, value in chosen.items()}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump({"base": BASE, "results": "results/rates", "per_strategy": own}))
    return file


def validated(folder: Path) -> dict[str, float]:
    """A run's learning rate, and the validation scores of its selected weights."""
    history = pd.read_csv(folder / "history.csv")
    kept = history[history.selected].iloc[-1].filter(like="valid_")
    return {"learning_rate": read_config(folder)[0].learning_rate, **kept.astype(float).round(6)}


def tried(strategy: str, rates: list[float], seed: int) -> pd.DataFrame:
    """Train a strategy at those of these rates that are not recorded, and return all its recorded trials."""
    for rate in rates:
        if (record()[KEY] == [strategy, rate, seed]).all(axis=1).any():
            continue
        profile = trial(strategy, rate)
        folder = fit(load_config(profile, strategy=strategy, alpha=0.5, seed=seed))
        run = list_runs(load_config(profile).folder).query("folder == @folder").reset_index(drop=True)
        table = recorded(run).join(pd.DataFrame([validated(folder)]))
        with locked(FILE.with_suffix(".lock"), f"it writes {FILE}"):
            write_csv(FILE, pd.concat([record(), table]).sort_values(KEY))
    runs = record()
    return runs[runs.strategy == strategy]


def choose(strategy: str) -> float:
    """Choose the learning rate of a strategy."""
    seeds = load_config(BASE).seeds[:3]
    rates = sorted({*RATES, *record().query("strategy == @strategy").learning_rate})
    runs = tried(strategy, rates, seeds[0])
    while (first := best(runs[runs.seed == seeds[0]])) in (min(rates), max(rates)):
        rates.append(first / 2 if first == min(rates) else first * 2)
        runs = tried(strategy, rates, seeds[0])
    if STRATEGIES[strategy].network is Enhancer:
        return first
    for number, seed in enumerate(seeds, start=1):
        runs = tried(strategy, rates, seed)
        met = runs[runs.learning_rate.isin(rates) & runs.seed.isin(seeds[:number])]
        mean = met.groupby("learning_rate").valid_accuracy.mean()
        rates = mean.index[mean > mean.max() - MARGIN].tolist()
        if len(rates) == 1:
            break
    return best(runs)


if __name__ == "__main__":
    for row in sys.argv[1:]:
        print(f"{title(row)}: {choose(row):g}", flush=True)
