"""The grid through Slurm itself, on one node: with a job cancelled and one killed, the same bytes as without."""

import os
import shutil
import signal
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

from benchmarks.kills import content, differences
from jointlib.config import ROOT, load_config
from jointlib.runs.folder import environment
from jointlib.support.files import write_json

PATIENCE = 3600  # seconds
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


def run(*command: str | Path) -> str:
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def until(condition: Callable[[], object], process: subprocess.Popen, log: Path) -> object:
    """What a condition comes to, once it comes to something."""
    for _ in range(2 * PATIENCE):
        if found := condition():
            return found
        assert process.poll() is None, log.read_text()[-5000:]
        time.sleep(0.5)
    return pytest.fail(f"waited in vain:\n{log.read_text()[-5000:]}")


@pytest.fixture
def slurm(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A cluster, where one was asked for and its packages are or may be installed; these stay."""
    if not request.config.getoption("--slurm"):
        pytest.skip("no Slurm: pytest --slurm installs slurm-wlm and munge with apt-get, as root, and starts them")
    pytest.importorskip("snakemake_executor_plugin_slurm", reason="no Slurm: pip install -c constraints.txt .[slurm]")
    if not all(map(shutil.which, ("slurmctld", "slurmd", "munged", "sbatch"))):
        if os.getuid() or not shutil.which("apt-get"):
            pytest.skip("no Slurm: slurm-wlm and munge are not installed, and only root on Debian may install them")
        run("apt-get", "update")
        run("apt-get", "install", "-y", "--no-install-recommends", "slurm-wlm", "munge")
    if os.path.lexists(SYSTEM):
        pytest.skip(f"no Slurm: {SYSTEM} is another one's")
    with cluster() as home:
        yield home


@contextmanager
def cluster() -> Iterator[Path]:
    """Slurm on one node, in a folder of its own, which is gone afterwards, as is the link to its configuration."""
    home, daemons = Path(tempfile.mkdtemp(prefix="slurm")), []
    home.chmod(0o755)  # munge wants its socket to be within everybody's reach
    for name in ("state", "spool"):
        (home / name).mkdir()
    (home / "slurm.conf").write_text(CONF.format(node=socket.gethostname().partition(".")[0], home=home))
    (home / "munge.key").write_bytes(os.urandom(128))
    (home / "munge.key").chmod(0o600)
    munge = ["munged", "--foreground", f"--socket={home}/munge.socket", f"--key-file={home}/munge.key"]
    munge += [f"--{name}-file={home}/munge.{name}" for name in ("pid", "log", "seed")]
    SYSTEM.symlink_to(home / "slurm.conf")
    try:
        for command in (munge, ["slurmctld", "-D"], ["slurmd", "-D"]):
            log = home / f"{command[0]}.out"
            with log.open("w") as stream:
                daemons.append(subprocess.Popen(command, stdout=stream, stderr=stream))
            if command is munge:
                until((home / "munge.socket").exists, daemons[0], log)
        until(lambda: "idle" in run("sinfo", "-h"), daemons[-1], log)
        yield home
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
    command = [sys.executable, "-m", "snakemake", "--profile", ROOT / ".config/snakemake" / profile, *options]
    results.mkdir()
    log = results / "log"
    with log.open("w") as stream:
        process = subprocess.Popen(
            [*command, "--config", "profile=smoke", f"results={results}"], cwd=ROOT, stdout=stream, stderr=stream
        )
    try:
        yield process, log
        assert process.wait() == 0, log.read_text()[-5000:]
    finally:
        process.terminate()
        process.wait()


def training(results: Path) -> dict[str, str]:
    """The jobs of the cells that have come to a checkpoint, by the cell's name."""
    found = {}
    for line in run("squeue", "-h", "-t", "R", "-o", "%i %k").splitlines():
        job, _, rule = line.partition(" rule_cell_wildcards_")
        if (results / f"smoke/runs/{rule}.partial/checkpoint.safetensors").exists():
            found[rule] = job
    return found


def kernels(job: str) -> Iterator[psutil.Process]:
    """The notebook's process of a job."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if "ipykernel_launcher" in process.cmdline() and process.environ().get("SLURM_JOB_ID") == job:
                yield process


def through_slurm(results: Path, *targets: str) -> dict[str, object]:
    """The grid, with a job cancelled and the process of another killed, each after a checkpoint; what happened."""
    options = ["--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "5"]
    options += ["--max-threads", "2", "--set-resources", "cell:gpu=0"]
    started = time.monotonic()
    with pipeline("slurm", results, *targets, *options) as (process, log):
        (cancelled, job), *_ = until(lambda: training(results), process, log).items()
        run("scancel", job)

        def one_to_kill() -> tuple[str, psutil.Process] | None:
            jobs = [(name, kernel) for name, job in training(results).items() for kernel in kernels(job)]
            return next((pair for pair in jobs if pair[0] != cancelled), None)

        killed, kernel = until(one_to_kill, process, log)
        kernel.send_signal(signal.SIGKILL)
    text = log.read_text()
    about = {"slurm": run("sinfo", "--version").strip(), "nodes": 1, "cores": 2, "accounting": False}
    about |= {"jobs": text.count("SLURM jobid"), "restarted": text.count("Trying to restart job")}
    return about | {"cancelled": cancelled, "killed": killed, "seconds": round(time.monotonic() - started)}


def test_cancelled_and_killed_the_grid_comes_out_the_same(slurm, tmp_path, request):
    with pipeline("local", tmp_path / "local", "--cores", "2"):
        pass
    about, found = through_slurm(tmp_path / "slurm"), content(tmp_path / "slurm")
    about |= {"files": len(found), "different": differences(content(tmp_path / "local"), found)}
    if folder := request.config.getoption("--record"):
        write_json(folder / "slurm.json", about | environment(load_config("smoke")))
    assert about["files"] > 100 and about["different"] == [] and about["restarted"] == 2
    assert not list((tmp_path / "slurm").glob("smoke/runs/*.partial"))
