"""Run folders that are damaged, or a stranger's: the error names the file, and nothing in it is executed."""

import json
import os
import pickle
import shutil

import pytest
from safetensors.torch import load_file, save_file

from jointlib.findings.scores import read_run
from jointlib.runs.folder import FILES, list_runs, read_config, run_folder
from jointlib.runs.run import load_run
from jointlib.support.files import UnusableFile

pytestmark = pytest.mark.trust
HEAD = "backend.head.1.weight"


def settings(**changes):
    """Change entries of a run's config.json."""

    def spoil(folder):
        values = json.loads((folder / "config.json").read_text()) | changes
        (folder / "config.json").write_text(json.dumps(values))

    return spoil


def weights(change):
    """Change the tensors of a run's weights.safetensors."""
    return lambda folder: save_file(change(load_file(folder / "weights.safetensors")), folder / "weights.safetensors")


def put(name, content):
    return lambda folder: (folder / name).write_bytes(content)


def half(name):
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-1000])


RUNS = {
    "no weights": (lambda folder: (folder / "weights.safetensors").unlink(), r"weights\.safetensors"),
    "cut weights": (half("weights.safetensors"), r"weights\.safetensors: damaged"),
    "text for weights": (put("weights.safetensors", b"hello" * 99), r"weights\.safetensors: damaged"),
    "other shapes": (weights(lambda w: w | {HEAD: w[HEAD][:, :3].clone()}), f"config.*size mismatch for {HEAD}"),
    "a weight too few": (weights(lambda w: {k: v for k, v in w.items() if k != HEAD}), f"config.*Missing.*{HEAD}"),
    "other intents": (settings(intents=["a", "b"]), f"config.*size mismatch for {HEAD}"),
    "no JSON": (put("config.json", b"{'a': 1}"), r"config\.json: not readable as JSON"),
    "a list": (put("config.json", b"[1, 2]"), r"config\.json"),
    "an unknown parameter": (settings(stemm=3), r"config\.json: unknown parameter 'stemm'"),
    "text for a number": (settings(tcn_blocks="five"), r"config\.json: tcn_blocks='five': must be a valid integer"),
    "an unknown strategy": (settings(strategy="jtt"), r"config\.json: strategy='jtt'"),
}


@pytest.fixture
def copied(tiny_runs, tmp_path):
    """A copy of a finished run, where its profile has it."""
    profile = read_config(tiny_runs["jt"])[0].replace(results=str(tmp_path))
    return shutil.copytree(tiny_runs["jt"], run_folder(profile))


@pytest.mark.parametrize("name", RUNS)
def test_a_damaged_run_is_refused_with_the_file(name, copied):
    spoil, told = RUNS[name]
    assert load_run(copied).model is not None
    spoil(copied)
    with pytest.raises((UnusableFile, FileNotFoundError), match=told):
        load_run(copied)


class Payload:
    """Whoever unpickles this makes a folder."""

    def __init__(self, planted):
        self.planted = planted

    def __reduce__(self):
        return os.mkdir, (str(self.planted),)


@pytest.mark.parametrize("name", FILES)
def test_a_pickle_in_a_run_folder_is_not_executed(name, copied, tmp_path):
    planted = tmp_path / "planted"
    (copied / name).write_bytes(pickle.dumps(Payload(planted)))
    for read, what in ((load_run, copied), (read_run, copied), (list_runs, copied.parents[1])):
        try:
            read(what)
        except (ValueError, KeyError):
            assert name != "history.csv"  # none of these readers opens it
    assert not planted.exists()
    pickle.loads((copied / name).read_bytes())
    assert planted.exists()  # the payload works where it is let in
