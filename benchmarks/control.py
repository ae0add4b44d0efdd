"""``python -m benchmarks.control``: does joint training help Protected JT, or only that both its parts train longer?

Its control has the same parts, trained one after the other: the mask, frozen, and behind it a classifier of clean
speech that goes on with what the mask makes of noise, with as many passes in all, and with twice as many (STEPS).
Writes control.csv, a row a run, and control.md into results/reference/remedies, from runs of ``jointlib train
--profile remedies`` with ``--strategy protected`` and with ``cascade_mask_enhanced``, also with ``--set steps=3720``.
What else was trained to tell two causes apart is in control.csv only: JT with ``--set init=scratch`` (is it the loss or
the start?), ``jt_spectral`` with ``--set frontend_channels=8`` (the mask or its size?), and ``cascade_enhanced`` with
``--set steps=3720`` (joining or the passes?).
"""

import pandas as pd

from benchmarks.reference import PAGE, TARGET, fill, recorded
from jointlib.config import load_config
from jointlib.runs.comparisons import BEST, difference, shown
from jointlib.runs.folder import list_runs
from jointlib.runs.intervals import cells
from jointlib.runs.measures import MEASURES
from jointlib.runs.scores import read_run
from jointlib.support.files import write_atomically, write_csv

CONTROL, STEPS = "cascade_mask_enhanced", 3720
METRICS = ("correct", "pesq_wb_enhanced")


def row(scores: pd.DataFrame, strategy: str) -> dict[str, str]:
    """A strategy's means with intervals, and how far Protected JT is above it on the same utterances and seeds."""
    own = scores[scores.strategy == strategy]
    cost = own[["passes", "core_seconds"]].mean()
    told = {"passes": f"{cost.passes:g}", "core-minutes": f"{cost.core_seconds / 60:.1f}"}
    for metric in METRICS:
        label, form = MEASURES[metric].head, MEASURES[metric].form
        mean = cells(own, metric).iloc[0]
        told[label] = f"{mean.value:{form}} [{mean.low:{form}}, {mean.high:{form}}]"
        found = difference(scores, metric, (BEST, None), (strategy, None))
        told[f"Protected JT above it, {label}"] = "" if strategy == BEST else shown(found, metric)
    return told


def main() -> None:
    """Read, compare, record, and show the table in docs/results.md."""
    runs = list_runs(load_config("remedies").folder)
    longer = f"steps={STEPS}"
    rows = {
        "Protected JT": (BEST, ""),
        "one after the other": (CONTROL, ""),
        "the same, twice as long": (CONTROL, longer),
    }
    chosen = {name: runs.query("strategy == @cell[0] and variant == @cell[1]") for name, cell in rows.items()}
    scores = {name: pd.concat(map(read_run, some.folder)) for name, some in chosen.items()}
    best = scores["Protected JT"]
    table = {name: row(own if own is best else pd.concat([own, best]), rows[name][0]) for name, own in scores.items()}
    target = TARGET / "remedies"
    tried = runs.query("variant in ['init=scratch', 'frontend_channels=8'] or strategy == 'cascade_enhanced'")
    write_csv(target / "control.csv", recorded(pd.concat([*chosen.values(), tried])))
    page = pd.DataFrame.from_dict(table, orient="index").rename_axis("trained").reset_index()
    write_atomically(target / "control.md", f"{page.to_markdown(index=False)}\n".encode())
    fill(PAGE)


if __name__ == "__main__":
    main()
