"""What docs/trust.md counts: kills survived, bad inputs handled, properties searched.

``python -m benchmarks.trust`` writes results/reference/trust.json; a quarter of an hour on two cores. Killing less
(``--training 5 --pipeline 0``) prints instead.
"""

import argparse
import json
import re
import subprocess
import sys

import pandas as pd

from benchmarks.kills import kill_pipeline, kill_training
from benchmarks.reference import TARGET, write_between
from jointlib.config import CHECKOUT, load_config
from jointlib.runs.folder import environment
from jointlib.support.files import write_json

BAD_INPUTS = ("bad_corpora", "bad_inputs", "folders", "truth_of_audio")
PROPERTIES = ("properties", "properties_of_corpora")


def passed(*arguments: str) -> tuple[int, str]:
    """How many tests of a file pass, and what pytest printed.

    Raises:
        RuntimeError: one fails or is left out.
    """
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    printed = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False).stdout
    if (count := re.search(r"^(\d+) passed in", printed, re.M)) is None:
        raise RuntimeError(printed[-3000:])
    return int(count[1]), printed


def count(training: int, pipeline: int) -> dict[str, object]:
    """Everything, in one run."""
    bad_inputs, _ = passed(*map("tests/trust/test_{}.py".format, BAD_INPUTS))
    _, statistics = passed(*map("tests/trust/test_{}.py".format, PROPERTIES), "--hypothesis-show-statistics")
    examples = [int(number) for number in re.findall(r"(\d+) passing, \d+ failing", statistics)]
    config = load_config("smoke", strategy="jt", init="pretrained", steps=24, device="cpu")
    return {
        "commit": environment(config)["commit"],
        "bad_inputs": bad_inputs,
        "properties": len(examples),
        "examples": sum(examples),
        "training": kill_training(config, training),
        "pipeline": kill_pipeline(pipeline) if pipeline else None,
    }


def table(counted: dict) -> str:
    """The counts as docs/trust.md shows them."""
    training, pipeline = counted["training"], counted["pipeline"]
    rows = {
        "SIGKILL during training": f"{training['kills']}, in 7 phases; {training['finished']} runs came to their end, "
        f"{len(training['different'])} files differ from a run left alone",
        "SIGKILL of the pipeline": f"{pipeline['kills']}, with its processes or leaving them as orphans; "
        f"{pipeline['finished']} came to their end, {len(pipeline['different'])} files differ",
        "bad corpora, sounds, parameters and folders, each handled as its test says": str(counted["bad_inputs"]),
        "properties searched for counterexamples": f"{counted['properties']}, with {counted['examples']:,} examples",
    }
    return pd.Series(rows, name="tried").rename_axis("what").reset_index().to_markdown(index=False)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.trust", description=__doc__)
    parser.add_argument("--training", type=int, default=50, help="how many times training is killed")
    parser.add_argument("--pipeline", type=int, default=10, help="how many times the pipeline is killed")
    given = parser.parse_args()
    counted = count(given.training, given.pipeline)
    print(json.dumps(counted, indent=2))
    if given.training >= 50 and given.pipeline >= 10:
        write_json(TARGET / "trust.json", counted)
        write_between(CHECKOUT / "docs/trust.md", "trust", table(counted))
