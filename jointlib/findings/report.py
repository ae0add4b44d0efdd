"""The report of a profile: notebook 8, executed and exported without its code, and a model card of each run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import papermill

from jointlib.config import CHECKOUT, load_config
from jointlib.findings.card import write_card
from jointlib.findings.pages import write_page
from jointlib.findings.scores import compared_runs
from jointlib.runs.folder import list_runs

NOTEBOOK = CHECKOUT / "notebooks/08_report.ipynb"


def write_report(parameters: Mapping[str, Any]) -> Path:
    """Write report.html and rewrite the card.md of each run of a profile; return the page's path.

    `parameters` are a notebook's, such as ``{"PROFILE": "beyond"}``. Raises what `config.load_config` and
    `scores.compared_runs` raise, before anything is written. FileNotFoundError: an installed package has no notebooks.
    papermill.PapermillExecutionError: a cell of the notebook failed.
    """
    config = load_config(**{name.lower(): value for name, value in parameters.items()})
    compared_runs(config)
    for folder in list_runs(config.folder).folder:  # including runs that only initialise others
        write_card(folder)
    executed = config.summary / "notebooks" / NOTEBOOK.name
    executed.parent.mkdir(parents=True, exist_ok=True)
    papermill.execute_notebook(NOTEBOOK, executed, parameters, kernel_name="python3", progress_bar=False)
    return write_page(executed, config.summary / "report.html", code=False)
