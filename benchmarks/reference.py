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
from jointlib.findings.comparisons import BEST, NOISY, Cell, compare_cells, difference, shown
from jointlib.findings.scores import read_passages, read_scores
from jointlib.runs.folder import list_runs, title
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


def pairs_of_interest(scores: pd.DataFrame) -> list[tuple[str, Cell, Cell]]:
    """The rows of comparisons.csv: `BEST` with every other cell that is tested on noisy speech, in accuracy and three
    measures of quality; and the joint strategies with a classifier trained on noisy speech and with a cascade."""
    rows = scores[["strategy", "alpha"]].drop_duplicates().itertuples(index=False, name=None)
    cells: list[Cell] = [cell for cell in rows if STRATEGIES[cell[0]].test_input == "noisy"]
    others = [cell for cell in cells if cell[0] != BEST]
    pairs = [("correct", (BEST, None), other) for other in others]
    for metric in ("pesq_wb_enhanced", "stoi_enhanced", "si_sdr_enhanced"):
        pairs += [(metric, (BEST, None), other) for other in [NOISY, *others]]
    rivals = [("classifier_noisy", None), ("cascade_enhanced", None)]
    joint = [cell for cell in cells if STRATEGIES[cell[0]].alpha is None]
    return pairs + [("correct", cell, rival) for cell in joint for rival in rivals]


def write_reference(config: Config, target: Path) -> None:
    """Record a profile's tables and figures, made by notebooks 4, 5 and 7, and what its runs were made with."""
    target.mkdir(parents=True, exist_ok=True)
    figures = (config.summary / "figures").glob("*.png" if target == TARGET else "trade_off.png")
    for file in [*(config.summary / "tables").glob("*.*"), *figures]:
        shutil.copy(file, target)
    write_csv(target / "runs.csv", recorded(list_runs(config.folder).query("variant == @config.variant")))
    scores = read_scores(config)
    write_csv(target / "comparisons.csv", compare_cells(scores, pairs_of_interest(scores)))
    table = joining(scores, read_passages(config))
    write_atomically(target / "joining.md", (table.to_markdown(index=False) + "\n").encode())
    for file in target.glob("*.md"):
        if file.relative_to(TARGET).as_posix() not in wanted(PAGE):
            file.unlink()  # the record is what is shown


if __name__ == "__main__":
    chosen = load_config(sys.argv[1])
    write_reference(chosen, TARGET if chosen.profile == MAIN else TARGET / chosen.profile)
    fill(PAGE)
