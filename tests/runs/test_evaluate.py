"""Scores: counted failures, passages, remarks, and numbers that do not depend on processes and threads."""

import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from jointlib.config import load_config
from jointlib.runs import evaluate as module
from jointlib.runs.evaluate import PASSAGE, passages, remark, score_once, summarise


def test_failures_are_counted_and_not_averaged():
    table = pd.DataFrame({"correct": [1, 0], "stoi_enhanced": [0.5, np.nan], "snr_db": [0.0, 5.0]})
    summary = summarise(table, pd.DataFrame({"speaker": ["a"], "pesq_wb_noisy": [1.5]}))
    assert summary["mean"] == {"correct": 0.5, "stoi_enhanced": 0.5}
    assert summary["mean_of_passages"] == {"pesq_wb_noisy": 1.5}
    assert summary["failed"] == {"stoi_enhanced": 1} and summary["remark"] == ""


def predictions(intent: list[str], predicted: list[str]) -> pd.DataFrame:
    table = pd.DataFrame({"intent": intent, "predicted": predicted})
    return table.assign(correct=(table.intent == table.predicted).astype(int))


def test_a_classifier_that_has_learnt_nothing_is_remarked():
    """30 utterances: 12 of a, 9 of b, 9 of c. Always saying a is right in 0.4; a third of the time is chance."""
    truth = [*"a" * 12, *"b" * 9, *"c" * 9]
    constant = remark(predictions(truth, ["a"] * 30))
    assert "no better than guessing: accuracy 0.400" in constant and "intent has 0.400" in constant
    guesses = remark(predictions(truth, [*"bca" * 10]))
    assert guesses.startswith("no better than guessing: accuracy 0.") and "intent has 0.400" in guesses
    assert remark(predictions(truth, truth)) == ""
    assert remark(predictions(truth, [*truth[:21], *"abcabcabc"])) == ""  # 24 of 30
    assert remark(pd.DataFrame({"intent": ["a", "a"], "stoi_enhanced": [0.5, 0.6]})) == ""  # it only enhances


def test_passages_lose_no_sample():
    speakers = ["a", "b"] * 40
    pairs = [(np.full(4000, number), np.full(4000, -number)) for number in range(80)]
    names, joined = passages(pairs, speakers)
    assert names == ["a", "b"] and all(len(clean) >= PASSAGE for clean, _ in joined)
    assert sum(len(clean) for clean, _ in joined) == 80 * 4000
    assert all((clean == -estimate).all() for clean, estimate in joined)


def test_the_same_speech_is_scored_once(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    pairs = [(rng.normal(size=2000), rng.normal(size=2000)) for _ in range(3)] + [(np.zeros(99), np.zeros(99))]
    config = load_config("smoke", results=str(tmp_path), metric_workers=1)
    first = score_once(config, pairs, "Scoring", ("si_sdr", "mse"))
    assert first.failed.tolist() == ["", "", "", "si_sdr: silent signal"] and first.si_sdr.isna().sum() == 1
    monkeypatch.setattr(module, "quality", lambda *_: pytest.fail("scored again"))
    pd.testing.assert_frame_equal(score_once(config, pairs, "Scoring", ("si_sdr", "mse")), first)


# Long enough that BLAS shares a product among its threads: without a limit, the last digits of SI-SDR differ.
SCRIPT = """
import numpy as np
from jointlib.config import load_config
from jointlib.runs.evaluate import score_once
config, rng = load_config("smoke", results="{results}", metric_workers={workers}), np.random.default_rng(0)
pairs = [(clean := rng.normal(size=400_000), clean + rng.normal(size=400_000)) for _ in range(2)]
print(score_once(config, pairs, "Scoring", ("stoi", "si_sdr", "lsd", "mse")).map(repr).to_csv())
"""


def test_numbers_depend_neither_on_threads_nor_on_processes(tmp_path):
    found = []
    for threads, workers in ((1, 1), (2, 2)):
        environment = os.environ | {"OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads)}
        command = [sys.executable, "-c", SCRIPT.format(workers=workers, results=tmp_path / str(workers))]
        found.append(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)
    assert found[0] == found[1] and found[0].count("\n") > 2
