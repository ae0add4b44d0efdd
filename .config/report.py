"""``report.py PARAMETERS [NOTEBOOK ...]``: the Snakefile's rules `report` and `all`.

PARAMETERS are a notebook's, as JSON. Writes each existing NOTEBOOK as a page, and then the report; without a NOTEBOOK,
prints the report's answer. (A shell rule: what `run:` starts passes the profile's path through a shell, unquoted.)
"""

import json
import sys
from pathlib import Path

import nbformat

from jointlib.config import load_config
from jointlib.findings.pages import write_page
from jointlib.findings.report import NOTEBOOK, write_report

parameters, notebooks = json.loads(sys.argv[1]), sys.argv[2:]
for notebook in filter(Path.exists, map(Path, notebooks)):
    write_page(notebook)
if notebooks:
    write_report(parameters)
    sys.exit()
summary = load_config(**{name.lower(): value for name, value in parameters.items()}).summary
cells = nbformat.read(summary / "notebooks" / NOTEBOOK.name, as_version=4).cells
answer = next(cell for cell in cells if cell.source.startswith("verdicts ="))
texts = [output.get("data", {}).get("text/markdown", "") for output in answer.outputs]
print("\n".join(["", *texts]).replace("**", ""), f"\nThe report: {summary / 'report.html'}")
print("Next: open it in a browser; listen in notebook 6 (make lab); or try another profile of docs/scale.md.")
