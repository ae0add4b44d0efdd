"""What a profile's runs come to: an index page, and the small record of them that is kept under version control."""

import html
import json
import shutil
import sys
from pathlib import Path

import pandas as pd

from jointlib.config import ROOT, Config, load_config
from jointlib.runs.folder import list_runs
from jointlib.runs.scores import read_scores, remarks
from jointlib.runs.tables import TABLES, differences, overview, paper_table, write_tables
from jointlib.support.files import write_atomically, write_between, write_csv

_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>body{{font:16px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}}
.wide{{overflow-x:auto}} table{{border-collapse:collapse;font-size:14px;margin:.5rem 0 1.5rem}}
td,th{{padding:.3rem .8rem;border-bottom:1px solid #ddd;text-align:left;vertical-align:top}}
img{{max-width:100%;height:auto}}</style><h1>{title}</h1>{body}</html>"""


def write_report(config: Config) -> Path:
    """Write report.html: tables, figures and links to the executed notebooks of a profile. Returns its path."""
    folder, scores = config.summary, read_scores(config.folder, config.variant)
    parts = ["<p>Each cell: ours [95 % interval, bootstrap over speakers] (published).</p>"]
    for number, table in TABLES.items():
        parts += [f"<h2>Table {number}. {table.caption}</h2>", _wide(paper_table(scores, number))]
    parts += ["<h2>All runs</h2>", _wide(overview(scores)), *_legend(scores), "<h2>What differs from the paper</h2>"]
    parts += [_wide(differences(config)), "<h2>Figures</h2>"]
    for file in sorted(folder.glob("figures/*.png")):
        parts += [f"<h3>{_words(file)}</h3>", f'<img src="figures/{file.name}" alt="{_words(file)}">']
    pages = [
        f'<li><a href="notebooks/{html.escape(page.name)}">{html.escape(page.stem)}</a></li>'
        for page in sorted(folder.glob("notebooks/*.html"))
    ]
    parts += ["<h2>Executed notebooks</h2><ul>", *pages, "</ul>"]
    report = folder / "report.html"
    page = _PAGE.format(title=f"Results of profile {html.escape(config.profile)}", body="\n".join(parts))
    write_atomically(report, page.encode())
    return report


def _legend(scores: pd.DataFrame) -> list[str]:
    found = remarks(scores)
    return ["<p>† a classifier that has learnt nothing:</p>", _wide(found.to_frame())] if len(found) else []


def _words(file: Path) -> str:
    return file.stem.replace("_", " ").capitalize()


def _wide(table: pd.DataFrame) -> str:
    with pd.option_context("display.max_colwidth", None):
        return f'<div class="wide">{table.to_html(border=0)}</div>'


def write_reference(config: Config, target: Path, page: Path) -> None:
    """Record a profile's results: tables, figures and runs.csv into `target`, and the tables into a page of words.

    The page holds each table between ``<!-- NAME -->`` and ``<!-- end -->``.
    """
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


if (
    __name__ == "__main__"
):  # python -m jointlib.runs.report grid: what results/reference and docs/results.md are made with
    write_reference(load_config(sys.argv[1]), ROOT / "results/reference", ROOT / "docs/results.md")
