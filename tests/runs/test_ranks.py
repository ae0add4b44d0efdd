"""One run on two processes that torchrun starts: the run of one process, but for rounding."""

import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from benchmarks.kills import attempt
from jointlib.config import load_config
from jointlib.runs.fit import fit
from jointlib.runs.folder import partial_folder, read_metrics, run_folder

RANKS = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
SPOILT = str(Path(__file__).with_name("spoilt_rank.py"))


def train(launcher: list[str], settings: dict, options: list[str]) -> subprocess.CompletedProcess:
    command = [*launcher, *options, "--set", *(f"{name}={value}" for name, value in settings.items())]
    return subprocess.run(command, capture_output=True, text=True, check=False)


# 12 utterances: batches of 11 and 1, of which the second process has none; of 5, 5 and 2
@pytest.mark.parametrize(("strategy", "batch_size", "kill"), [("bn", 11, True), ("jt", 5, False)])
def test_two_processes_train_as_one_does(profile, tmp_path, strategy, batch_size, kill):
    """The one that is killed goes on with two processes, from the checkpoint of one."""
    # small steps: rounding grows with every other (see docs/scale.md)
    settings = {"steps": 12, "validate_every": 2, "batch_size": batch_size, "learning_rate": 1e-5}
    settings |= {"schedule": "constant", "patience": 12, "results": str(tmp_path / "two")}
    config = load_config(profile, strategy=strategy, **settings)
    alone = fit(config.replace(results=str(tmp_path / "one")))
    assert not kill or attempt(config, "validation", 3)[0]
    ended = train([*RANKS, "-m", "jointlib", "train"], settings, ["--profile", str(profile), "--strategy", strategy])
    assert ended.returncode == 0, ended.stderr
    folder = run_folder(config)
    assert ended.stdout == f"{folder}\n" and ended.stderr.count("Scoring noisy speech  0/12") <= 1
    assert {file.name for file in folder.iterdir()} == {file.name for file in alone.iterdir()}
    histories = [pd.read_csv(one / "history.csv") for one in (alone, folder)]
    pd.testing.assert_frame_equal(*histories, rtol=1e-4, atol=1e-9)
    assert list(histories[0].valid_loss == histories[1].valid_loss).count(True) >= (2 if kill else 0)
    weights = [load_file(one / "weights.safetensors") for one in (alone, folder)]
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, rtol=1e-3, atol=1e-4)
    assert read_metrics(folder)["mean"] == pytest.approx(read_metrics(alone)["mean"], rel=1e-2)


def test_a_loss_that_is_not_finite_on_one_process_stops_all(profile, tmp_path):
    told = []
    for launcher, name in (([sys.executable, SPOILT], "one"), ([*RANKS, SPOILT], "two")):
        settings = {"steps": 6, "validate_every": 2, "results": str(tmp_path / name)}
        ended = train(launcher, settings, ["--profile", str(profile), "--strategy", "bn"])
        errors = re.findall(r"^FloatingPointError: .*", ended.stderr, re.M)
        assert ended.returncode == 1 and len(errors) == 1, ended.stderr
        told.append(errors[0].replace(str(tmp_path / name), ""))
        assert not [line for line in ended.stderr.splitlines() if line.startswith("RuntimeError")]
    assert told[0] == told[1] and "step 3, learning rate" in told[0] and "mse is nan" in told[0]
    config = load_config(profile, strategy="bn", steps=6, validate_every=2, results=str(tmp_path / "two"))
    assert (partial_folder(run_folder(config)) / "checkpoint.safetensors").exists()
