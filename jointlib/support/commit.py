"""Which state of the checkout is at work."""

import os
import subprocess
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
PATIENCE = 10  # seconds that git has to name a commit


def commit() -> str | None:
    """The checkout's commit; None where there is no git, or it does not answer for this folder."""
    outside = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    outside["GIT_CEILING_DIRECTORIES"] = str(CHECKOUT.parent)  # a repository around it has commits of something else
    command = ["git", "-C", str(CHECKOUT), "describe", "--always", "--dirty", "--abbrev=12"]
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    try:
        answer = subprocess.run(command, **pipes, env=outside, timeout=PATIENCE, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.decode(errors="replace").strip() or None
