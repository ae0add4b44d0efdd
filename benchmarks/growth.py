"""How time and memory grow: with the corpus, with the clip. Every point in a fresh process.

``python -m benchmarks.growth POINT VALUE`` prints one point; `measure` collects them all.
"""

import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

from benchmarks.second_start import write
from jointlib.config import CHECKOUT
from jointlib.corpora.contaminate import Contaminator, draw_plan
from jointlib.corpora.corpus import Corpus
from jointlib.corpora.noises import Noises
from jointlib.fast.cpu import fast_cpu
from jointlib.runs.tiles import enhance_in_tiles
from jointlib.waveunet import WaveUNet

POINTS = {"corpus": (1, 4, 16), "whole": (1, 4, 15, 30, 60), "tiled": (1, 4, 15, 30, 60)}
TILE = 10 * 16_000  # samples, so that a minute takes several


def corpus(times: int) -> dict[str, float]:
    """`times` 3,038 clips of a second (quick has 3,038): read anew, read from the cache, train mixed once."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write(root / "speech", 3038 * times, 1.0)
        (root / "noise_train").mkdir()
        for number in range(10):
            wave = 0.1 * np.random.default_rng(number).standard_normal(12 * 16_000)
            soundfile.write(root / "noise_train" / f"Hum_{number}.wav", wave, 16_000)
        taken, started = {}, time.perf_counter()
        for name in ("read_s", "read_again_s"):
            speech = Corpus.read(root / "speech")
            taken[name], started = time.perf_counter() - started, time.perf_counter()
        noises = Noises.read(root / "noise_train")
        started = time.perf_counter()
        plan = draw_plan(speech, "train", noises, [0.0, 10.0])
        taken["plan_s"], started = time.perf_counter() - started, time.perf_counter()
        contaminator = Contaminator(plan, speech.audio, noises.audio, 16_000, "exact")
        for rows in torch.randperm(len(plan)).split(8):
            contaminator.mix(rows)
        return taken | {"utterances": 3038 * times, "mix_s": time.perf_counter() - started}


def clip(seconds: int, tile: int | None) -> dict[str, float]:
    """The published front-end on one clip."""
    model = fast_cpu(WaveUNet().eval())
    if tile is not None:
        enhance_in_tiles(model, tile)
    noisy = 0.1 * torch.randn(1, 1, seconds * 16_000)
    with torch.inference_mode():
        model(noisy[..., :16_000])
        started = time.perf_counter()
        model(noisy)
    return {"seconds": seconds, "taken_s": time.perf_counter() - started}


def point(name: str, value: int) -> dict[str, float]:
    """One point, with the peak memory of this process in MB."""
    torch.set_num_threads(1)
    measured = {
        "corpus": lambda: corpus(value),
        "whole": lambda: clip(value, None),
        "tiled": lambda: clip(value, TILE),
    }[name]()
    status = Path("/proc/self/status").read_text()  # getrusage's peak is inherited from whoever started this
    peak = int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1000
    return {key: round(number, 3) for key, number in measured.items()} | {"peak_mb": round(peak)}


def measure(points: dict[str, tuple[int, ...]] = POINTS) -> dict[str, list[dict[str, Any]]]:
    """Every point."""
    return {
        name: [
            json.loads(
                subprocess.run(
                    [sys.executable, "-m", "benchmarks.growth", name, str(value)],
                    cwd=CHECKOUT,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    check=True,
                ).stdout
            )
            for value in values
        ]
        for name, values in points.items()
    }


if __name__ == "__main__":
    print(json.dumps(point(sys.argv[1], int(sys.argv[2]))))
