"""Where the project's files lie."""

import os
from pathlib import Path

from jointlib import CHECKOUT

__all__ = ["CHECKOUT", "ROOT"]
_HERE = CHECKOUT if (CHECKOUT / "Snakefile").is_file() else "."  # site-packages is no place to write to
# The project's folder: relative paths start here, data/ and results/ lie below it.
ROOT = Path(os.environ.get("JOINTLIB_HOME") or _HERE).expanduser().resolve()
