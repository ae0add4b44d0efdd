"""``python -m benchmarks.strength SPEECH NOISE``: the best strength of the enhancement, inside and outside a corpus.

The detached cascade of `quick` enhances its test split, and unseen recordings: SPEECH and NOISE are folders of audio
files, mixed at 0, 5, 10, 15 and 20 dB in turn. `jointlib.OUTSIDE` is chosen without these recordings: the same network,
trained on seven of the ten types of noise, enhances the test split with the other three. Missing runs are trained.
Writes means over utterances into results/reference: strength.csv, and recordings.csv of the recordings enhanced by
`benchmarks.enhancers`, which were trained on far more data.
"""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.enhancers import installed_peers
from benchmarks.pages import TARGET
from jointlib.config import Config, load_config
from jointlib.corpora.audio import is_audio, read_audio, resample
from jointlib.corpora.batches import load_data
from jointlib.metrics import quality
from jointlib.runs.fit import fit
from jointlib.runs.run import Run, add_observation, load_run
from jointlib.support.files import write_csv

STRENGTHS, MEASURES = (0.0, 0.4, 0.6, 0.7, 0.8, 0.9, 1.0), ("pesq_wb", "stoi", "si_sdr")
NOT_MET = ("Babble", "SqueakyChair", "Traffic")
MET = ("AirConditioner", "CopyMachine", "Munching", "NeighborSpeaking", "ShuttingDoor", "Typing", "VacuumCleaner")
Pairs = Iterable[tuple[np.ndarray, np.ndarray]]  # clean and noisy speech (T,)


def recordings(speech: Path, noise: Path) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Recorded speech, and the same with a segment of recorded noise."""
    rng, noises = np.random.default_rng(0), list(filter(is_audio, sorted(noise.rglob("*"))))
    for number, file in enumerate(filter(is_audio, sorted(speech.rglob("*")))):
        clean = resample(*read_audio(file)).numpy()
        background = resample(*read_audio(noises[number % len(noises)])).numpy()
        background = np.resize(np.roll(background, rng.integers(len(background))), len(clean))
        snr_db = (0, 5, 10, 15, 20)[number % 5]
        gain = np.sqrt((clean**2).mean() / (background**2).mean()) * 10 ** (-snr_db / 20)
        yield clean, (clean + gain * background).astype(np.float32)


def examples(config: Config) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Every third utterance of a test split."""
    data = load_data(config)
    for row in range(0, len(data.plan("test")), 3):
        clean, noisy, _ = data.example(row)
        yield clean.numpy(), noisy.numpy()


def by_strength(run: Run, pairs: Pairs) -> pd.DataFrame:
    """Mean quality at every strength; at 0, of the noisy input."""
    rows = []
    for clean, noisy in pairs:
        enhanced, _ = run.process(noisy)
        waves = {strength: add_observation(enhanced, noisy, strength) for strength in STRENGTHS}
        rows += [{"strength": strength, **quality((clean, wave), MEASURES)} for strength, wave in waves.items()]
    return pd.DataFrame(rows).groupby("strength")[list(MEASURES)].mean().round(3).reset_index()


def main() -> None:
    quick = load_config("quick", strategy="detached")
    held_back = load_config("quick", strategy="detached", noise_types_train=MET, noise_types_test=NOT_MET)
    sets = {
        "test split": (quick, examples(quick)),
        "noises not met": (held_back, examples(held_back)),
        "recordings": (quick, recordings(*map(Path, sys.argv[1:]))),
    }
    tables = [by_strength(load_run(fit(config)), pairs).assign(on=name) for name, (config, pairs) in sets.items()]
    write_csv(TARGET / "strength.csv", pd.concat(tables)[["on", "strength", *MEASURES]])
    pairs, rows = list(recordings(*map(Path, sys.argv[1:]))), []
    for name, enhance in {"noisy input": lambda wave: wave, **installed_peers()}.items():
        rows += [
            {"enhancer": name, **quality((clean, enhance(noisy)[: len(clean)]), MEASURES)} for clean, noisy in pairs
        ]
    means = pd.DataFrame(rows).groupby("enhancer", sort=False)[list(MEASURES)].mean().round(3)
    write_csv(TARGET / "recordings.csv", means.reset_index())


if __name__ == "__main__":
    main()
