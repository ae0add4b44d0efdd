"""``python -m benchmarks.reference grid``: record a profile's results in results/reference and in docs/results.md."""

import json
import re
import shutil
import sys
from pathlib import Path

import pandas as pd

from jointlib.config import ROOT, Config, load_config
from jointlib.runs.folder import list_runs
from jointlib.runs.tables import write_tables
from jointlib.support.files import write_atomically, write_csv

TARGET = ROOT / "results/reference"


def write_between(page: Path, name: str, text: str) -> None:
    """Replace what a Markdown file holds between ``<!-- NAME -->`` and ``<!-- end -->``; ValueError: there is none."""
    found = rf"<!-- {re.escape(name)} -->.*?<!-- end -->"
    shown = f"<!-- {name} -->\n\n{text.strip()}\n\n<!-- end -->"
    written, places = re.subn(found, lambda _match: shown, page.read_text(), flags=re.S)
    if not places:
        raise ValueError(f"{page}: there is no <!-- {name} --> ... <!-- end --> to write between")
    write_atomically(page, written.encode())


def write_reference(config: Config, target: Path, page: Path) -> None:
    """Record a profile's tables, figures and runs.csv in `target`, and the tables in a page of words."""
    write_tables(config, target)
    for figure in (config.summary / "figures").glob("*.png"):
        shutil.copy(figure, target)
    rows = []
    for run in list_runs(config.folder).query("variant == @config.variant").to_dict("records"):
        record = json.loads((run.pop("folder") / "record.json").read_text())
        kept = ("seconds_since_last_start", "commit", "device", "threads", "platform", "python")
        rows.append(run | {name: record[name] for name in kept} | {"torch": record["versions"]["torch"]})
    write_csv(target / "runs.csv", pd.DataFrame(rows))
    for name in ("tables.md", "overview.md"):
        write_between(page, name, (target / name).read_text())


if __name__ == "__main__":
    write_reference(load_config(sys.argv[1]), TARGET, ROOT / "docs/results.md")
