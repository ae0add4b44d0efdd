"""What a run survives: kills, a full disk, a read-only folder, numbers that go wrong, a second pipeline."""

import re
import resource
import secrets
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

import pandas as pd
import psutil
import pytest
import torch
from filelock import FileLock

from benchmarks.kills import PHASES, attempt, content, differences, kill_training, usual_seconds
from jointlib import train
from jointlib.config import CHECKOUT, load_config
from jointlib.runs import fit as fit_module
from jointlib.runs.fit import fit, main
from jointlib.runs.folder import run_folder
from jointlib.runs.run import load_run
from jointlib.support.checkpoint import Checkpoint
from jointlib.support.files import UnusableFile

pytestmark = pytest.mark.trust


def test_a_killed_run_ends_as_one_left_alone(profile):
    counts = kill_training(load_config(profile, strategy="jt", steps=6, validate_every=2), kills=len(PHASES))
    assert counts["different"] == []


def test_the_kill_test_can_fail(profile, tmp_path, monkeypatch):
    """A checkpoint that forgets the optimiser's state gives other weights, and the comparison sees it."""
    config = load_config(profile, strategy="jt", steps=6, validate_every=2)
    _, announced = attempt(config)
    load = Checkpoint.load

    def forgetful(self, model, optimizer):
        found = load(self, model, optimizer)
        optimizer.state.clear()
        return found

    monkeypatch.setattr(Checkpoint, "load", forgetful)
    other = config.replace(results=str(tmp_path / "other"))
    killed, _ = attempt(other, "validation", 1, usual_seconds(announced)["validation"] / 2)
    assert killed and not attempt(other)[0]
    different = differences(content(Path(config.results)), content(tmp_path / "other"))
    assert any(name.endswith("weights.safetensors") for name in different)


def test_the_time_that_a_run_took_is_all_that_may_differ(tmp_path):
    card = "- 6 passes, {} core-minutes\n\n| strategy | core-minutes | MSE |\n|---|---|---|\n| JT |{}| {} |"
    written = {"one": ("0.9", " 0.9  ", 2), "slower": ("10.1", " 10.1 ", 2), "worse": ("0.9", " 0.9  ", 3)}
    for name, values in written.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "card.md").write_text(card.format(*values))
    one, slower, worse = (content(tmp_path / name) for name in written)
    assert differences(one, slower) == [] and differences(one, worse) == ["card.md"]


COMMAND = [sys.executable, "-m", "jointlib", "train", "--strategy", "jt", "--profile"]


def test_a_full_disk_leaves_what_was_there(profile, tmp_path):
    """No file may grow beyond 50 kB: what a full disk does, without needing one."""
    config = load_config(profile, strategy="classifier_noisy")
    joint = load_config(profile, strategy="jt")
    before = fit(config) and content(config.folder)

    def no_room():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))

    ended = subprocess.run([*COMMAND, str(profile)], preexec_fn=no_room, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert re.search(r"^OSError: .*File too large; nothing was changed.*checkpoint.safetensors", ended.stderr, re.M)
    assert "Traceback" not in ended.stderr
    assert differences(before, {name: content(config.folder).get(name) for name in before}) == []
    partial = run_folder(joint).with_name(f"{joint.run_name}.partial")
    assert not list(partial.glob("*.partial"))
    main([*COMMAND[4:], str(profile)])
    assert load_run(run_folder(joint)).model is not None


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=900k", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a small disk is not allowed here")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_small_disk_that_fills_up_and_then_turns_read_only(profile, small_disk):
    options = ["--set", f"results={small_disk}"]
    alone = run_folder(load_config(profile, strategy="jt"))
    fit(load_config(profile, strategy="jt"))
    earlier = fit(load_config(profile, strategy="classifier_noisy", results=str(small_disk)))
    before = content(earlier)
    ended = subprocess.run([*COMMAND, str(profile), *options], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert re.search(r"^OSError: .*No space left on device; nothing was changed", ended.stderr, re.M)
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    ended = subprocess.run([*COMMAND, str(profile), *options], capture_output=True, text=True, check=False)
    assert ended.returncode == 1 and "Read-only file system" in ended.stderr and "Traceback" not in ended.stderr
    assert content(earlier) == before and load_run(earlier).model is not None
    subprocess.run(["mount", "-o", "remount,rw,size=50m", small_disk], check=True)
    main([*COMMAND[4:], str(profile), *options])
    assert content(small_disk / "tiny" / "runs" / alone.name) == content(alone)


def test_a_read_only_run_is_read(profile, monkeypatch):
    config = load_config(profile, strategy="classifier_noisy")
    folder = fit(config)
    monkeypatch.setattr(fit_module, "FileLock", lambda path: pytest.fail("a finished run needs no lock"))
    assert fit(config) == folder


def test_a_damaged_checkpoint_is_named(profile, tmp_path):
    config = load_config(profile, strategy="jt", steps=6, validate_every=2)
    assert attempt(config, "validation", 2)[0]
    checkpoint = run_folder(config).with_name(f"{config.run_name}.partial") / "checkpoint.safetensors"
    whole = checkpoint.read_bytes()
    for damaged in (whole[:-100], whole[:40], b""):
        checkpoint.write_bytes(damaged)
        with pytest.raises(UnusableFile, match=r"checkpoint.safetensors: damaged .* and the run starts over"):
            fit(config)


def test_a_loss_that_is_not_finite_stops_the_run_with_its_circumstances(profile, monkeypatch):
    config = load_config(profile, strategy="jt", steps=6, validate_every=2)
    loss_terms = train.loss_terms
    calls = []

    def spoilt(*arguments):
        calls.append(1)
        terms = loss_terms(*arguments)
        return terms | ({"mse": terms["mse"] * torch.nan} if len(calls) == 5 else {})

    monkeypatch.setattr(train, "loss_terms", spoilt)
    with pytest.raises(FloatingPointError) as caught:
        fit(config)
    text = str(caught.value)
    for part in ("step 3, learning rate 0.001", "mse is nan", "wavs/speakers/", "lower learning_rate"):
        assert part in text, text
    assert f"{config.run_name}.partial/checkpoint.safetensors, after step 2" in text
    folder = run_folder(config).with_name(f"{config.run_name}.partial")
    assert (folder / "checkpoint.safetensors").exists()
    monkeypatch.undo()
    whole = content(fit(config.replace(results=str(folder.parents[3] / "again"))))
    assert content(fit(config)) == whole  # from that checkpoint on, with a sound loss


def test_a_huge_learning_rate_is_reported_in_one_line(profile, capsys):
    with pytest.raises(SystemExit, match=r"FloatingPointError: step \d+, learning rate .*: .*Utterances: wavs"):
        main(["--profile", str(profile), "--strategy", "jt", "--set", "learning_rate=1e30", "schedule=constant"])


def test_gradient_norm_and_clipped_steps_are_recorded(profile):
    clipped = pd.read_csv(fit(load_config(profile, strategy="jt", clip_norm=1e-6)) / "history.csv")
    free = pd.read_csv(fit(load_config(profile, strategy="jt", clip_norm=1e6)) / "history.csv")
    assert (clipped.train_clipped == 1).all() and (free.train_clipped == 0).all()
    assert (free.train_gradient_norm > 0).all()


def test_a_second_pipeline_says_so(tmp_path):
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--nolock", "--quiet", "rules", "host"]
    (tmp_path / "smoke").mkdir()
    with FileLock(tmp_path / "smoke" / ".pipeline.lock"):
        options = ["--config", "profile=smoke", f"results={tmp_path}"]
        ended = subprocess.run(command + options, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "another pipeline is at work on" in ended.stderr
    assert not (tmp_path / "smoke" / "runs").exists()


def test_a_results_folder_with_a_command_for_a_name(tmp_path):
    results = tmp_path / "a b'; touch planted; '$(touch planted)"
    wanted = results / "smoke" / "contamination" / "test.csv"
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--nolock", str(wanted)]
    subprocess.run([*command, "--config", "profile=smoke", f"results={results}"], cwd=CHECKOUT, check=True)
    assert len(pd.read_csv(wanted)) == 31 and not (CHECKOUT / "planted").exists()


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_arguments):
        return None


def _status(address, token=None):
    headers = {"Authorization": f"token {token}"} if token else {}
    request = urllib.request.Request(address, headers=headers)
    try:
        return urllib.request.build_opener(_Stay).open(request, timeout=60).status
    except urllib.error.HTTPError as error:
        return error.code


def _listening(pid, port):
    """The addresses at which a process and its children listen on a port, once they do."""
    for _ in range(300):
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        places = []
        for process in family:
            with suppress(psutil.NoSuchProcess):
                places += [place for place in process.net_connections("tcp") if place.status == "LISTEN"]
        addresses = {place.laddr.ip for place in places if place.laddr.port == port}
        if addresses:
            return addresses
        time.sleep(0.1)
    return pytest.fail(f"nobody listens on port {port}")


@pytest.mark.parametrize(("target", "guarded"), [("lab", "/api/contents"), ("page", "/")])
def test_make_serves_this_machine_only_and_asks_for_its_token(target, guarded, tmp_path, unused_port):
    """The Makefile's own command, with a user's settings that would open the door."""
    (tmp_path / "jupyter_server_config.py").write_text(
        'c.ServerApp.ip = "0.0.0.0"\nc.IdentityProvider.token = ""\nc.ServerApp.allow_remote_access = True\n'
    )
    shutil.copy(tmp_path / "jupyter_server_config.py", tmp_path / "voila.py")
    options = f"LAB=--port={unused_port} --no-browser" + (" --allow-root" if target == "lab" else "")
    wanted = ["make", "-n", target, options, f"BIN={Path(sys.executable).parent}", "-o", ".venv/installed"]
    shell = subprocess.run(wanted, cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout
    token = secrets.token_hex(24)
    environment = {"JUPYTER_CONFIG_DIR": str(tmp_path), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "TOKEN": token}
    server = subprocess.Popen(["sh", "-c", shell], cwd=CHECKOUT, env=environment, start_new_session=True)
    try:
        addresses = _listening(server.pid, unused_port)
        assert addresses == {"127.0.0.1"}
        assert _status(f"http://127.0.0.1:{unused_port}{guarded}") in (302, 403)
        family = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
        assert not any(token in part for process in family for part in process.cmdline())  # which anybody can read
        assert _status(f"http://127.0.0.1:{unused_port}{guarded}?token=wrong") in (302, 403)
        if target == "lab":  # the page would begin to execute its notebook
            assert _status(f"http://127.0.0.1:{unused_port}{guarded}", token) == 200
    finally:
        for process in [*psutil.Process(server.pid).children(recursive=True), psutil.Process(server.pid)]:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        server.wait()
