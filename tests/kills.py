"""Train in a process that is killed at a chosen call, and compare what two results folders hold."""

import os
import signal
from itertools import count
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from jointlib.config import Config
from jointlib.runs.fit import fit


def killed(config: Config, owner: Any, name: str, nth: int) -> bool:
    """fit(config) in a forked process, killed as it calls ``owner.name`` for the nth time; False: it ended before.

    Killing os.fsync leaves a file that was written, but not yet renamed.
    """
    calls, original = count(), getattr(owner, name)

    def deadly(*arguments: Any, **options: Any) -> Any:
        if next(calls) == nth:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments, **options)

    def victim() -> None:
        torch.set_num_threads(1)
        setattr(owner, name, deadly)
        fit(config)

    process = get_context("fork").Process(target=victim)
    process.start()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL), process.exitcode
    return process.exitcode != 0


def numbers(results: Path) -> dict[str, bytes]:
    """All files below a results folder that must repeat to the last bit: all but locks, and the time a run took."""
    files = (file for file in sorted(results.rglob("*")) if file.is_file())
    return {
        str(file.relative_to(results)): file.read_bytes()
        for file in files
        if file.suffix != ".lock" and file.name not in ("record.json", "card.md")
    }
