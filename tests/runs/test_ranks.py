"""One run by two processes that torchrun starts."""

import subprocess
import sys

import pandas as pd
import pytest
from kills import killed

from jointlib import train
from jointlib.config import load_config
from jointlib.runs.fit import fit
from jointlib.runs.folder import run_folder


def test_two_processes_make_one_run_that_is_close_to_that_of_one_process(profile, tmp_path):
    """12 utterances in batches of 5, 5 and 2; from the checkpoint on that one killed process has left.

    On a CPU each process has batch norm statistics of its own share, so that the loss differs a little.
    """
    settings = {"strategy": "bn", "steps": 12, "validate_every": 3, "batch_size": 5, "learning_rate": 1e-3}
    config = load_config(profile, **settings, results=str(tmp_path / "two"))
    assert killed(config, train, "validate", 1)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    options = [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]
    command = [*launcher, "-m", "jointlib", "train", f"--profile={profile}", *options, f"--results={tmp_path}/two"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 0, ended.stderr
    folder = run_folder(config)
    assert ended.stdout == f"{folder}\n" and [path.name for path in folder.parent.iterdir()] == [folder.name]
    alone = fit(config.replace(results=str(tmp_path / "one")))
    assert {file.name for file in folder.iterdir()} == {file.name for file in alone.iterdir()}
    one, two = (pd.read_csv(run / "history.csv").valid_loss for run in (alone, folder))
    assert two[0] == one[0] and two.tolist() == pytest.approx(one.tolist(), rel=0.1)
