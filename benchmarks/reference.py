"""``python -m benchmarks.reference PROFILE [NAME=VALUE ...]``: record a profile, or a variant, in results/reference.

results/reference is a results folder whose runs have scores but no weights, except for the shipped models of quick.
Runs of results/PROFILE, if there are any, are copied where the record lacks them; then notebooks 4 and 7 write
tables and the trade-off figure from the record. So runs add up over time and machines, and a clone is enough to rebuild
everything.
"""

import shutil
import sys

import pandas as pd
import papermill

from benchmarks.pages import TARGET, fill_all
from jointlib.config import CHECKOUT, Config, load_config
from jointlib.findings.card import write_card
from jointlib.findings.scores import compared_runs
from jointlib.runs.folder import FILES, SCORES, SHIPPED
from jointlib.support.files import read_json

SAME_BYTES = {"method": "infer", "mtime": 1}
NOTEBOOKS = ("04_tables", "07_beyond_the_paper")


def recorded(runs: pd.DataFrame) -> pd.DataFrame:
    """Runs of `list_runs`, with commit, machine and versions for their folders."""
    rows = []
    for run in runs.to_dict("records"):
        record = read_json(run.pop("folder") / "record.json")
        kept = ("seconds_since_last_start", "commit", "device", "threads", "platform", "python")
        rows.append(run | {name: record[name] for name in kept} | {"torch": record["versions"]["torch"]})
    return pd.DataFrame(rows)


def copy_runs(config: Config) -> None:
    """Copy the scores of a profile's runs that the record lacks, with six digits; utterances are zipped."""
    for run in compared_runs(config).itertuples():
        target = TARGET / config.profile / "runs" / run.folder.name
        shipped = target.parent == SHIPPED and run.strategy in config.strategies
        if not target.exists():
            target.mkdir(parents=True)
            for name in FILES if shipped else SCORES:
                if name.endswith(".csv"):
                    table = pd.read_csv(run.folder / name, dtype={"speaker": str}, keep_default_na=False)
                    ending = ".gz" if name == "per_utterance.csv" and not shipped else ""
                    table.to_csv(
                        target / f"{name}{ending}",
                        index=False,
                        float_format="%.6g",
                        lineterminator="\n",
                        compression=SAME_BYTES,
                    )
                else:
                    shutil.copyfile(run.folder / name, target / name)
            if shipped:
                write_card(target)


def write_tables(profile: str) -> None:
    """Have the notebooks write a recorded profile's tables and figures."""
    for name in NOTEBOOKS:
        parameters = {"PROFILE": profile, "RESULTS": str(TARGET)}
        papermill.execute_notebook(CHECKOUT / f"notebooks/{name}.ipynb", None, parameters, kernel_name="python3")


if __name__ == "__main__":
    name, *changes = sys.argv[1:]
    config = load_config(name, **dict(change.split("=") for change in changes))
    if (config.folder / "runs").is_dir():  # a clone has the record alone
        copy_runs(config)
    write_tables(name)
    fill_all()
