"""fit: complete runs that repeat to the last bit, from a notebook or from a plain script."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from kills import numbers
from safetensors.torch import load_file

from jointlib.config import load_config
from jointlib.runs import fit as fit_module
from jointlib.runs.fit import fit
from jointlib.runs.folder import list_runs

pytestmark = pytest.mark.usefixtures("cheap_metrics")
NOISY = {"strategy": "classifier_noisy"}


def test_a_run_is_complete_and_repeats_to_the_last_bit(profile, tmp_path):
    folder = fit(load_config(profile, strategy="cascade_enhanced"))
    fit(load_config(profile, strategy="cascade_enhanced", results=str(tmp_path / "again")))
    assert numbers(folder.parents[2]) == numbers(tmp_path / "again")
    scores = pd.read_csv(folder / "per_utterance.csv")
    assert len(scores) == 12
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["mean"]["mse_enhanced"] == pytest.approx(scores.mse_enhanced.mean())
    record = json.loads((folder / "record.json").read_text())
    assert record["seed"] == 0 and record["versions"]["torch"] == torch.__version__.partition("+")[0]


SCRIPT = """
from jointlib.config import load_config
from jointlib.runs.fit import fit
print(fit(load_config({profile!r}, strategy="classifier_noisy", steps=1, metric_workers=2)))
"""


@pytest.mark.parametrize("how", ["a file", "standard input"])
def test_a_plain_script_calls_fit(how, profile, tmp_path):
    """Without ``if __name__ == "__main__":``, and with processes that score speech."""
    (tmp_path / "script.py").write_text(SCRIPT.format(profile=str(profile)))
    command = [sys.executable, str(tmp_path / "script.py") if how == "a file" else "-"]
    with (tmp_path / "script.py").open() as script:
        ended = subprocess.run(command, stdin=script, capture_output=True, text=True, timeout=120, check=True)
    assert ended.stdout == f"{tmp_path}/results/tiny/runs/classifier_noisy_seed0_steps=1\n"
    assert "Error" not in ended.stderr


OTHER_TEST = {"strategy": "jt", "init": "pretrained", "snr_db_test": [-5, 0], "noise_types_test": ["Typing"]}


def never(*_):
    raise AssertionError("trained")


def test_what_the_test_alone_reads_is_evaluated_anew_and_not_trained(profile, tmp_path, monkeypatch):
    alone = fit(load_config(profile, **OTHER_TEST, results=str(tmp_path / "again")))
    first = fit(load_config(profile, strategy="jt", init="pretrained"))
    monkeypatch.setattr(fit_module, "train", never)
    other = fit(load_config(profile, **OTHER_TEST))
    assert numbers(other) == numbers(alone)
    assert set(pd.read_csv(other / "per_utterance.csv").snr_db) <= {-5, 0}
    records = [json.loads((folder / "record.json").read_text()) for folder in (first, other)]
    assert records[1]["trainings"] == records[0]["trainings"] and records[1]["weights_from"] == first.name


@pytest.mark.parametrize("what", ["learning_rate", "another seed", "training speech"])
def test_what_training_reads_is_trained_anew(what, profile, corpus_root, monkeypatch):
    fit(load_config(profile, **NOISY, steps=1))
    changed = {"learning_rate": {"learning_rate": 1e-4}, "another seed": {"seed": 1}, "training speech": {}}[what]
    if what == "training speech":
        wave = 0.1 * np.random.default_rng(0).normal(size=8000)
        soundfile.write(corpus_root / "wavs/speakers/ann/0.wav", wave, 16_000)
    monkeypatch.setattr(fit_module, "train", never)
    with pytest.raises(AssertionError, match="trained"):
        fit(load_config(profile, **NOISY, steps=1, snr_db_test=[0], **changed))


def test_a_cascade_consists_of_its_parts_which_are_runs_of_their_own(profile):
    cascade = fit(load_config(profile, strategy="cascade_clean"))
    weights = load_file(cascade / "weights.safetensors")
    origins = json.loads((cascade / "config.json").read_text())["origins"]
    assert origins == {"frontend": "enhancement_seed0_steps=12", "backend": "classifier_clean_seed0_steps=12"}
    assert set(origins.values()) <= {path.name for path in list_runs(cascade.parents[1]).folder}
    for part, name in origins.items():
        for entry, value in load_file(cascade.parent / name / "weights.safetensors").items():
            assert entry.startswith(part) and torch.equal(weights[entry], value)
    assert pd.read_csv(cascade / "history.csv").empty


def test_validations_come_by_interval_and_patience_ends_training(profile):
    run = {**NOISY, "steps": 40, "validate_every": 3, "patience": 2, "learning_rate": 3.0}
    history = pd.read_csv(fit(load_config(profile, **run)) / "history.csv")
    assert list(history.step) == list(range(3, 3 * len(history) + 1, 3)) and len(history) < 13
    best = history[history.selected].iloc[-1]
    assert best.valid_accuracy == history.valid_accuracy.max()
    assert len(history) - 1 - best.name == 2
    whole = fit(load_config(profile, **run | {"steps": 7, "learning_rate": 1e-3, "patience": 20}))
    assert list(pd.read_csv(whole / "history.csv").step) == [3, 6, 7]
