"""``execute.py NOTEBOOK EXECUTED PARAMETERS``: papermill, as the Snakefile's rules call it. PARAMETERS are JSON.

Prints training progress and errors as whole lines, so that several jobs can share a terminal or file. The output of
papermill and the kernel goes to EXECUTED's name with the ending .log.
"""

import json
import os
import re
import sys
import time
from pathlib import Path

import papermill

EVERY = 15  # seconds between two lines about one training
BAR = re.compile(r"([^\r\n]+)  (\d+)/(\d+)  \S+ < ([\d:?]+)([^\r\n]*)")  # of jointlib.support.progress

notebook, executed, parameters = sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3])
log = executed.with_suffix(".log")
executed.parent.mkdir(parents=True, exist_ok=True)
terminal = os.fdopen(os.dup(2), "w")
os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), 2)  # the kernel's stderr, too
started, said, last = time.monotonic(), time.monotonic(), ("", "")


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {executed.stem:32}  {text}", file=terminal, flush=True)


class Lines:
    """A stream for the cells' output; reports the progress bars in it at intervals."""

    def write(self, text: str) -> None:
        global said, last
        for title, done, total, left, shown in BAR.findall(text):
            training = ", seed " in title
            if (title, done) != last and (time.monotonic() - said >= EVERY or (training and done == total)):
                said, last = time.monotonic(), (title, done)
                accuracy = re.search(r"accuracy (\S+)", shown)
                known = f", validation accuracy {accuracy[1]}" if accuracy else ""
                say(f"{title}: {'step ' if training else ''}{done} of {total}{known}, {left} left")

    def flush(self) -> None:
        """Nothing is buffered."""


say("started")
try:
    papermill.execute_notebook(
        notebook, executed, parameters, kernel_name="python3", progress_bar=False, stdout_file=Lines()
    )
except Exception as error:  # of a cell; or the kernel was killed, the disk is full
    where = f" in cell [{error.exec_count}] of {executed}" if hasattr(error, "exec_count") else ""
    reason = f"{error.ename}: {error.evalue}" if where else f"{type(error).__name__}: {error}"
    say(f"failed{where}\n{reason}\nMore: {log}")
    sys.exit(1)
say(f"done in {time.monotonic() - started:.0f} s")
