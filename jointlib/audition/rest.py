"""Work that may come later: it begins when nothing has changed for a while, and ends as soon as something does."""

import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context
from typing import Any

from torch import Tensor

from jointlib.evaluate import quality

_REST = 0.3  # seconds


class AtRest:
    """One job at a time, in a thread of its own, in pieces: a generator that yields between them.

    Args:
        guard: turns a step into one whose errors are shown.
    """

    def __init__(self, guard: Callable[[Callable[[], None]], Callable[..., None]]):
        self._guard, self._working = guard, threading.Lock()
        self._timer, self._job = threading.Timer(0, str), None

    def stop(self) -> None:
        """Give up the job after the piece that is being done."""
        self._timer.cancel()
        self._job = None

    def start(self, job: Iterator[None]) -> None:
        """Do a job instead of the one before, after a rest."""
        self.stop()
        self._job = job
        self._timer = threading.Timer(_REST, self._guard(self.work))
        self._timer.start()

    def work(self) -> None:
        """Do the job now, and return when it is done or given up."""
        with self._working:
            job = self._job
            for _ in job or ():
                if self._job is not job:
                    return


@cache
def _judges() -> ProcessPoolExecutor:
    ignore = (signal.SIGINT, signal.SIG_IGN)  # an interrupted kernel is not the end of it
    return ProcessPoolExecutor(1, get_context("spawn"), initializer=signal.signal, initargs=ignore)


def judge(clean: Tensor, wave: Tensor) -> dict[str, Any]:
    """`quality` of a wave (T,) against clean speech (T,), in another process: PESQ would keep sliders waiting."""
    return _judges().submit(quality, (clean.numpy(), wave.numpy())).result()
