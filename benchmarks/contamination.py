"""Utterances contaminated a second: mixed on the fly, and as MS-SNSD's script does it, file by file. Prints JSON."""

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
import torch

from jointlib.corpora.contaminate import Contaminator, draw_plan
from jointlib.corpora.corpus import Corpus
from jointlib.corpora.noises import Noises
from jointlib.fast.cpu import keep_freed_memory

UTTERANCES, SECONDS, NOISE_SECONDS, CLIP = 256, 2.3, 30.0, 64_000  # as long as Fluent Speech Commands'; clips of 4 s


def write(root: Path) -> None:
    """Speech (noise that rises and falls) in FSC layout and eight noises in MS-SNSD layout."""
    rng = np.random.default_rng(0)
    speech, noise = root / "speech", root / "noise"
    (speech / "data").mkdir(parents=True)
    noise.mkdir()
    for split in ("train", "valid", "test"):
        rows = []
        for number in range(UTTERANCES if split == "train" else 4):
            wave = 0.1 * rng.standard_normal(round(SECONDS * 16_000)) * np.hanning(round(SECONDS * 16_000))
            soundfile.write(speech / f"{split}{number}.wav", wave, 16_000)
            rows.append((f"{split}{number}.wav", split, "bring it", "bring", f"thing {number % 4}", "none"))
        columns = ["path", "speakerId", "transcription", "action", "object", "location"]
        pd.DataFrame(rows, columns=columns).to_csv(speech / "data" / f"{split}_data.csv")
    for number in range(8):
        soundfile.write(noise / f"Hum_{number}.wav", 0.1 * rng.standard_normal(round(NOISE_SECONDS * 16_000)), 16_000)


def file_by_file(plan: pd.DataFrame, speech: Path, noise: Path, output: Path) -> Iterator[None]:
    """MS-SNSD's way: read speech and noise, set both to -25 dBFS, scale the noise, write noisy, clean and noise."""
    for row in plan.itertuples():
        clean, rate = soundfile.read(speech / row.path)
        added, _ = soundfile.read(noise / row.noise_file)
        added = (
            np.resize(added[row.offset :], len(clean)) if row.offset + len(clean) <= len(added) else added[: len(clean)]
        )
        clean = clean * 10 ** (-25 / 20) / np.sqrt(np.mean(clean**2))
        added = added * 10 ** (-25 / 20) / np.sqrt(np.mean(added**2)) * 10 ** (-row.snr_db / 20)
        noisy = clean + added
        if np.abs(noisy).max() > 0.99:
            clean, added, noisy = (0.99 / np.abs(noisy).max() * wave for wave in (clean, added, noisy))
        for kind, wave in (("noisy", noisy), ("clean", clean), ("noise", added)):
            soundfile.write(output / f"{kind}_{row.path}", wave, rate)
        yield


def on_the_fly(plan: pd.DataFrame, corpus: Corpus, noises: Noises) -> Iterator[None]:
    """Batches of 8, as quick trains with, from memory, ready for a training step."""
    contaminator = Contaminator(plan, corpus.audio, noises.audio, CLIP, "exact")
    for rows in torch.arange(len(plan)).split(8):
        contaminator.mix(rows)
        yield


def per_second(work: Iterator[None]) -> float:
    """Utterances a second."""
    started = time.perf_counter()
    for _ in work:
        pass
    return UTTERANCES / (time.perf_counter() - started)


def measure(threads: int = 1, rounds: int = 5) -> dict[str, float]:
    """Both ways in turn, in one process; the median of `rounds`."""
    torch.set_num_threads(threads)
    keep_freed_memory()  # as training does
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write(root)
        corpus, noises = Corpus.read(root / "speech"), Noises.read(root / "noise")
        plan = draw_plan(corpus, "train", noises, [0.0, 10.0, 20.0])
        (root / "out").mkdir()
        pairs = [
            (
                per_second(file_by_file(plan, root / "speech", root / "noise", root / "out")),
                per_second(on_the_fly(plan, corpus, noises)),
            )
            for _ in range(rounds + 1)
        ][1:]  # the first round is for caches
    slow, fast = np.median(pairs, axis=0)
    ratio = float(np.median([late / early for early, late in pairs]))
    return {
        "threads": threads,
        "file_by_file_per_s": round(slow),
        "on_the_fly_per_s": round(fast),
        "ratio": round(ratio),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.contamination", description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    print(json.dumps(measure(**vars(parser.parse_args()))))
