"""Jupyter's settings for `make lab`: what a notebook showed stays out of the file that git tracks.

Figures, sounds and widgets' states would grow the notebooks by megabytes with every save, and hide in a diff what was
changed. So they are dropped when a notebook below notebooks/ is saved; the open page goes on to show them. Executed
copies, which snakemake writes below results/, keep theirs.
"""

from pathlib import Path
from typing import Any

NOTEBOOKS = Path(__file__).resolve().parent / "notebooks"


def drop_outputs(model: dict[str, Any], path: str, contents_manager: Any, **_: Any) -> None:
    """Empty the outputs of a notebook that is about to be saved, and what else running it has changed."""
    file = Path(contents_manager.root_dir, path.strip("/")).resolve()
    if model["type"] != "notebook" or not file.is_relative_to(NOTEBOOKS):
        return
    notebook = model["content"]
    notebook["metadata"].pop("widgets", None)
    notebook["metadata"]["language_info"] = {"name": "python"}  # not this machine's version of it
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell |= {"outputs": [], "execution_count": None}


c = get_config()  # noqa: F821  # Jupyter's, put here when it reads this file
c.ContentsManager.pre_save_hook = drop_outputs
