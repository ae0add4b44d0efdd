"""How long a training step takes, with the library's networks and with the plain ones. Prints JSON.

    python -m benchmarks.step [--threads 1] [--steps 8]

Published sizes and clips of 4 s; and the profile quick. A step is forward, loss, backward and the optimiser. Each
network has a process of its own, for its peak of memory; they take their steps in turn, so that whatever else keeps the
machine busy meets all. All keep freed memory (see `jointlib.train.keep_freed_memory`), with as many threads.
"""

import argparse
import json
import resource
import statistics
import time
from collections.abc import Collection
from multiprocessing import get_context
from multiprocessing.connection import Connection

import torch

from benchmarks.plain_models import PlainJoint
from jointlib.config import Config, identity
from jointlib.corpora.batches import Batch
from jointlib.config import load_config
from jointlib.runs.run import build_network
from jointlib.train import build_optimizer, train_step
from jointlib.strategies import JointOutput
from jointlib.fast_cpu.memory import keep_freed_memory

BATCHES = {"jt": 1, "bn": 4, "bn_mix": 4}
CLASSES = 31
# What they change in a configuration. The plain network is none of the library's.
KINDS = {"plain": {}, "library": {}, "bf16": {"bf16": True}, "checkpointing": {"checkpointing": True}}


class _Plain(PlainJoint):
    """With an output that the training step takes, and its weights where an optimiser finds them."""

    def forward(self, wave: torch.Tensor) -> JointOutput:
        return JointOutput(*super().forward(wave))

    def parameters(self, recurse: bool = True):
        return (weight for weight in self.weights.values() if weight.requires_grad)


def _serve(orders: Connection, config: Config, batch_size: int, threads: int, plain: bool) -> None:
    """Take a step for each order, and answer with its seconds of wall time and of CPU, and the peak of memory in GB."""
    keep_freed_memory()
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model = build_network(identity(config), CLASSES).train()
    model.backend.checkpointing = config.checkpointing
    model = _Plain(model) if plain else model
    optimizer = build_optimizer(model, config)
    noisy, clean = (0.1 * torch.randn(batch_size, 1, config.clip_samples) for _ in range(2))
    lengths = torch.full((batch_size,), config.clip_samples)
    batch = Batch(noisy, clean, torch.arange(batch_size) % CLASSES, lengths, torch.arange(batch_size))
    while orders.recv():
        started = time.perf_counter(), time.process_time()
        train_step(model, batch, optimizer, config)
        seconds = time.perf_counter() - started[0], time.process_time() - started[1]
        orders.send((*seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6))


def compare(config: Config, batch_size: int, threads: int, steps: int, kinds: Collection[str]) -> dict[str, float]:
    """Of each of some `KINDS`: seconds per utterance (wall time and CPU, the best of all steps but the first; and the
    first), the peak of memory in GB, and the plain network's time over its own, if that takes part: the median over
    the steps, each beside the plain network's."""
    context, pipes, answers = get_context("spawn"), {}, {kind: [] for kind in kinds}
    for kind in kinds:
        pipes[kind], theirs = context.Pipe()
        task = (theirs, config.replace(**KINDS[kind]), batch_size, threads, kind == "plain")
        context.Process(target=_serve, args=task, daemon=True).start()
        theirs.close()  # so that a process that ends early is not waited for
    for _ in range(steps + 1):
        for kind in kinds:
            pipes[kind].send(True)
            answers[kind].append(pipes[kind].recv())
    for pipe in pipes.values():
        pipe.send(False)
    result: dict[str, float] = {"batch": batch_size, "clip_s": config.clip_seconds, "threads": threads}
    for kind, rows in answers.items():
        wall, cpu = (min(row[part] for row in rows[1:]) for part in (0, 1))
        result[f"{kind}_s"], result[f"{kind}_cpu_s"] = round(wall / batch_size, 4), round(cpu / batch_size, 4)
        result[f"{kind}_first_s"] = round(rows[0][0] / batch_size, 4)
        result[f"{kind}_gb"] = round(rows[-1][2], 2)
        if "plain" in kinds and kind != "plain":
            ratios = [plain[0] / row[0] for plain, row in zip(answers["plain"][1:], rows[1:], strict=True)]
            result[f"{kind}_ratio"] = round(statistics.median(ratios), 2)
    return result


def measure(threads: int = 1, steps: int = 8) -> dict:
    """All of it: {"published": {strategy: numbers}, "quick": {strategy: numbers}, ...}; seconds are per utterance."""
    published, precisions = Config(profile="full", device="cpu"), ("plain", "library", "bf16")
    return {
        "published": {
            name: compare(published.replace(strategy=name), size, threads, steps, KINDS if name == "jt" else precisions)
            for name, size in BATCHES.items()
        },
        "published, twice the threads": {
            name: compare(published.replace(strategy=name), BATCHES[name], 2 * threads, steps, precisions)
            for name in ("jt", "bn")
        },
        # Its classifier has a filterbank in front, which the plain networks lack: JT is the library's alone.
        "quick": {
            name: compare(
                load_config("quick", strategy=name),
                8,
                threads,
                2 * steps,
                precisions if name != "jt" else precisions[1:],
            )
            for name in BATCHES
        },
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=8, help="measured steps of each network, after a first")
    print(json.dumps(measure(**vars(parser.parse_args())), indent=2))
