"""``python -m benchmarks.executed PROFILE``: the notebooks that `make reproduce` has executed, as Markdown.

They are written to results/reference/PROFILE/pages with their figures, to be read without running anything. Audio and
widgets, which Markdown cannot show, are left out.
"""

import re
import sys
from pathlib import Path
from typing import Any

import nbformat
from nbconvert import MarkdownExporter
from nbconvert.preprocessors import CoalesceStreamsPreprocessor

from benchmarks.pages import TARGET
from jointlib import ROOT
from jointlib.config import load_config
from jointlib.support.files import write_atomically

PAGES = {
    "01_contaminate": "01_contaminate",
    "02_baselines": "02_baselines",
    "03_train_strategy": "jt_alpha0.5_seed0",
    "04_tables": "04_tables",
    "05_figures": "05_figures",
    "07_beyond_the_paper": "07_beyond_the_paper",
}
STYLE = re.compile(r"<style.*?</style>\s*", re.S)


def shown(output: Any) -> bool:
    """Whether Markdown can show a cell's output."""
    data = output.get("data", {})
    return not any("widget" in kind for kind in data) and "<audio" not in data.get("text/html", "")


def write_markdown(executed: Path, page: Path) -> None:
    """Write an executed notebook as Markdown, and its figures into a folder of the page's name."""
    notebook = nbformat.read(executed, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = list(filter(shown, cell.outputs))
    exporter = MarkdownExporter(preprocessors=[CoalesceStreamsPreprocessor])
    text, resources = exporter.from_notebook_node(notebook, {"output_files_dir": page.stem})
    page.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(page, STYLE.sub("", text).replace(f"{ROOT}/", "").encode())
    for name, content in resources["outputs"].items():
        figure = page.parent / name
        figure.parent.mkdir(exist_ok=True)
        figure.write_bytes(content)


if __name__ == "__main__":
    for profile in sys.argv[1:]:
        for name, run in PAGES.items():
            write_markdown(
                load_config(profile).summary / f"notebooks/{run}.ipynb", TARGET / profile / f"pages/{name}.md"
            )
