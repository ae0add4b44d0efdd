"""Jupyter's settings for `make lab`: outputs are not saved in the notebooks that git tracks.

Figures, sounds and widget states would add megabytes to each commit and hide what changed. They are dropped when a
notebook below notebooks/ is saved, while the open page keeps showing them. Executed copies below results/ keep theirs.
"""

from pathlib import Path
from typing import Any

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"


def drop_outputs(model: dict[str, Any], path: str, contents_manager: Any, **_: Any) -> None:
    """Remove outputs, execution counts and widget states of a notebook before it is saved."""
    file = Path(contents_manager.root_dir, path.strip("/")).resolve()
    if model["type"] != "notebook" or not file.is_relative_to(NOTEBOOKS):
        return
    notebook = model["content"]
    notebook["metadata"].pop("widgets", None)
    notebook["metadata"]["language_info"] = {"file_extension": ".py", "name": "python"}  # not its version here
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell |= {"outputs": [], "execution_count": None}


c = get_config()  # noqa: F821  # Jupyter's, put here when it reads this file
c.ContentsManager.pre_save_hook = drop_outputs
