"""What a run survives: kills, a full disk, a read-only folder, numbers that go wrong."""

import os
from pathlib import Path

import pytest
import torch
from kills import killed, numbers

from jointlib import train
from jointlib.config import load_config
from jointlib.runs import fit as fit_module
from jointlib.runs.fit import fit
from jointlib.runs.folder import run_folder
from jointlib.runs.run import load_run
from jointlib.support.checkpoint import CHECKPOINT
from jointlib.support.files import UnusableFile

pytestmark = [pytest.mark.trust, pytest.mark.usefixtures("cheap_metrics")]
JT = {"strategy": "jt", "init": "pretrained", "steps": 8, "validate_every": 2}


@pytest.fixture(scope="module")
def whole(cheap_metrics, tiny_profile, tmp_path_factory):
    """The numbers of a JT and of the classifier that it starts from, made without interruption."""
    results = tmp_path_factory.mktemp("whole")
    fit(load_config(tiny_profile, **JT, results=str(results)))
    return numbers(results)


def test_a_run_that_is_killed_again_and_again_ends_as_one_left_alone(tiny_profile, whole, tmp_path):
    """In a training step, as a file is about to be renamed, and in the evaluation."""
    config = load_config(tiny_profile, **JT, results=str(tmp_path))
    for owner, name, nth in ((train, "train_step", 3), (os, "fsync", 9), (fit_module, "evaluate", 0)):
        assert killed(config, owner, name, nth), name
    fit(config)
    assert numbers(tmp_path) == whole


@pytest.mark.long
@pytest.mark.parametrize(("owner", "name"), [(train, "train_step"), (os, "fsync")], ids=["step", "file"])
def test_a_run_can_be_killed_at_every_step_and_every_file(owner, name, tiny_profile, whole, tmp_path):
    nth, alive = 0, False
    while not alive:
        config = load_config(tiny_profile, **JT, results=str(tmp_path / str(nth)))
        alive = not killed(config, owner, name, nth)
        fit(config)
        assert numbers(tmp_path / str(nth)) == whole, nth
        nth += 1
    assert nth > 6


def test_a_full_disk_leaves_what_was_there(profile):
    """No file may grow beyond 20 kB: what a full disk does, without needing one."""
    resource = pytest.importorskip("resource", reason="Windows has no limits of this kind")
    config = load_config(profile, **JT)
    parent = fit(load_config(profile, **JT | {"strategy": "classifier_clean", "init": "scratch"}))
    before, limits = numbers(parent), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(OSError, match=rf"File too large.*{CHECKPOINT}"):
            fit(config)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert numbers(parent) == before
    assert load_run(fit(config)).model is not None


def test_a_finished_run_needs_no_lock_so_that_it_may_be_read_only(profile, monkeypatch):
    config = load_config(profile, strategy="classifier_noisy", steps=1)
    folder = fit(config)
    monkeypatch.setattr(fit_module, "locked", lambda *path: pytest.fail("a lock is a file"))
    assert fit(config) == folder


def test_a_damaged_checkpoint_is_named(profile):
    config = load_config(profile, strategy="classifier_noisy", steps=6, validate_every=2)
    assert killed(config, train, "validate", 2)
    checkpoint = Path(f"{run_folder(config)}.partial") / CHECKPOINT
    content = checkpoint.read_bytes()
    for damaged in (content[:-100], content[:40], b""):
        checkpoint.write_bytes(damaged)
        with pytest.raises(UnusableFile, match=rf"{CHECKPOINT}: damaged .*; remove it to train this run anew"):
            fit(config)
        assert checkpoint.read_bytes() == damaged


def test_a_loss_that_is_not_finite_stops_the_run_with_its_circumstances(profile, tmp_path, monkeypatch):
    config = load_config(profile, strategy="jt", steps=6, validate_every=2)
    loss_terms, calls = train.loss_terms, []

    def spoilt(*arguments):
        calls.append(1)
        terms = loss_terms(*arguments)
        return terms | ({"mse": terms["mse"] * torch.nan} if len(calls) == 5 else {})

    monkeypatch.setattr(train, "loss_terms", spoilt)
    with pytest.raises(FloatingPointError) as caught:
        fit(config)
    for part in ("step 3, learning rate 0.001", "mse is nan", "wavs/speakers/", f"{CHECKPOINT}, after step 2"):
        assert part in str(caught.value)
    monkeypatch.undo()
    fit(config)  # from that checkpoint on, with a sound loss
    fit(config.replace(results=str(tmp_path / "again")))
    assert numbers(Path(config.results)) == numbers(tmp_path / "again")
