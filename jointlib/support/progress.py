"""One line that rewrites itself: a single output in a notebook, a line in a terminal, ten lines in a log file."""

import html
import io
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from tqdm import tqdm


def _in_notebook() -> bool:
    shell = sys.modules.get("IPython")
    return shell is not None and getattr(shell.get_ipython(), "kernel", None) is not None


class Progress(tqdm):
    """tqdm without widgets: an executed notebook keeps one output, the last state, which needs no JavaScript."""

    monitor_interval = 0  # no thread beside the work

    def __init__(self, total: int, title: str, done: int = 0):
        self._handle, self._in_notebook = None, _in_notebook()
        self._in_log = not self._in_notebook and not sys.stderr.isatty()
        often = {"mininterval": 0, "miniters": max(1, total // 10)} if self._in_log else {"mininterval": 0.5}
        file = io.StringIO() if self._in_notebook else sys.stderr
        form = "{desc}  {n_fmt}/{total_fmt}  {elapsed} < {remaining}{postfix}"
        super().__init__(total=total, desc=title, initial=done, file=file, bar_format=form, dynamic_ncols=True, **often)

    def over(self, values: Iterable[Any]) -> Iterator[Any]:
        """Hand values on and count them."""
        for value in values:
            yield value
            self.update()

    def note(self, text: str) -> None:
        """Replace the words at the end of the line."""
        self.set_postfix_str(text, refresh=False)

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """What tqdm calls to show the line."""
        if self._in_notebook:
            self._display_html(str(self))
        elif self._in_log:
            print(str(self), file=sys.stderr, flush=True)
        else:
            super().display(msg, pos)

    def _display_html(self, line: str) -> None:
        from IPython.display import HTML, display

        bar = f'<progress max="{self.total}" value="{self.n}" style="width:12em"></progress>'
        output = HTML(f'<div style="font-family:monospace;white-space:pre-wrap">{bar} {html.escape(line)}</div>')
        if self._handle is None:
            self._handle = display(output, display_id=True)
        else:
            self._handle.update(output)
