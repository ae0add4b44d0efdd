"""How much of a training step goes into making its batch. Prints JSON."""

import json
import time

import torch

from jointlib.config import load_config
from jointlib.corpora.batches import load_data
from jointlib.fast.cpu import fast_cpu, keep_freed_memory
from jointlib.runs.run import build_network
from jointlib.strategies import set_training
from jointlib.train import build_optimizer, train_step


def share(size: str, steps: int) -> dict[str, float]:
    """Milliseconds a clip of JT at a profile's sizes, on quick's speech; and the share of them before the step."""
    config = load_config("quick")
    if size == "full":
        config = load_config("full", corpus=config.corpus, noise=config.noise, embedded=config.embedded, device="cpu")
        config = config.replace(batch_size=2)
    data = load_data(config.replace(strategy="jt", init="scratch"))
    model = set_training(fast_cpu(build_network(data.config, len(data.corpus.intents))))
    optimizer, waited, trained = build_optimizer(model, data.config), 0.0, 0.0
    batches = data.train_batches()
    train_step(model, next(batches), optimizer, data.config)
    for _ in range(steps):
        started = time.perf_counter()
        batch = next(batches)
        ready = time.perf_counter()
        train_step(model, batch, optimizer, data.config)
        waited, trained = waited + ready - started, trained + time.perf_counter() - ready
    clips = steps * data.config.batch_size
    return {
        "batch_ms": round(1000 * waited / clips, 3),
        "step_ms": round(1000 * trained / clips, 1),
        "share": round(waited / (waited + trained), 5),
    }


def measure(threads: int = 1) -> dict[str, dict[str, float]]:
    """Of quick and of the published sizes."""
    torch.set_num_threads(threads)
    keep_freed_memory()
    return {"quick": share("quick", 40), "full": share("full", 3)}


if __name__ == "__main__":
    print(json.dumps(measure()))
