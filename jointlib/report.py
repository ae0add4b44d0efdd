"""One index page for a profile: tables, figures and the executed notebooks."""

import argparse
import html
from pathlib import Path

import pandas as pd

from jointlib.config import Config, load_config
from jointlib.tables import TABLES, differences, overview, paper_table, read_scores

_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>body{{font:16px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}}
.wide{{overflow-x:auto}} table{{border-collapse:collapse;font-size:14px;margin:.5rem 0 1.5rem}}
td,th{{padding:.3rem .8rem;border-bottom:1px solid #ddd;text-align:left;vertical-align:top}}
img{{max-width:100%;height:auto}}</style><h1>{title}</h1>{body}</html>"""


def write_report(config: Config) -> Path:
    """Write report.html: tables, figures and links to the executed notebooks of a profile. Returns its path."""
    folder, scores = config.folder, read_scores(config.folder)
    parts = ["<p>Each cell: ours [95 % interval, bootstrap over speakers] (published).</p>"]
    for number in TABLES:
        parts += [f"<h2>Table {number}. {TABLES[number].caption}</h2>", _wide(paper_table(scores, number))]
    parts += ["<h2>All runs</h2>", _wide(overview(scores)), "<h2>What differs from the paper</h2>"]
    parts += [_wide(differences(config)), "<h2>Figures</h2>"]
    parts += [
        f'<h3>{file.stem.replace("_", " ").capitalize()}</h3><img src="figures/{file.name}" alt="{file.stem}">'
        for file in sorted(folder.glob("figures/*.png"))
    ]
    pages = sorted(folder.glob("notebooks/*.html"))
    links = "".join(
        f'<li><a href="notebooks/{html.escape(page.name)}">{html.escape(page.stem)}</a></li>' for page in pages
    )
    parts += [f"<h2>Executed notebooks</h2><ul>{links}</ul>"]
    report = folder / "report.html"
    report.write_text(_PAGE.format(title=f"Results of profile {html.escape(config.profile)}", body="\n".join(parts)))
    return report


def _wide(table: pd.DataFrame) -> str:
    return f'<div class="wide">{table.to_html(border=0)}</div>'


def main(arguments: list[str] | None = None) -> None:
    """``python -m jointlib.report PROFILE``: write the index page of a profile's results."""
    parser = argparse.ArgumentParser(prog="python -m jointlib.report", description=main.__doc__)
    parser.add_argument("profile")
    print(write_report(load_config(parser.parse_args(arguments).profile)))


if __name__ == "__main__":
    main()
