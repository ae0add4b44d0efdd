"""``python -m benchmarks.rates``: other learning rates for the rows of `beyond`, on one seed; which would be chosen?

Trains what is missing. Writes results/reference/rates.csv, a row a run: its scores on the test split, and what it
reached on the validation split, which is what chooses.
"""

from itertools import product
from pathlib import Path

import pandas as pd

from benchmarks.reference import TARGET, recorded
from jointlib.config import load_config
from jointlib.runs.fit import fit
from jointlib.runs.folder import list_runs, read_config
from jointlib.support.files import write_csv

PROFILE = "beyond"
ROWS = ("classifier_noisy", "enhancement", "jt", "bn", "bn_mix", "mask", "protected")
CELLS = (*product(ROWS, (1e-3, 2e-3, 4e-3)), ("enhancement", 8e-3))


def validated(folder: Path) -> dict[str, float]:
    """A run's learning rate, and the validation that its weights are of."""
    history = pd.read_csv(folder / "history.csv")
    kept = history[history.selected].iloc[-1].filter(like="valid_")
    return {"learning_rate": read_config(folder)[0].learning_rate, **kept.astype(float).round(6)}


if __name__ == "__main__":
    folders = [fit(load_config(PROFILE, strategy=strategy, learning_rate=rate)) for strategy, rate in CELLS]
    runs = list_runs(load_config(PROFILE).folder).set_index("folder").loc[folders].reset_index()
    write_csv(TARGET / "rates.csv", recorded(runs).join(pd.DataFrame(map(validated, folders))))
