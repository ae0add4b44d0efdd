"""One line that rewrites itself: through one display handle in a notebook, by carriage returns in a terminal."""

import html
import sys
import time


def _in_notebook() -> bool:
    shell = sys.modules.get("IPython")
    return shell is not None and getattr(shell.get_ipython(), "kernel", None) is not None


class Progress:
    """A context manager that shows a title, a bar, the time left and a note.

    In a notebook it is one output that is updated in place, so an executed notebook keeps its last state only. In a log
    file, where nothing can be rewritten, it prints a line at every tenth of the way.
    """

    def __init__(self, total: int, title: str, note: str = "", done: int = 0):
        self.total, self.title, self.note, self.done, self._first = total, title, note, done, done
        self._started = self._shown = time.monotonic()
        self._tenth = -1
        self._handle = None

    def __enter__(self) -> "Progress":
        self._show()
        return self

    def __exit__(self, *_error) -> None:
        self._show()
        if self._handle is None and sys.stderr.isatty():
            print(file=sys.stderr)

    def advance(self, steps: int = 1, note: str | None = None) -> None:
        """Count steps, and change the note if one is given; shown at most twice a second."""
        self.done += steps
        self.note = self.note if note is None else note
        if time.monotonic() - self._shown > 0.5:
            self._show()

    def _line(self) -> str:
        elapsed = time.monotonic() - self._started
        steps = self.done - self._first
        left = elapsed / steps * (self.total - self.done) if steps else 0
        clock = f"{left:.0f} s left" if self.done < self.total else f"{elapsed:.0f} s"
        return f"{self.title}  {self.done}/{self.total}  {clock}  {self.note}"

    def _show(self) -> None:
        self._shown = time.monotonic()
        if _in_notebook():
            self._show_html()
        elif sys.stderr.isatty():
            print(f"\r\x1b[2K{self._line()[:118]}", end="", file=sys.stderr, flush=True)
        elif self.done * 10 // max(self.total, 1) > self._tenth:
            self._tenth = self.done * 10 // max(self.total, 1)
            print(self._line(), file=sys.stderr, flush=True)

    def _show_html(self) -> None:
        from IPython.display import HTML, display

        bar = f'<progress max="{self.total}" value="{self.done}" style="width:12em"></progress>'
        output = HTML(
            f'<div style="font-family:monospace;white-space:pre-wrap">{bar} {html.escape(self._line())}</div>'
        )
        if self._handle is None:
            self._handle = display(output, display_id=True)
        else:
            self._handle.update(output)
