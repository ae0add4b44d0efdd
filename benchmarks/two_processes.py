"""Whether a run on two processes trains as on one: both loss curves, and results/reference/two_processes.json.

In float64 and in float32, each beside one process, half of whose weights are first changed in the last place,
since rounding grows in any training: kinks, and Adam's first steps, see to that.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import torch

from benchmarks.reference import TARGET
from jointlib.config import Config, load_config
from jointlib.corpora.batches import Data, load_data
from jointlib.fast.cpu import fast_cpu
from jointlib.runs.folder import environment
from jointlib.runs.run import build_network
from jointlib.support.checkpoint import Checkpoint
from jointlib.support.files import write_json
from jointlib.support.ranks import is_first, together
from jointlib.train import Batch, train

STRATEGIES, TYPES = ("jt", "bn", "bn_mix", "protected"), (torch.float64, torch.float32)
# 62 utterances in batches of 9: the processes have 5 and 4, and of the last one of a pass 4 each
SETTINGS = {"init": "scratch", "steps": 40, "validate_every": 5, "patience": 40, "batch_size": 9, "device": "cpu"}
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node")


@dataclass
class Typed:
    """Data as numbers of another type."""

    data: Data
    dtype: torch.dtype

    def _typed(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        for batch in batches:
            yield batch._replace(noisy=batch.noisy.to(self.dtype), clean=batch.clean.to(self.dtype))

    def train_batches(self, first: int) -> Iterator[Batch]:
        return self._typed(self.data.train_batches(first))

    def batches(self, split: str) -> Iterator[Batch]:
        return self._typed(self.data.batches(split))


def curve(config: Config, dtype: torch.dtype, changed: bool) -> list[dict[str, float]]:
    """The history of a training of the profile's network, whose weights may first be changed by what is rounded off."""
    data = load_data(config)
    torch.manual_seed(config.seed)
    model = fast_cpu(build_network(config, len(data.corpus.intents))).to(dtype)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1 + changed * torch.finfo(dtype).eps * torch.rand_like(parameter).round())
    with tempfile.TemporaryDirectory() as folder:
        _, history = train(model, Typed(data, dtype), config, Checkpoint(Path(folder, "checkpoint")), config.strategy)
    return history


def curves(file: Path, changed: bool) -> None:
    """Write those of all strategies in both types."""
    torch.set_num_threads(1)
    found = {}
    with together():
        for strategy, dtype in product(STRATEGIES, TYPES):
            config = load_config("smoke", strategy=strategy, **SETTINGS)
            found[f"{strategy}, {str(dtype).removeprefix('torch.')}"] = curve(config, dtype, changed)
        if is_first():
            write_json(file, found)


def difference(one: list[dict[str, float]], other: list[dict[str, float]]) -> float:
    """The largest relative difference of a loss or one of its terms, in training or validation, in the whole curve."""
    losses = [name for name in one[0] if name.startswith(("train_", "valid_"))]
    losses = [name for name in losses if not name.endswith(("accuracy", "gradient_norm", "clipped"))]
    pairs = [(row[name], there[name]) for row, there in zip(one, other, strict=True) for name in losses]
    return float(f"{max(abs(there - here) / abs(here) for here, there in pairs):.2g}")


def main() -> None:
    """Train on one process, on two, and on one with changed weights; compare; write."""
    ways = {"one": [], "two": [*TORCHRUN, "2"], "changed": []}
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for way, launcher in ways.items():
            file = Path(folder, way)
            subprocess.run([sys.executable, *launcher, "-m", "benchmarks.two_processes", str(file)], check=True)
            found[way] = json.loads(file.read_text())
    table = {
        name: {
            "two_processes": difference(one, found["two"][name]),
            "one_process_weights_rounded_otherwise": difference(one, found["changed"][name]),
            "loss_at_first_and_at_last": [round(one[place]["valid_loss"], 4) for place in (0, -1)],
        }
        for name, one in found["one"].items()
    }
    written = {"profile": "smoke", "settings": SETTINGS, "largest_relative_difference_of_the_loss_curve": table}
    written |= environment(load_config("smoke"))
    write_json(TARGET / "two_processes.json", written)
    print(json.dumps(table, indent=2))


if __name__ == "__main__":
    curves(Path(sys.argv[1]), sys.argv[1].endswith("changed")) if len(sys.argv) > 1 else main()
