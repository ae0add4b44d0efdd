"""Kill training and the pipeline at random moments, start them again, and compare what they end with."""

import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from multiprocessing import Pipe, get_context
from multiprocessing.connection import Connection
from pathlib import Path

import psutil
import torch

from jointlib import train
from jointlib.config import CHECKOUT, Config
from jointlib.runs import fit
from jointlib.support.checkpoint import Checkpoint

# What the victim announces when it begins; a kill falls somewhere between that and its usual end.
PHASES = {
    "reading": (fit, "load_data"),
    "step": (train, "_train_steps"),
    "validation": (train, "validate"),
    "checkpoint": (Checkpoint, "save"),
    "evaluation": (fit, "evaluate"),
    "writing": (fit, "write_csv"),
    "record": (fit, "write_json"),
}
COMPARED = ("*.csv", "*.md", "config.json", "metrics.json", "*.safetensors")
PIPELINE = "--profile .config/snakemake/local --cores 2 --quiet rules host --config".split()  # noqa: SIM905


def _victim(config: Config, announce: Connection) -> None:
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 2)
    torch.set_num_threads(1)
    for phase, (owner, name) in PHASES.items():
        setattr(owner, name, _announced(getattr(owner, name), phase, announce))
    fit.fit(config)


def _announced(function, phase: str, announce: Connection):
    def wrapped(*arguments, **options):
        announce.send((phase, "begin", time.monotonic()))
        result = function(*arguments, **options)
        announce.send((phase, "end", time.monotonic()))
        return result

    return wrapped


def attempt(config: Config, phase: str = "", nth: int = 0, delay: float = 0.0) -> tuple[bool, list[tuple]]:
    """Train in a forked process, and kill it `delay` seconds into the nth time that it does `phase`.

    Returns:
        Whether it was killed, and what it announced.

    Raises:
        RuntimeError: it ended with an error of its own.
    """
    reader, writer = Pipe(duplex=False)
    process = get_context("fork").Process(target=_victim, args=(config, writer))
    process.start()
    writer.close()
    announced = []
    while True:
        try:
            announced.append(reader.recv())
        except EOFError:
            break
        if announced[-1][:2] == (phase, "begin"):
            nth -= 1
        if nth < 0:
            time.sleep(delay)
            os.kill(process.pid, signal.SIGKILL)
            break
    process.join()
    if process.exitcode not in (0, -signal.SIGKILL):
        raise RuntimeError(f"training ended with exit status {process.exitcode}")
    return process.exitcode != 0, announced


def content(folder: Path) -> dict[str, bytes]:
    """Everything that must be the same: tables, plans, histories, scores, metrics, weights, and cards but for the time
    that a training took."""
    files = sorted(file for pattern in COMPARED for file in folder.rglob(pattern))
    return {
        str(file.relative_to(folder)): timeless(file.read_text()).encode()
        if file.suffix == ".md"
        else file.read_bytes()
        for file in files
    }


def timeless(markdown: str) -> str:
    """A card, or a table with its column, without core-minutes: no two runs take as long."""
    rows = [line.split("|") for line in re.sub(r"[\d.]+ core-minutes", "", markdown).splitlines()]
    times = {place for row in rows for place, cell in enumerate(row) if cell.strip() == "core-minutes"}
    return "\n".join("|".join(cell for place, cell in enumerate(row) if place not in times) for row in rows)


def differences(wanted: dict[str, bytes], found: dict[str, bytes]) -> list[str]:
    """Names of files that differ, are missing or are too many."""
    return sorted(name for name in {*wanted, *found} if wanted.get(name) != found.get(name))


def usual_seconds(announced: list[tuple]) -> dict[str, float]:
    """How long each phase lasted at most."""
    begun: dict[str, float] = {}
    lasting = dict.fromkeys(PHASES, 0.0)
    for phase, what, now in announced:
        if what == "begin":
            begun[phase] = now
        else:
            lasting[phase] = max(lasting[phase], now - begun[phase])
    return lasting


def kill_training(config: Config, kills: int, seed: int = 0) -> dict[str, object]:
    """Train a run, killed each time in another phase until it comes to its end; then the next, until `kills` are done.

    Returns:
        kills, in all and by phase; finished: runs that came to their end; different: files not as in a run left alone.
    """
    rng, counted, different = random.Random(seed), Counter(), []
    with tempfile.TemporaryDirectory() as folder:
        _, announced = attempt(config.replace(results=f"{folder}/whole"))
        lasting, wanted, finished, killed = usual_seconds(announced), content(Path(folder, "whole")), 0, False
        while killed or counted.total() < kills:
            results = Path(folder, f"killed{finished}")
            phase = list(PHASES)[counted.total() % len(PHASES)] if counted.total() < kills else ""
            nth, delay = rng.choice((0, 0, 1)), rng.uniform(0, lasting.get(phase, 0.0))
            killed, _ = attempt(config.replace(results=str(results)), phase, nth, delay)
            if killed:
                counted[phase] += 1
            else:
                different += differences(wanted, content(results)) + [str(file) for file in results.rglob("*.partial")]
                finished += 1
    return {"kills": counted.total(), **counted, "finished": finished, "different": different}


def _pipeline(results: Path, lives: float | None, orphans: bool, log: Path) -> bool:
    """Run the pipeline of smoke; killed after `lives` seconds, with all its processes or alone. Whether it was."""
    command = [sys.executable, "-m", "snakemake", *PIPELINE, "profile=smoke", f"results={results}"]
    with log.open("a") as stream:
        process = subprocess.Popen(
            command, cwd=CHECKOUT, stdout=stream, stderr=stream, env=os.environ | {"OMP_NUM_THREADS": "1"}
        )
        try:
            process.wait(lives)
        except subprocess.TimeoutExpired:
            family = [psutil.Process(process.pid)]
            family += [] if orphans else family[0].children(recursive=True)
            for member in family:
                with suppress(psutil.NoSuchProcess):
                    member.kill()
            process.wait()
            return True
    if process.returncode:
        raise RuntimeError(f"the pipeline ended with exit status {process.returncode}:\n{log.read_text()[-3000:]}")
    return False


def kill_pipeline(kills: int, seed: int = 0) -> dict[str, object]:
    """The same with the pipeline as a whole; every other time its notebooks live on as orphans."""
    rng, counted, different, finished = random.Random(seed), Counter(), [], 0
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log")
        started = time.monotonic()
        _pipeline(Path(folder, "whole"), None, False, log)
        lasting, wanted, killed = time.monotonic() - started, content(Path(folder, "whole")), False
        while killed or counted.total() < kills:
            lives = rng.uniform(0.1, 0.5) * lasting if counted.total() < kills else None
            orphans = counted.total() % 2 == 1
            killed = _pipeline(Path(folder, f"killed{finished}"), lives, orphans, log)
            if killed:
                counted["alone" if orphans else "with all its processes"] += 1
            else:
                different += differences(wanted, content(Path(folder, f"killed{finished}")))
                finished += 1
    return {"kills": counted.total(), **counted, "finished": finished, "different": different}
