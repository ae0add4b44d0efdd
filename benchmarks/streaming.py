"""``python -m benchmarks.streaming``: a corpus ten times the memory for it; results/reference/streaming.json.

Speech is white noise in one file, read from the disk and not from what the system still holds of it. Each turn trains
JT at the sizes of quick in a process of its own, once with the speech in memory and once with it streamed.
"""

import argparse
import json
import os
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from benchmarks.gpu import generated
from benchmarks.reference import TARGET
from jointlib import SAMPLE_RATE
from jointlib.config import load_config
from jointlib.corpora.packed import PackedAudio, StreamedAudio
from jointlib.fast.cpu import fast_cpu, keep_freed_memory
from jointlib.runs.folder import environment
from jointlib.runs.run import build_network
from jointlib.support.files import write_json
from jointlib.support.workers import fresh_processes
from jointlib.train import build_optimizer, train_step

TIMES = 10  # the budget
SECONDS = 2.3  # of an utterance


def write_noise(file: Path, gigabytes: float) -> int:
    """Write that much white noise at -20 dBFS. Returns how many utterances it makes."""
    length, rng = round(SECONDS * SAMPLE_RATE), np.random.default_rng(0)
    count = round(gigabytes * 1e9 / 2 / length)
    with file.open("wb") as stream:
        for _ in range(count):
            stream.write((3277 * rng.standard_normal(length, np.float32)).astype(np.int16))
        os.fsync(stream.fileno())
    return count


def trained(file: Path, count: int, streamed: bool, steps: int) -> dict[str, float]:
    """Milliseconds a step, and of it waiting for the batch; and GB that the process had in memory at most."""
    torch.set_num_threads(1)
    keep_freed_memory()
    config = load_config("quick", strategy="jt", init="scratch", device="cpu")
    length = round(SECONDS * SAMPLE_RATE)
    starts, lengths = length * torch.arange(count), torch.full((count,), length)
    with file.open("rb") as stream:
        os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    if streamed:
        speech = StreamedAudio(PackedAudio(torch.empty(0), starts, lengths, file=file), "cpu")
    else:
        speech = PackedAudio(torch.from_numpy(np.fromfile(file, np.int16)), starts, lengths)
    data = generated(config, count - config.batch_size - 1, speech)
    model = fast_cpu(build_network(config, len(data.corpus.intents)).train())
    optimizer, batches, waited = build_optimizer(model, config), data.train_batches(), 0.0
    train_step(model, next(batches), optimizer, config)
    began = time.perf_counter()
    for _ in range(steps):
        asked = time.perf_counter()
        batch = next(batches)
        waited += time.perf_counter() - asked
        train_step(model, batch, optimizer, config)
    step = (time.perf_counter() - began) / steps
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return {"step_ms": 1000 * step, "waited_ms": 1000 * waited / steps, "peak_gb": peak}


def measure(budget: float, steps: int, turns: int) -> dict[str, object]:
    """Both ways by turns; the median of each, and of the ratio of their steps."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        count = write_noise(file := Path(folder) / "noise.int16", TIMES * budget)
        for turn in range(turns):
            for streamed in (False, True) if turn % 2 else (True, False):
                with fresh_processes(1) as pool:
                    found = pool.submit(trained, file, count, streamed, steps).result()
                rows.append({"turn": turn, "way": "streamed" if streamed else "in memory", **found})
                print(rows[-1], flush=True)
    table = pd.DataFrame(rows)
    times = table.pivot(index="turn", columns="way", values="step_ms")
    return {
        "budget_gb": budget,
        "speech_gb": TIMES * budget,
        "steps": steps,
        "turns": turns,
        "median": table.drop(columns="turn").groupby("way").median().round(3).to_dict("index"),
        "streamed_over_memory": round(float((times["streamed"] / times["in memory"]).median()), 4),
        **environment(load_config("quick")),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.streaming", description=__doc__)
    parser.add_argument("--budget", type=float, default=0.2, help="GB for speech (default: 0.2)")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--turns", type=int, default=5)
    given = parser.parse_args()
    measured = measure(given.budget, given.steps, given.turns)
    print(json.dumps(measured, indent=2))
    write_json(TARGET / "streaming.json", measured)
