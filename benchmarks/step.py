"""How long a training step takes, with the plain networks (torch.nn) and after `fast_cpu`. Prints JSON.

    python -m benchmarks.step [--threads 1] [--steps 8]

Published sizes and clips of 4 s; and the profile quick. A step is forward, loss, backward and the optimiser. Each
network has a process of its own, for its peak of memory; they take their steps in turn, so that other load on the
machine affects all. All keep freed memory (see `jointlib.fast.cpu`), with as many threads.
"""

import argparse
import json
import statistics
import time
from collections.abc import Collection
from multiprocessing import get_context
from multiprocessing.connection import Connection

import torch

from jointlib.config import Config, load_config
from jointlib.corpora.batches import Batch
from jointlib.fast.cpu import fast_cpu, keep_freed_memory
from jointlib.runs.run import build_network
from jointlib.train import build_optimizer, train_step

BATCHES = {"jt": 1, "bn": 4, "bn_mix": 4}
CLASSES = 31
# Their changes to a configuration. The plain networks are those of torch.nn, without the swap.
KINDS = {"plain": {}, "fast": {}, "bf16": {"bf16": True}}


def noise_batch(config: Config, size: int) -> Batch:
    """A batch of white noise on the configuration's device, as long as its clips."""
    noisy, clean = 0.1 * torch.randn(2, size, 1, config.clip_samples, device=config.torch_device)
    labels = torch.arange(size, device=noisy.device) % CLASSES
    return Batch(noisy, clean, labels, torch.full_like(labels, config.clip_samples), ("",) * size)


def _serve(orders: Connection, config: Config, batch_size: int, threads: int, plain: bool) -> None:
    """Take a step for each order, and answer with its wall and CPU time in seconds, and the peak of memory in GB."""
    import resource  # which Windows lacks

    keep_freed_memory()
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model = build_network(config, CLASSES).train()
    if not plain:
        fast_cpu(model)
    optimizer = build_optimizer(model, config)
    batch = noise_batch(config, batch_size)
    while orders.recv():
        started = time.perf_counter(), time.process_time()
        train_step(model, batch, optimizer, config)
        seconds = time.perf_counter() - started[0], time.process_time() - started[1]
        orders.send((*seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6))


def compare(config: Config, batch_size: int, threads: int, steps: int, kinds: Collection[str]) -> dict[str, float]:
    """Measure some `KINDS`, one step of each in turn.

    Returns:
        seconds per utterance (wall time and CPU, the best of all steps but the first; and the first), the peak of
        memory in GB, and how many times faster than the plain network it is: the median over the steps, pair by pair.
    """
    context, pipes, answers = get_context("spawn"), {}, {kind: [] for kind in kinds}
    for kind in kinds:
        pipes[kind], theirs = context.Pipe()
        task = (theirs, config.replace(**KINDS[kind]), batch_size, threads, kind == "plain")
        context.Process(target=_serve, args=task, daemon=True).start()
        theirs.close()  # so that recv fails, and does not wait, if the process ends early
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
        if kind != "plain":
            ratios = [plain[0] / row[0] for plain, row in zip(answers["plain"][1:], rows[1:], strict=True)]
            result[f"{kind}_ratio"] = round(statistics.median(ratios), 2)
    return result


def measure(threads: int = 1, steps: int = 8) -> dict:
    """All of it: {"published": {strategy: numbers}, "quick": {strategy: numbers}, ...}; seconds are per utterance."""
    published, quick = Config(profile="full", device="cpu"), load_config("quick", device="cpu")
    precisions = ("plain", "fast", "bf16")
    return {
        "published": {
            name: compare(published.replace(strategy=name), size, threads, steps, KINDS if name == "jt" else precisions)
            for name, size in BATCHES.items()
        },
        "published, twice the threads": {
            name: compare(published.replace(strategy=name), BATCHES[name], 2 * threads, steps, precisions)
            for name in ("jt", "bn")
        },
        "quick": {name: compare(quick.replace(strategy=name), 8, threads, 2 * steps, precisions) for name in BATCHES},
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=8, help="measured steps of each network, after a first")
    print(json.dumps(measure(**vars(parser.parse_args())), indent=2))
