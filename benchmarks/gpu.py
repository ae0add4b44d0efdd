"""``python -m benchmarks.gpu``: everything about speed on a GPU, in less than 25 minutes; results/reference/gpu.json.

It needs the repository, torch, torchaudio, pandas, pydantic, safetensors, filelock, scipy, tqdm and pyyaml, and no
corpus: speech and noise are generated noise. Parts may be named (step, resume, feeding), to be measured one by one.
With --smoke the sizes are those of the profile smoke; that, like --device cpu, tries the program out and records
nothing.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from benchmarks.memory import BOUND, peak
from benchmarks.roofline import count, fastest, peaks
from jointlib.config import CHECKOUT, Config, load_config
from jointlib.corpora.batches import Data
from jointlib.corpora.corpus import Corpus
from jointlib.corpora.noises import Noises
from jointlib.corpora.packed import PackedAudio
from jointlib.fast.gpu import fast_gpu, swap_for_gpu
from jointlib.runs.run import build_network
from jointlib.support.checkpoint import Checkpoint
from jointlib.support.files import read_json, write_json
from jointlib.train import Batch, build_optimizer, train, train_step

RECORD = CHECKOUT / "results/reference/gpu.json"
CLASSES = 31


def compiled(model: nn.Module) -> nn.Module:
    """The plain network, compiled."""
    model.compile()
    return model


KINDS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "plain": nn.Module.train,
    "plain, compiled": compiled,
    "fast_gpu, not compiled": swap_for_gpu,
    "fast_gpu": fast_gpu,
}


def noise(files: int, seconds: float) -> PackedAudio:
    """Some files of white noise at -20 dBFS."""
    length = round(seconds * 16_000)
    samples = (3277 * torch.randn(files * length, generator=torch.Generator().manual_seed(files))).to(torch.int16)
    return PackedAudio(samples, torch.arange(files) * length, torch.full((files,), length))


def generated(config: Config, utterances: int, speech: PackedAudio | None = None) -> Data:
    """A corpus of noise, or of a given `speech`, in noise on the configuration's device, used as a real one is."""
    device, splits = config.torch_device, {"train": utterances, "valid": config.batch_size, "test": 1}
    labels = np.arange(sum(splits.values())) % CLASSES
    names = [f"{number}.wav" for number in range(len(labels))]
    manifest = pd.DataFrame({"path": names, "label": labels, "split": np.repeat(list(splits), list(splits.values()))})
    corpus = Corpus(manifest, [str(label) for label in range(CLASSES)], speech or noise(len(labels), 2.3).to(device))
    files = pd.DataFrame({"file": [Path(f"White_{number}.wav") for number in range(4)], "type": "White"})
    noises = Noises(files, noise(4, 20.0).to(device), [np.arange(16_000)] * 4)
    return Data(config, corpus, {"train": noises, "test": noises}, torch.tensor(labels, device=device))


def timed(config: Config, swap: Callable[[nn.Module], nn.Module], batch: Batch, steps: int) -> dict[str, float]:
    """Seconds of the first step and of the fastest later one, and GB at most."""
    device = config.torch_device
    torch._dynamo.reset()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    model = swap(build_network(config, CLASSES).train().to(device))
    optimizer = build_optimizer(model, config)
    first, later = (fastest(lambda: train_step(model, batch, optimizer, config), device, some) for some in (1, steps))
    used = {"peak_gb": torch.cuda.max_memory_allocated() / 1e9} if device.type == "cuda" else {}
    return {"first_s": first, "s": later, **used}


def step(config: Config, steps: int) -> dict[str, Any]:
    """Each of the `KINDS` and how many times faster it is than the plain network; the roofline; counted memory."""
    batch = next(generated(config, config.batch_size).train_batches())
    rows = {}
    for kind, swap in KINDS.items():
        rows[kind] = timed(config, swap, batch, steps)
        print(config.strategy, kind, rows[kind], flush=True)
    model = swap_for_gpu(build_network(config, CLASSES).to(batch.noisy.device))
    rates, needed = peaks(batch.noisy.device), count(model, batch.noisy, config.bf16)
    least = max(number / rate for number, rate in zip(needed, rates, strict=True))
    found = {"ratio": {kind: rows["plain"]["s"] / row["s"] for kind, row in rows.items()}, "roofline_s": least}
    found |= {"roofline_fraction": least / rows["fast_gpu"]["s"], "counted_gb": peak(config)}
    return rows | found | {"recorded_bound_gb": BOUND.get(config.strategy)}


class Interrupted(Data):
    """As if Ctrl-C came in the middle, after a checkpoint and some steps."""

    def train_batches(self, first: int = 0) -> Iterator[Batch]:
        yield from islice(super().train_batches(first), self.config.steps // 2 + 1)
        raise KeyboardInterrupt


def resume(config: Config) -> dict[str, Any]:
    """A cell of `full`, interrupted and resumed, beside the same in one go; and how far their losses differ."""
    data, histories = generated(config, 4 * config.batch_size), []
    for interrupted in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            for some in [Interrupted(**vars(data)), data] if interrupted else [data]:
                torch.manual_seed(0)
                model = fast_gpu(build_network(config, CLASSES)).to(config.torch_device)
                checkpoint = Checkpoint(Path(folder) / "checkpoint.safetensors")
                try:
                    _, history = train(model, some, config, checkpoint, f"{config.strategy}, on generated noise")
                except KeyboardInterrupt:
                    kept = checkpoint.load(model, build_optimizer(model, config))[1][-1]["step"]
        histories.append([row["valid_loss"] for row in history])
    furthest = max(abs(one - other) for one, other in zip(*histories, strict=True))
    return {"steps": config.steps, "resumed_from": kept, "valid_losses": histories, "furthest_apart": furthest}


def feeding(config: Config, steps: int) -> dict[str, float]:
    """How much of a step goes into mixing its batch."""
    device, data = config.torch_device, generated(config, 8 * config.batch_size)
    model = fast_gpu(build_network(config, CLASSES).train()).to(device)
    optimizer, batches = build_optimizer(model, config), data.train_batches()
    batch = next(batches)
    train_step(model, batch, optimizer, config)
    mixing = fastest(lambda: next(batches), device, steps)
    both = fastest(lambda: train_step(model, next(batches), optimizer, config), device, steps)
    return {"batch_s": mixing, "step_s": both, "share": mixing / both}


def main() -> None:
    """Measure, print, and record what was found on a GPU at the published sizes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("parts", nargs="*", default=["step", "resume", "feeding"], help="(default: all)")
    parser.add_argument("--strategies", nargs="+", default=["jt", "bn"])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--record", type=Path, default=RECORD, help="file that is added to")
    given = parser.parse_args()
    small = {"steps": 8, "validate_every": 2, "device": given.device, "schedule": "constant"}
    config = load_config("smoke" if given.smoke else "full", init="scratch", **small)
    on_gpu, found = config.torch_device.type == "cuda", {}
    for name in given.strategies:
        cell, started = config.replace(strategy=name), time.perf_counter()
        measures = {"step": lambda: step(cell, 8), "resume": lambda: resume(cell), "feeding": lambda: feeding(cell, 8)}  # noqa: B023
        found[name] = {part: measures[part]() for part in given.parts}
        print(f"{name}: {time.perf_counter() - started:.0f} s", flush=True)
    print(json.dumps(found, indent=2))
    if on_gpu and not given.smoke:
        device = f"{torch.cuda.get_device_name()}, torch {torch.__version__}"
        before = read_json(given.record) if given.record.exists() else {}
        kept = before.get(device, {})
        rows = {name: kept.get(name, {}) | found.get(name, {}) for name in kept | found}
        write_json(given.record, before | {device: rows})


if __name__ == "__main__":
    main()
