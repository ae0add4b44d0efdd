"""``report.py PARAMETERS NOTEBOOK ...``: the Snakefile's last rule. PARAMETERS are a notebook's, as JSON.

Writes each executed notebook that is there as a page, and then the report. (A shell rule: what `run:` starts passes the
profile's path through a shell, unquoted.)
"""

import json
import sys
from pathlib import Path

from jointlib.findings.pages import write_page
from jointlib.findings.report import write_report

_, parameters, *notebooks = sys.argv
for notebook in filter(Path.exists, map(Path, notebooks)):
    write_page(notebook)
write_report(json.loads(parameters))
