"""What a profile's runs come to, on one page."""

from pathlib import Path

import pandas as pd
from jinja2 import Environment
from markupsafe import Markup

from jointlib.config import Config
from jointlib.runs.scores import read_scores, remarks
from jointlib.runs.tables import TABLES, differences, overview, paper_table
from jointlib.support.files import write_atomically


def write_report(config: Config) -> Path:
    """Write report.html: tables, figures and links to the executed notebooks of a profile. Returns its path."""
    folder, scores = config.summary, read_scores(config)
    tables = {f"Table {number}. {table.caption}": paper_table(scores, number) for number, table in TABLES.items()}
    tables |= {"All runs": overview(scores)}
    if len(found := remarks(scores)):
        tables |= {"† Classifiers that have learnt nothing": found.to_frame()}
    tables |= {"What differs from the paper": differences(config)}
    template = Environment(autoescape=True, trim_blocks=True).from_string(
        Path(__file__).with_name("report.html").read_text(encoding="utf-8")
    )
    with pd.option_context("display.max_colwidth", None):
        page = template.render(
            title=f"Results of profile {config.profile}",
            tables={caption: Markup(table.to_html(border=0)) for caption, table in tables.items()},
            figures=sorted(file.stem for file in folder.glob("figures/*.png")),
            notebooks=sorted(file.stem for file in folder.glob("notebooks/*.html")),
        )
    write_atomically(folder / "report.html", page.encode())
    return folder / "report.html"
