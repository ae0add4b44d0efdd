"""Files that are whole or not there: written under another name, brought to the disk, then renamed."""

import csv
import io
import json
import os
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import pandas as pd
from pandas.api.types import is_numeric_dtype
from torch import Tensor


class UnusableFile(ValueError):
    """A file that cannot be used: which one, what is wrong with it, what would be right."""


@contextmanager
def remedy(words: str) -> Iterator[None]:
    """Add to an UnusableFile what can be done about it."""
    try:
        yield
    except UnusableFile as error:
        raise UnusableFile(f"{error}; {words}") from error


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
        with suppress(OSError):  # nothing can be removed from a disk that is read-only or gone
            partial.unlink()
        raise OSError(error.errno, f"{error.strerror}; nothing was changed. It was to be written", str(path)) from error


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file at once; see `replacing`."""
    with replacing(path) as stream:
        stream.write(content)


def write_json(path: Path, values: Any) -> None:
    """Write plain values as JSON, at once."""
    write_atomically(path, json.dumps(values, indent=2, allow_nan=False).encode())


def read_json(file: Path, *names: str) -> dict[str, Any]:
    """A JSON file of names and values; UnusableFile if it is none, or lacks one of `names`."""
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UnusableFile(f"{file}: not readable as JSON ({error})") from error
    if not isinstance(values, dict):
        raise UnusableFile(f"{file}: expected an object of names and values, found {type(values).__name__}")
    if missing := [name for name in names if name not in values]:
        raise UnusableFile(f"{file}: lacks {', '.join(missing)}")
    return values


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write a table without its index, at once."""
    text = table.to_csv(index=False, lineterminator="\n")
    if "\r" in text:  # which Python before 3.13 does not quote, so that a row would end there
        text = table.to_csv(index=False, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    write_atomically(path, text.encode(errors="backslashreplace"))  # a file's name need not be UTF-8


def read_csv(file: Path, text: Collection[str]) -> pd.DataFrame:
    """A table of `write_csv`: the columns in `text` to the last character, all others numbers, NaN where empty.

    UnusableFile: not what was written, but cut, emptied or damaged.
    """
    try:
        content = file.read_bytes().decode()
        header, *rows = csv.reader(io.StringIO(content, newline=""), strict=True)
    except (ValueError, csv.Error) as error:
        reason = f"not readable as UTF-8 CSV ({error})" if file.stat().st_size else "is empty"
        raise UnusableFile(f"{file}: {reason}") from error
    for number, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise UnusableFile(f"{file}: row {number} has {len(row)} of {len(header)} columns")
    if not content.endswith("\n"):
        raise UnusableFile(f"{file}: is cut off in row {len(rows) + 1}")
    empty = {name: [""] for name in header if name not in text}
    table = pd.read_csv(
        io.StringIO(content, newline=""), dtype=dict.fromkeys(text, str), keep_default_na=False, na_values=empty
    )
    if strange := [name for name in empty if rows and not is_numeric_dtype(table[name])]:
        raise UnusableFile(f"{file}: {strange[0]} holds what is no number")
    return table


def write_wav(path: Path, wave: Tensor, sample_rate: int) -> None:
    """Write a wave (T,) as a 16-bit wav, at once; samples beyond full scale are clipped."""
    import soundfile  # here: training on tensors alone goes without

    content = io.BytesIO()
    soundfile.write(content, wave.clamp(-1, 1).cpu().numpy(), sample_rate, subtype="PCM_16", format="WAV")
    write_atomically(path, content.getvalue())


def remove_partial(folder: Path, written: str) -> None:
    """Remove what killed processes left of the files that are named as `written` (a regular expression) says.

    Only for who holds the lock. What else is called .partial is not ours.
    """
    for partial in folder.glob("*.partial"):
        if re.fullmatch(rf"(?:{written})\.\d+\.partial", partial.name) and partial.is_file():
            partial.unlink()
