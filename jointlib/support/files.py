"""Files that are whole or not there: written under another name, brought to the disk, then renamed."""

import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pandas as pd
import soundfile
from torch import Tensor


class UnusableFile(ValueError):
    """A file that cannot be used: which one, what is wrong with it, what would be right."""


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a file to be written; it appears under its name when all of it is on the disk. OSError: nothing changed."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())  # a renamed file without its content is what a power cut leaves otherwise
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise OSError(error.errno, f"{error.strerror}; nothing was changed. It was to be written", str(path)) from error


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file at once; see `replacing`."""
    with replacing(path) as stream:
        stream.write(content)


def write_json(path: Path, values: Any) -> None:
    """Write plain values as JSON, at once."""
    write_atomically(path, json.dumps(values, indent=2, allow_nan=False).encode())


def read_json(file: Path) -> dict[str, Any]:
    """A JSON file of names and values; UnusableFile if it is none."""
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UnusableFile(f"{file}: not readable as JSON ({error})") from error
    if not isinstance(values, dict):
        raise UnusableFile(f"{file}: expected an object of names and values, found {type(values).__name__}")
    return values


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write a table without its index, at once."""
    text = io.StringIO()
    table.to_csv(text, index=False)
    write_atomically(path, text.getvalue().encode())


def write_wav(path: Path, wave: Tensor, sample_rate: int) -> None:
    """Write a wave (T,) as a 16-bit wav, at once; samples beyond full scale are clipped."""
    content = io.BytesIO()
    soundfile.write(content, wave.clamp(-1, 1).cpu().numpy(), sample_rate, subtype="PCM_16", format="WAV")
    write_atomically(path, content.getvalue())


def remove_partial(folder: Path, name: str = "*") -> None:
    """Remove what killed processes left of a file, or of all; only for who holds the lock."""
    for partial in folder.glob(f"{name}.partial"):
        partial.unlink()
