"""``python -m benchmarks.plan``: hours, storage and money of grids that have not been run, into docs/scale.md.

From the record alone (benchmarks.json): core-seconds an utterance and step, at the published sizes and in bfloat16,
times the steps of every training, as the grid shares them. A classifier counts as JT less BN, enhancement as BN, a
classifier behind a frozen front-end as JT. No training is taken to end early.
"""

import json
from typing import Any

import pandas as pd
import torch

from benchmarks.reference import TARGET, write_between
from jointlib import SAMPLE_RATE
from jointlib.config import CHECKOUT, Config, grid, load_config
from jointlib.runs.run import build_network
from jointlib.strategies import STRATEGIES, Classifier, Enhancer

CORE_HOUR, GB_MONTH = 0.04, 0.02  # dollars, a stated assumption and nobody's offer
SPEECH_SECONDS = 2.3  # of an utterance of Fluent Speech Commands, as benchmarks.second_start has it
ROW = 470  # bytes of per_utterance.csv for a test utterance
SEEDS = (0, 1, 2, 3, 4)


def trainings(base: Config) -> list[Config]:
    """Every training of a profile's grid once, what others start from included."""
    return [cell for cell in grid(base).values() if set(STRATEGIES[cell.strategy].frozen) != {"frontend", "backend"}]


def rate(strategy: str, step: dict[str, dict[str, float]], kind: str) -> float:
    """Core-seconds an utterance of one step, of what was measured: JT, BN and BN-Mix."""
    network = STRATEGIES[strategy].network
    if strategy in step:
        return step[strategy][kind]
    if network is Classifier:
        return step["jt"][kind] - step["bn"][kind]
    return step["bn" if network is Enhancer else "jt"][kind]


def core_hours(base: Config, step: dict[str, dict[str, float]], kind: str) -> float:
    """Of all trainings of a grid."""
    return sum(cell.own_steps * cell.batch_size * rate(cell.strategy, step, kind) for cell in trainings(base)) / 3600


def speech_gb(base: Config, times: int) -> float:
    """A corpus that many times Fluent Speech Commands, and its copy in the cache, 16 bits a sample."""
    return 2 * sum(base.embedded.utterances.values()) * times * SPEECH_SECONDS * SAMPLE_RATE * 2 / 1e9


def run_gb(base: Config, times: int) -> float:
    """A finished run's weights and scores, on average."""
    with torch.device("meta"):
        weights = [sum(weight.numel() for weight in build_network(cell, 31).parameters()) for cell in trainings(base)]
    return (4 * sum(weights) / len(weights) + ROW * base.embedded.utterances["test"] * times) / 1e9


def memory_gb(base: Config, times: int, growth: list[dict[str, float]]) -> float:
    """Of one process, which holds all speech: as the record grew, by utterances of a second."""
    first, last = growth[0], growth[-1]
    per_second = (last["peak_mb"] - first["peak_mb"]) / (last["utterances"] - first["utterances"])
    return sum(base.embedded.utterances.values()) * times * SPEECH_SECONDS * per_second / 1000


def plan(measured: dict[str, Any]) -> pd.DataFrame:
    """The published grid, the same on a corpus 100 times larger with as many passes, and 1,000 runs of its mixture."""
    base = load_config("full", seeds=SEEDS)
    made, hours = len(trainings(base)), core_hours(base, measured["step"]["published"], "bf16_s")
    rows = {
        f"the paper's grid, {len(SEEDS)} seeds": (made, hours, 1),
        "a corpus 100 times larger, as many passes": (made, 100 * hours, 100),
        "1,000 trainings": (1000, 1000 * hours / made, 1),
    }
    table = []
    for name, (number, spent, times) in rows.items():
        stored = speech_gb(base, times) + number * run_gb(base, times)
        memory = memory_gb(base, times, measured["growth"]["corpus"])
        money = spent * CORE_HOUR + stored * GB_MONTH
        table.append((name, number, f"{spent:,.0f}", f"{stored:,.1f}", f"{memory:,.1f}", f"{money:,.0f}"))
    return pd.DataFrame(table, columns=["what", "trainings", "core-hours", "GB stored", "GB of speech a process", "$"])


def check(measured: dict[str, Any]) -> str:
    """The plan's rule on a grid that has been run: every BN and BN-Mix of `grid`, none of which starts from another."""
    base = load_config("grid", strategies=["bn", "bn_mix"])
    planned = 60 * core_hours(base, measured["step"]["quick"], "fast_s")
    runs = pd.read_csv(TARGET / "grid/runs.csv").query("strategy in ['bn', 'bn_mix']")
    spent = runs.core_seconds.sum() / 60
    more = f"{spent / planned - 1:+.0%}: validation, checkpoints and a shared machine are not in the plan"
    return (
        f"Checked on the {len(runs)} cells of `grid` with BN and BN-Mix: planned {planned:.0f} core-minutes, "
        f"recorded {spent:.0f} ({more})."
    )


if __name__ == "__main__":
    record = json.loads((TARGET / "benchmarks.json").read_text())
    text = f"{plan(record).to_markdown(index=False, disable_numparse=True)}\n\n{check(record)}"
    write_between(CHECKOUT / "docs/scale.md", "plan", text)
