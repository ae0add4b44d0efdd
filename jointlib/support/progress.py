"""One line that rewrites itself: a single output in a notebook, a line in a terminal, ten lines in a log file."""

import html
import io
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from tqdm import tqdm

from jointlib.support.ranks import is_first


class Progress(tqdm):
    """tqdm without widgets: an executed notebook keeps one output, the last state, which needs no JavaScript."""

    monitor_interval = 0  # no thread beside the work

    def __init__(self, total: int, title: str, done: int = 0):
        shell, self._handle = sys.modules.get("IPython"), None
        notebook = shell is not None and getattr(shell.get_ipython(), "kernel", None) is not None
        log = not notebook and not sys.stderr.isatty()
        self._show = self._in_notebook if notebook else self._in_log if log else super().display
        often = {"mininterval": 0, "miniters": max(1, -(-total // 10))} if log else {"mininterval": 0.5}
        file = io.StringIO() if notebook or log else sys.stderr
        form = "{desc}  {n_fmt}/{total_fmt}  {elapsed} < {remaining}{postfix}"
        often |= {"dynamic_ncols": True, "disable": not is_first()}
        super().__init__(total=total, desc=title, initial=done, file=file, bar_format=form, **often)

    def over(self, values: Iterable[Any]) -> Iterator[Any]:
        """Hand values on and count them."""
        for value in values:
            yield value
            self.update()

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """What tqdm calls to show the line."""
        self._show(msg, pos)

    def _in_log(self, *_) -> None:
        if self._handle != self.n:  # tqdm shows the last state twice
            print(str(self), file=sys.stderr, flush=True)
        self._handle = self.n

    def _in_notebook(self, *_) -> None:
        from IPython.display import HTML, display

        bar = f'<progress max="{self.total}" value="{self.n}" style="width:12em"></progress>'
        shown = HTML(f'<div style="font-family:monospace;white-space:pre-wrap">{bar} {html.escape(str(self))}</div>')
        if self._handle is None:
            self._handle = display(shown, display_id=True)
        else:
            self._handle.update(shown)
