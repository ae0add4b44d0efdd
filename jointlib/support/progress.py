"""A progress bar: a line in a terminal or notebook, ten lines in a log file."""

import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

from jointlib.support.ranks import is_first


class Progress(tqdm):
    """tqdm, of `values` or of updates, as text, which an executed notebook keeps without JavaScript."""

    monitor_interval = 0  # no thread beside the work

    def __init__(self, total: int, title: str, done: int = 0, values: Iterable[Any] | None = None):
        notebook = "ipykernel" in sys.modules  # where JupyterLab would show stderr in red
        live, file = notebook or sys.stderr.isatty(), sys.stdout if notebook else sys.stderr
        # In a log file a line is written at each tenth of the total, since a carriage return does not rewrite it.
        often = {"mininterval": 0.5} if live else {"mininterval": 0, "miniters": max(1, -(-total // 10))}
        form = "{desc}  {n_fmt}/{total_fmt}  {elapsed} < {remaining}{postfix}" + ("" if live else "\n")
        often |= {"file": file, "disable": not is_first()}
        super().__init__(values, total=total, desc=title, initial=done, bar_format=form, **often)
