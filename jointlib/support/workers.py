"""Processes beside this one, which end when it does, whatever ends it; and a thread that works ahead."""

import multiprocessing
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.context import SpawnContext, SpawnProcess
from threading import Thread
from typing import Any, TypeVar

T = TypeVar("T")


def cores() -> int:
    """How many this process was given, which on a shared machine or cluster is fewer than there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1  # not on macOS


def ahead(made: Iterator[T]) -> Iterator[T]:
    """The same, in order, each made by a thread while the one before is used; what it raises is raised here."""
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, made, None)
        while (one := coming.result()) is not None:
            coming = thread.submit(next, made, None)
            yield one


class _Worker(SpawnProcess):
    def start(self) -> None:
        """Start deaf to Ctrl-C, which a terminal sends to all processes: it is this one's to end the others."""
        heard = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # a new process inherits the mask
        try:
            super().start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, heard)

    def run(self) -> None:
        Thread(target=_end_with_parent, daemon=True).start()
        super().run()


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)


class _Context(SpawnContext):
    Process = _Worker


@contextmanager
def fresh_processes(number: int, **options: Any) -> Iterator[ProcessPoolExecutor]:
    """A pool of new processes. An error or Ctrl-C in the block ends them in the middle of what they do."""
    others = set(multiprocessing.active_children())
    with ProcessPoolExecutor(number, mp_context=_Context(), **options) as pool:
        try:
            yield pool
        except BaseException:
            for process in set(multiprocessing.active_children()) - others:  # the pool would let them come to an end
                process.kill()
            raise
