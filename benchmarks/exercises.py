"""``python -m benchmarks.exercises``: train what the notebooks' exercises ask for, and record what they say to expect.

In results/reference: exercises.csv, the runs; by_condition.csv, two classifiers of quick by SNR and by noise type.
"""

import pandas as pd

from benchmarks.reference import TARGET, recorded
from jointlib.config import load_config
from jointlib.runs.fit import fit
from jointlib.runs.folder import list_runs
from jointlib.runs.scores import read_run
from jointlib.support.files import write_csv

PROFILE = "quick"
RUNS = (
    {"strategy": "classifier_noisy", "snr_db": [20], "snr_db_test": [0, 5]},
    {"strategy": "classifier_noisy", "snr_db_test": [0, 5]},
    {"strategy": "classifier_clean", "snr_db_test": [0, 5]},
    {"strategy": "protected", "loss": {"mse": 1.0}},
)
MEASURES = ["correct", "pesq_wb_noisy", "stoi_noisy"]


def by_condition(strategy: str) -> pd.DataFrame:
    """Means of a strategy's run of the profile by SNR and by noise type, and of both together."""
    scores = read_run(fit(load_config(PROFILE, strategy=strategy))).assign(all="all")
    means = [scores.groupby(by)[MEASURES].mean().rename_axis("value") for by in ("snr_db", "noise_type", "all")]
    return pd.concat(means, keys=["snr_db", "noise_type", "all"], names=["by"]).reset_index().assign(strategy=strategy)


if __name__ == "__main__":
    folders = [fit(load_config(PROFILE, **run)) for run in RUNS]
    runs = list_runs(load_config(PROFILE).folder)
    write_csv(TARGET / "exercises.csv", recorded(runs[runs.folder.isin(folders)]))
    write_csv(TARGET / "by_condition.csv", pd.concat(map(by_condition, ("classifier_clean", "classifier_noisy"))))
