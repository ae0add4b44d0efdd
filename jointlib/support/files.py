"""Atomic file writes: files are written under another name, then renamed."""

import io
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import pandas as pd
from filelock import FileLock, Timeout
from torch import Tensor


class UnusableFile(ValueError):
    """A file that cannot be used: its path, what is wrong with it, and what to do."""


@contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    """Hold the lock file `path`; a process that has to wait says so once, with `what` the other one is doing."""
    lock = FileLock(path)
    try:
        held = lock.acquire(blocking=False)
    except Timeout:
        print(f"waiting for another process: {what} ({path})", file=sys.stderr, flush=True)
        held = lock.acquire()
    with held:
        yield


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open NAME.partial for writing and rename it to `path` once it is on the disk. OSError: `path` is unchanged."""
    partial = path.with_name(f"{path.name[:60]}.partial")  # a file system may refuse a name that is any longer
    try:
        with partial.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())  # otherwise a power cut can leave the new name without the content
        partial.replace(path)
    except OSError as error:
        with suppress(OSError):  # frees space on a full disk; fails on a missing or read-only one
            partial.unlink()
        raise OSError(error.errno, f"{error.strerror}; {path} could not be written and is unchanged") from error


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file as a whole; see `replacing`."""
    with replacing(path) as stream:
        stream.write(content)


def write_json(path: Path, values: Any) -> None:
    """Write plain values as JSON."""
    write_atomically(path, json.dumps(values, indent=2, allow_nan=False).encode())


def read_json(file: Path, *names: str) -> dict[str, Any]:
    """Read a JSON object; UnusableFile if it is not JSON, or lacks one of `names`."""
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UnusableFile(f"{file}: not readable as JSON ({error}); restore it from a copy") from error
    if missing := [name for name in names if name not in values]:
        raise UnusableFile(f"{file}: lacks {', '.join(missing)}; restore it from a copy")
    return values


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write a table as CSV without its index."""
    write_atomically(path, table.to_csv(index=False, lineterminator="\n").encode(errors="backslashreplace"))


def write_wav(path: Path, waveform: Tensor, sample_rate: int) -> None:
    """Write a waveform (T,) as 16-bit WAV, or FLAC where `path` ends so; samples beyond full scale are clipped."""
    import soundfile  # here, so that training from tensors does not need it

    content = io.BytesIO()
    form = "FLAC" if path.suffix.lower() == ".flac" else "WAV"
    soundfile.write(content, waveform.clamp(-1, 1).cpu().numpy(), sample_rate, subtype="PCM_16", format=form)
    write_atomically(path, content.getvalue())
