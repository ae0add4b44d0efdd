"""The grid through Slurm itself, on one node: with a job cancelled, the same bytes as without Slurm."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from kills import numbers

from jointlib.config import CHECKOUT, load_config
from jointlib.runs.folder import environment
from jointlib.support.checkpoint import CHECKPOINT
from jointlib.support.files import write_json

SYSTEM = Path("/etc/slurm/slurm.conf")  # the plugin's job steps know no other place
CONF = """
ClusterName=jointlib_test
SlurmctldHost={node}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={home}/munge.socket
StateSaveLocation={home}/state
SlurmdSpoolDir={home}/spool
SlurmctldPidFile={home}/slurmctld.pid
SlurmdPidFile={home}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SlurmdParameters=config_overrides
MinJobAge=300
ReturnToService=2
AccountingStorageType=accounting_storage/none
NodeName={node} CPUs=2 RealMemory=64000 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def printed(*command: str | Path) -> str:
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def until(condition: Callable[[], object], process: subprocess.Popen, log: Path) -> object:
    """What a condition comes to, once it comes to something; an hour at most."""
    for _ in range(7200):
        if found := condition():
            return found
        assert process.poll() is None, log.read_text()[-5000:]
        time.sleep(0.5)
    return pytest.fail(f"waited in vain:\n{log.read_text()[-5000:]}")


@pytest.fixture
def slurm(request: pytest.FixtureRequest) -> Iterator[None]:
    """Slurm on one node, in a folder of its own, which is gone afterwards, as is the link to its configuration."""
    if not request.config.getoption("--slurm"):
        pytest.skip("no Slurm: as root, apt-get install slurm-wlm munge, and pytest --slurm")
    pytest.importorskip("snakemake_executor_plugin_slurm", reason="no Slurm: pip install -c constraints.txt .[slurm]")
    home, daemons = Path(tempfile.mkdtemp(prefix="slurm")), []
    home.chmod(0o755)  # munge wants its socket to be within everybody's reach
    for name in ("state", "spool"):
        (home / name).mkdir()
    (home / "slurm.conf").write_text(CONF.format(node=socket.gethostname().partition(".")[0], home=home))
    (home / "munge.key").write_bytes(os.urandom(128))
    (home / "munge.key").chmod(0o600)
    munge = ["munged", "--foreground", f"--socket={home}/munge.socket", f"--key-file={home}/munge.key"]
    munge += [f"--{name}-file={home}/munge.{name}" for name in ("pid", "log", "seed")]
    SYSTEM.symlink_to(home / "slurm.conf")  # FileExistsError: this machine has a Slurm of its own
    try:
        for command in (munge, ["slurmctld", "-D"], ["slurmd", "-D"]):
            log = home / f"{command[0]}.out"
            with log.open("w") as stream:
                daemons.append(subprocess.Popen(command, stdout=stream, stderr=stream))
            if command is munge:
                until((home / "munge.socket").exists, daemons[0], log)
        until(lambda: "idle" in printed("sinfo", "-h"), daemons[-1], log)
        yield
    finally:
        SYSTEM.unlink()
        for process in psutil.process_iter():  # proctrack/linuxproc lets some of a cancelled job live on
            with suppress(psutil.Error):
                if process.environ().get("SLURM_CLUSTER_NAME") == "jointlib_test":
                    process.kill()
        for daemon in reversed(daemons):
            daemon.terminate()
            daemon.wait()
        shutil.rmtree(home)


@contextmanager
def pipeline(profile: str, results: Path, *options: str) -> Iterator[tuple[subprocess.Popen, Path]]:
    """Snakemake at work, and its log."""
    command = [sys.executable, "-m", "snakemake", "--profile", CHECKOUT / ".config/snakemake" / profile, *options]
    command += ["--config", "profile=smoke", f"results={results}"]
    results.mkdir()
    with (results / "log").open("w") as stream:
        process = subprocess.Popen(command, cwd=CHECKOUT, stdout=stream, stderr=stream)
    try:
        yield process, results / "log"
        assert process.wait() == 0, (results / "log").read_text()[-5000:]
    finally:
        process.terminate()
        process.wait()


def one_in_training(results: Path) -> str | None:
    """The job of a cell that has come to a checkpoint."""
    for line in printed("squeue", "-h", "-t", "R", "-o", "%i %k").splitlines():
        job, _, run = line.partition(" rule_cell_wildcards_")
        if (results / f"smoke/runs/{run}.partial" / CHECKPOINT).exists():
            return job
    return None


def test_with_a_cancelled_job_the_grid_comes_out_the_same(slurm, tmp_path, request):
    with pipeline("local", tmp_path / "local", "--cores", "2"):
        pass
    options = "--slurm-status-command squeue --slurm-init-seconds-before-status-checks 5 --max-threads 2"
    with pipeline("slurm", tmp_path / "slurm", *options.split(), "--set-resources", "cell:gpu=0") as (process, log):
        printed("scancel", until(lambda: one_in_training(tmp_path / "slurm"), process, log))
    text = log.read_text()
    about = {"slurm": printed("sinfo", "--version").strip(), "nodes": 1, "cores": 2, "accounting": False}
    about |= {"jobs": text.count("SLURM jobid"), "restarted": text.count("Trying to restart job")}
    local, through_slurm = (numbers(tmp_path / name / "smoke/runs") for name in ("local", "slurm"))
    if folder := request.config.getoption("--record"):
        write_json(folder / "slurm.json", about | environment(load_config("smoke")))
    assert local == through_slurm and about["restarted"] == 1
