"""What a profile's runs come to, on one page: the answer, the runs themselves, and the walk through the notebooks."""

import base64
import io
import re
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from jointlib.config import Config, load_config
from jointlib.runs import figures, words
from jointlib.runs.card import origin, write_card
from jointlib.runs.comparisons import dominance, one_change_at_a_time, verdicts
from jointlib.runs.examples import page_data
from jointlib.runs.explorer import table_and_plot
from jointlib.runs.folder import list_runs
from jointlib.runs.pages import in_html
from jointlib.runs.scores import compared_runs, read_run, remarks
from jointlib.runs.tables import TABLES, changes, differences, overview, paper_table
from jointlib.strategies import STRATEGIES
from jointlib.support.command import command, command_line
from jointlib.support.files import read_json, write_atomically

_BROWSER = Path(__file__).with_name("browser")
_TEMPLATES = Environment(
    loader=FileSystemLoader(_BROWSER), autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined
)


def write_report(config: Config) -> Path:
    """Write report.html of a profile, and anew the card.md of each of its runs. Returns the page.

    Raises what `scores.compared_runs`, `scores.read_run` and `examples.page_data` raise.
    """
    runs = _in_order(compared_runs(config))
    each = {folder: read_run(folder) for folder in runs.folder}
    scores = pd.concat(each.values(), ignore_index=True)
    trained = _in_order(list_runs(config.folder)).folder  # also what only others start from
    for folder in trained:
        write_card(folder)
    figures.use_style()
    pages = {file.stem for file in (config.summary / "notebooks").glob("*.html")}
    page = _TEMPLATES.get_template("report.html").render(
        title=f"Results of profile {config.profile}" + (f", {config.variant}" if config.variant else ""),
        answers=answers(scores),
        facts=facts(config, runs),
        trade_off=_drawn(figures.trade_off(scores)),
        figures={file.stem for file in (config.summary / "figures").glob("*.png")},
        notebooks=pages,
        cells=[folder.name for folder in trained if folder.name in pages],
        tables={name: _table(table) for name, table in _tables(config, scores).items()},
        seen={name: in_html(text) for name, text in _sentences(scores).items()},
        explorer=table_and_plot(runs),
        data=page_data(config, runs, each),
        several=runs.seed.nunique() > 1,
        own_audio=not config.synthesises_noise,
        captions={number: table.caption for number, table in TABLES.items()},
    )
    write_atomically(config.summary / "report.html", page.encode())
    return config.summary / "report.html"


def answers(scores: pd.DataFrame) -> list[Markup]:
    """The answers that the scores give, a paragraph each; right where nothing is significant, too."""
    joint, unaided = ("jt", 0.5), ("classifier_noisy", None)
    best = words.best_of_all(scores, "correct", unaided)
    found = [
        words.verdict_count(verdicts(scores)),
        best,
        words.versus(scores, "correct", joint, unaided) if words.called(joint) not in best else "",
        words.best_of_all(scores, "pesq_wb_enhanced", words.NOISY),
        words.best_model(dominance(scores)),
    ]
    return [in_html(text) for text in found if text]


def facts(config: Config, runs: pd.DataFrame) -> dict[str, Markup]:
    """What the runs were made of and with: how many, seeds, corpus, machines and commits; and the date of the page."""
    records = [read_json(folder / "record.json", "commit", "device", "platform") for folder in runs.folder]
    commits, devices, platforms = (
        _several(record[name] or "unknown" for record in records) for name in ("commit", "device", "platform")
    )
    texts = {
        "Runs": f"{len(runs)}, of {len(runs[['strategy', 'alpha']].drop_duplicates())} cells",
        "Seeds": _several(map(str, runs.seed)),
        "Training": f"{config.steps:,} steps a run, {runs.core_seconds.sum() / 60:,.0f} core-minutes in all",
        "Corpus": origin(config),
        "Machine": f"{devices}; {platforms}",
        "Commit": commits,
        "Page written": date.today().isoformat(),
    }
    return {name: in_html(text) for name, text in texts.items()}


def _several(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(names))


def _in_order(runs: pd.DataFrame) -> pd.DataFrame:
    """Runs in the order of the table of strategies, then by alpha and seed."""
    places = runs.strategy.map(list(STRATEGIES).index)
    return runs.assign(place=places).sort_values(["place", "alpha", "seed"], ignore_index=True).drop(columns="place")


def _tables(config: Config, scores: pd.DataFrame) -> dict[str, pd.DataFrame]:
    tables = {"verdicts": verdicts(scores), "dominance": dominance(scores)}
    tables |= {"steps": changes(one_change_at_a_time(scores)), "overview": overview(scores).reset_index()}
    tables |= {"guessing": remarks(scores).rename_axis("run").reset_index(), "setup": differences(config).reset_index()}
    papers = {f"paper {number}": paper_table(scores, number).rename_axis("strategy") for number in TABLES}
    return tables | {name: table.reset_index() for name, table in papers.items()}


def _table(table: pd.DataFrame) -> Markup:
    """A table as HTML, each interval and each published value in one piece; empty without rows."""
    with pd.option_context("display.max_colwidth", None):
        shown = table.to_html(border=0, index=False) if len(table) else ""
    shown = re.sub(r"(\[[-+.\de, ]+\])", r'<span class="bounds">\1</span>', shown)
    shown = re.sub(r"(\([-.\de]+\))", r'<span class="whole">\1</span>', shown)
    return Markup(shown.replace("<td>not run", '<td class="pale">not run'))


def _sentences(scores: pd.DataFrame) -> dict[str, str]:
    """What the tables and figures show, in Markdown, by chapter."""
    noisy = scores.drop_duplicates("path")
    damage = noisy[["snr_db", "pesq_wb_noisy", "stoi_noisy"]].set_axis(["snr_db", "pesq_wb", "stoi"], axis=1)
    return {
        "noise": words.noise_damage(damage),
        "baselines": words.baselines(scores),
        "corner": words.corner(scores),
        "gains": words.gains_by_snr(scores, "si_sdr_enhanced"),
        "ladder": words.ladder(scores),
        **{f"paper {number}": words.best_cell(scores, number) for number in TABLES},
    }


def _drawn(figure: Figure) -> str:
    """A figure as the address of an image that holds it."""
    png = io.BytesIO()
    figure.savefig(png, format="png")
    plt.close(figure)
    return f"data:image/png;base64,{base64.b64encode(png.getvalue()).decode()}"


@command
def main(arguments: Sequence[str] | None = None) -> None:
    """``jointlib report``: write report.html of a profile, and print its path."""
    example = "example:\n  jointlib report --profile beyond"
    parser = command_line("report", "Gather a profile's finished runs on one page.", example)
    parser.add_argument("--profile", default="quick", help="a profile's name, or the path of a YAML file")
    print(write_report(load_config(parser.parse_args(arguments).profile)))
