"""Files that are whole or not there: written under another name, brought to the disk, then renamed."""

import io
import json
import os
from pathlib import Path
from typing import Any

import pandas as pd


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file at once: whoever reads it finds the old content or the new one, never half of it.

    Raises:
        OSError: names the file; the old one, if any, is as it was.
    """
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())  # a renamed file without its content is what a power cut leaves otherwise
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise OSError(error.errno, f"{error.strerror}; nothing was changed. It was to be written", str(path)) from error


def write_json(path: Path, values: Any) -> None:
    """Write plain values as JSON, at once."""
    write_atomically(path, json.dumps(values, indent=2, allow_nan=False).encode())


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write a table without its index, at once."""
    text = io.StringIO()
    table.to_csv(text, index=False)
    write_atomically(path, text.getvalue().encode())


def remove_partial(folder: Path) -> None:
    """Remove what killed processes left of a file; only for who holds the folder's lock."""
    for partial in folder.glob("*.partial"):
        partial.unlink()
