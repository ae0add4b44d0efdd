"""Which state of the checkout is at work, and whether it is the one that made something."""

import os
import re
import subprocess
from functools import cache

from jointlib import CHECKOUT

PATIENCE = 10  # seconds that git has to answer
# The files that decide a run's numbers, for git: the method, what it is fed, and what computes it faster.
_DECISIVE = (":(glob)jointlib/*.py", ":(exclude)jointlib/__main__.py", "jointlib/corpora", "jointlib/fast")


def commit() -> str | None:
    """The checkout's commit; None where git does not tell."""
    return _git("describe", "--always", "--dirty", "--abbrev=12") or None


@cache
def changed_since(commit: str | None) -> str:
    """What of `_DECISIVE` differs from a record's commit, or that nobody can tell, in words; empty if nothing does."""
    if commit is None or not re.fullmatch(r"\w[\w.-]*", commit):
        return "made by code of no known commit"
    if commit.endswith("-dirty"):
        return f"made by code that was never committed, on top of {commit.removesuffix('-dirty')}"
    changed = _git("diff", "--name-only", commit, "--", *_DECISIVE)
    if changed is None:
        return f"made at commit {commit}, which this checkout does not have"
    return changed and f"made before {', '.join(changed.split())} changed (commit {commit})"


def _git(*arguments: str) -> str | None:
    """What git answers; None where there is none, or it does not answer for the checkout's folder."""
    outside = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    outside["GIT_CEILING_DIRECTORIES"] = str(CHECKOUT.parent)  # a repository around it has commits of something else
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    command = ["git", "-C", str(CHECKOUT), *arguments]
    try:
        answer = subprocess.run(command, **pipes, env=outside, timeout=PATIENCE, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.decode(errors="replace").strip()
