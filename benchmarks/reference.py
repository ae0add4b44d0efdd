"""``python -m benchmarks.reference beyond``: record a profile's results in results/reference, shown in docs/results.md.

The profile must have been run, notebooks too (make reproduce PROFILE=beyond). beyond is the main record; every other
profile has a folder of its own below it.
"""

import json
import re
import shutil
import sys
from pathlib import Path

import pandas as pd

from jointlib.config import CHECKOUT, Config, load_config
from jointlib.corpora.batches import load_data
from jointlib.runs.comparisons import difference, shown
from jointlib.runs.folder import list_runs, title
from jointlib.runs.scores import read_passages, read_scores
from jointlib.runs.tables import generalisation, write_tables
from jointlib.runs.words import NOISY
from jointlib.strategies import STRATEGIES, Classifier
from jointlib.support.files import write_atomically, write_csv

TARGET = CHECKOUT / "results/reference"
PAGE = CHECKOUT / "docs/results.md"
MAIN = "beyond"


def write_between(page: Path, name: str, text: str) -> None:
    """Replace what a Markdown file holds between ``<!-- NAME -->`` and ``<!-- end -->``; ValueError: there is none."""
    found = rf"<!-- {re.escape(name)} -->.*?<!-- end -->"
    shown = f"<!-- {name} -->\n\n{text.strip()}\n\n<!-- end -->"
    written, places = re.subn(found, lambda _match: shown, page.read_text(), flags=re.S)
    if not places:
        raise ValueError(f"{page}: there is no <!-- {name} --> ... <!-- end --> to write between")
    write_atomically(page, written.encode())


def fill(page: Path) -> None:
    """Show in a page every file of the record that it asks for: ``<!-- overview.md -->`` ... ``<!-- end -->``."""
    for name in wanted(page):
        write_between(page, name, (TARGET / name).read_text())


def wanted(page: Path) -> list[str]:
    """The files of the record that a page shows."""
    return re.findall(r"<!-- (\S+\.md) -->", page.read_text())


def recorded(runs: pd.DataFrame) -> pd.DataFrame:
    """Runs of `list_runs`, with commit, machine and versions for their folders."""
    rows = []
    for run in runs.to_dict("records"):
        record = json.loads((run.pop("folder") / "record.json").read_text())
        kept = ("seconds_since_last_start", "commit", "device", "threads", "platform", "python")
        rows.append(run | {name: record[name] for name in kept} | {"torch": record["versions"]["torch"]})
    return pd.DataFrame(rows)


def joining(scores: pd.DataFrame, passages: pd.DataFrame) -> pd.DataFrame:
    """What joining buys and costs: every row of the paper that enhances against the noisy input, against enhancement
    alone, and against a classifier that was trained on noisy speech, on the same utterances (or passages) and seeds."""
    longer = passages.assign(path=passages.groupby(["strategy", "alpha", "seed"]).cumcount())
    rivals = {
        "PESQ, over the noisy input": (scores, "pesq_wb_enhanced", NOISY),
        "PESQ of 8 s, over the noisy input": (longer, "pesq_wb_enhanced", NOISY),
        "SI-SDR, over the noisy input": (scores, "si_sdr_enhanced", NOISY),
        "PESQ, over enhancement alone": (scores, "pesq_wb_enhanced", ("enhancement", None)),
        "accuracy, over a classifier of noisy speech": (scores, "correct", ("classifier_noisy", None)),
    }
    rows = {}
    for cell in scores[["strategy", "alpha"]].drop_duplicates().itertuples(index=False, name=None):
        row = STRATEGIES[cell[0]]
        if row.published and row.test_input == "noisy" and row.network is not Classifier:
            others = {head: about for head, about in rivals.items() if about[2][0] != cell[0]}
            found = {head: difference(table, metric, cell, rival) for head, (table, metric, rival) in others.items()}
            told = {head: shown(about, rivals[head][1]) for head, about in found.items() if about}
            rows[title(*cell)] = {head: told.get(head, "–") for head in rivals}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("strategy").reset_index()


def write_reference(config: Config, target: Path) -> None:
    """Record a profile's tables, figures and runs.csv, and how its runs do on what training has not met."""
    write_tables(config, target)
    for figure in (config.summary / "figures").glob("*.png" if target == TARGET else "trade_off.png"):
        shutil.copy(figure, target)
    write_csv(target / "runs.csv", recorded(list_runs(config.folder).query("variant == @config.variant")))
    scores, data = read_scores(config), load_data(config)
    unmet = {"unmet_accuracy": "correct", "unmet_pesq": "pesq_wb_enhanced"}
    tables = {name: generalisation(scores, data, metric).reset_index() for name, metric in unmet.items()}
    if (gradients := config.summary / "tables/gradients.csv").exists():
        tables["gradients"] = pd.read_csv(gradients).round(2)
    for name, table in (tables | {"joining": joining(scores, read_passages(config))}).items():
        if len(table):
            write_atomically(target / f"{name}.md", (table.to_markdown(index=False) + "\n").encode())
    for file in target.glob("*.md"):
        if file.relative_to(TARGET).as_posix() not in wanted(PAGE):
            file.unlink()  # the record is what is shown


if __name__ == "__main__":
    chosen = load_config(sys.argv[1])
    write_reference(chosen, TARGET if chosen.profile == MAIN else TARGET / chosen.profile)
    fill(PAGE)
