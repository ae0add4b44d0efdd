"""``python -m benchmarks.gpu``: a training step on a GPU, eager and compiled, in bfloat16; in less than 15 minutes.

It needs no corpus: the batch is noise. Results at the published sizes are recorded in results/reference/gpu.json.
--smoke (the sizes of the profile smoke) and --device cpu only test the program and record nothing.
"""

import argparse
import json
import time
from typing import Any

import torch

from benchmarks.roofline import count, fastest, peaks
from benchmarks.step import CLASSES, noise_batch
from jointlib.config import CHECKOUT, Config, load_config
from jointlib.runs.run import build_network
from jointlib.support.files import read_json, write_json
from jointlib.train import build_optimizer, train_step

RECORD = CHECKOUT / "results/reference/gpu.json"


def step(config: Config, compiled: bool, steps: int) -> dict[str, float]:
    """Seconds of the first step and of the fastest later one, and the peak of memory in GB."""
    device = config.torch_device
    torch._dynamo.reset()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    model = build_network(config, CLASSES).train().to(device)
    if compiled:
        model.compile()
    optimizer, batch = build_optimizer(model, config), noise_batch(config, config.batch_size)
    first, later = (fastest(lambda: train_step(model, batch, optimizer, config), device, some) for some in (1, steps))
    used = {"peak_gb": torch.cuda.max_memory_allocated() / 1e9} if device.type == "cuda" else {}
    return {"first_s": first, "s": later, **used}


def compare(config: Config, steps: int = 8) -> dict[str, Any]:
    """Times of the plain and of the compiled network, their ratio, and the step's lower bound at the device's rates."""
    rows: dict[str, Any] = {}
    for name, compiled in (("plain", False), ("compiled", True)):
        rows[name] = step(config, compiled, steps)
        print(config.strategy, name, rows[name], flush=True)
    model, noisy = build_network(config, CLASSES).to(config.torch_device), noise_batch(config, config.batch_size).noisy
    needed, rates = count(model, noisy, config.bf16), peaks(config.torch_device)
    bound = max(number / rate for number, rate in zip(needed, rates, strict=True))
    return rows | {"ratio": rows["plain"]["s"] / rows["compiled"]["s"], "bound_s": bound}


def main() -> None:
    """Measure, print, and record the results of a GPU at the published sizes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--strategies", nargs="+", default=["jt", "bn"])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--smoke", action="store_true")
    given = parser.parse_args()
    config = load_config("smoke" if given.smoke else "full", init="scratch", device=given.device)
    found = {}
    for name in given.strategies:
        started = time.perf_counter()
        found[name] = compare(config.replace(strategy=name))
        print(f"{name}: {time.perf_counter() - started:.0f} s", flush=True)
    print(json.dumps(found, indent=2))
    if config.torch_device.type == "cuda" and not given.smoke:
        device = f"{torch.cuda.get_device_name()}, torch {torch.__version__}"
        before = read_json(RECORD) if RECORD.exists() else {}
        write_json(RECORD, before | {device: before.get(device, {}) | found})


if __name__ == "__main__":
    main()
