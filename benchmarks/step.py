"""How long a training step takes on this CPU, in float32 and in bfloat16, without loading data. Prints JSON."""

import argparse
import json
import statistics
import time

import torch

from jointlib.config import Config, load_config
from jointlib.corpora.batches import Batch
from jointlib.runs.run import build_network
from jointlib.support.memory import keep_freed_memory
from jointlib.train import build_optimizer, train_step

BATCHES = {"jt": 1, "bn": 4, "bn_mix": 4}
CLASSES = 31


def noise_batch(config: Config, size: int) -> Batch:
    """A batch of white noise on the configuration's device, as long as its clips."""
    noisy, clean = 0.1 * torch.randn(2, size, 1, config.clip_samples, device=config.torch_device)
    labels = torch.arange(size, device=noisy.device) % CLASSES
    return Batch(noisy, clean, labels, torch.full_like(labels, config.clip_samples), ("",) * size)


def compare(config: Config, size: int, steps: int) -> dict[str, float]:
    """Seconds per utterance in each precision, the median of some steps taken in turn, and their ratio."""
    batch, trained = noise_batch(config, size), {}
    for kind in ("float32", "bf16"):
        own = config.replace(bf16=kind == "bf16")
        model = build_network(own, CLASSES).train()
        trained[kind] = (model, build_optimizer(model, own), own)
    taken: dict[str, list[float]] = {kind: [] for kind in trained}
    for _ in range(steps + 1):
        for kind, (model, optimizer, own) in trained.items():
            started = time.perf_counter()
            train_step(model, batch, optimizer, own)
            taken[kind].append((time.perf_counter() - started) / size)
    found = {f"{kind}_s": round(statistics.median(seconds[1:]), 4) for kind, seconds in taken.items()}
    ratio = round(found["float32_s"] / found["bf16_s"], 2)
    return {"batch": size, "clip_s": config.clip_seconds, **found, "ratio": ratio}


def measure(threads: int = 1, steps: int = 5) -> dict[str, dict[str, dict[str, float]]]:
    """{sizes: {strategy: numbers}} for the published sizes and those of `quick`."""
    keep_freed_memory()
    torch.set_num_threads(threads)
    published, quick = Config(profile="full", device="cpu"), load_config("quick", device="cpu")
    return {
        "published": {name: compare(published.replace(strategy=name), size, steps) for name, size in BATCHES.items()},
        "quick": {name: compare(quick.replace(strategy=name), 8, 4 * steps) for name in BATCHES},
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.step", description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=5, help="measured steps, after a first")
    print(json.dumps(measure(**vars(parser.parse_args())), indent=2))
