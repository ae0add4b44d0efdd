"""Ten synthesised noise types, under MS-SNSD's names and in its layout.

Every recipe maps (rng, samples, split) to a wave (T,) at 16 kHz, of any level.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import butter, sosfilt

from jointlib import SAMPLE_RATE
from jointlib.config import EmbeddedCorpus
from jointlib.corpora.embedded.speech import COMMANDS, speak

Rng = np.random.Generator


def _seconds(samples: int) -> np.ndarray:
    return np.arange(samples) / SAMPLE_RATE


def _band(wave: np.ndarray, low: float, high: float) -> np.ndarray:
    return sosfilt(butter(2, (low, high), btype="band", fs=SAMPLE_RATE, output="sos"), wave)


def _hum(rng: Rng, samples: int, base: float, harmonics: int) -> np.ndarray:
    """A motor: harmonics of `base` Hz that fall off, with a slowly wandering pitch."""
    phase = 2 * np.pi * base * _seconds(samples) + np.cumsum(rng.normal(size=samples)) * 2e-4
    return sum(np.sin(k * phase + rng.uniform(0, 6)) / k for k in range(1, harmonics + 1))


def _events(rng: Rng, samples: int, per_second: float, event: Callable[[], np.ndarray]) -> np.ndarray:
    """Add the waves that `event` returns at random times, about `per_second` of them a second."""
    wave = np.zeros(samples + SAMPLE_RATE)
    for start in rng.integers(0, samples, max(1, round(per_second * samples / SAMPLE_RATE))):
        sound = event()
        wave[start : start + len(sound)] += sound * rng.uniform(0.4, 1)
    return wave[:samples]


def _burst(rng: Rng, seconds: float, decay: float, low: float, high: float) -> np.ndarray:
    """Band-limited noise that decays with time constant `decay` seconds."""
    samples = round(seconds * SAMPLE_RATE)
    return _band(rng.normal(size=samples), low, high) * np.exp(-_seconds(samples) / decay)


def air_conditioner(rng: Rng, samples: int, split: str) -> np.ndarray:
    flow = _band(rng.normal(size=samples), 60, rng.uniform(600, 1500))
    return flow + 0.05 * _hum(rng, samples, rng.uniform(90, 130), 4)


def babble(rng: Rng, samples: int, split: str) -> np.ndarray:
    return sum(neighbor_speaking(rng, samples, split) for _ in range(7))


def copy_machine(rng: Rng, samples: int, split: str) -> np.ndarray:
    cycle = np.sin(2 * np.pi * rng.uniform(0.8, 1.6) * _seconds(samples)) > rng.uniform(-0.3, 0.3)
    return _band(rng.normal(size=samples), 500, 4000) * (0.15 + cycle) + 0.2 * _hum(rng, samples, 100, 6)


def munching(rng: Rng, samples: int, split: str) -> np.ndarray:
    def bite() -> np.ndarray:
        return _events(rng, SAMPLE_RATE // 4, 120, lambda: _burst(rng, 0.02, 0.002, 800, 7500))

    return _events(rng, samples, rng.uniform(1.5, 2.5), bite)


def neighbor_speaking(rng: Rng, samples: int, split: str) -> np.ndarray:
    voice = f"{rng.choice(COMMANDS['accents'])}+{rng.choice(COMMANDS['neighbour_variants'][split])}"
    speaker = {"voice": voice, "pitch": int(rng.integers(30, 70)), "rate": int(rng.integers(140, 200)), "tract": 1.0}
    wave = np.zeros(0)
    while len(wave) < samples:
        wave = np.concatenate([wave, speak(str(rng.choice(COMMANDS["neighbours"][split])), speaker, rng)])
    return wave[:samples]


def shutting_door(rng: Rng, samples: int, split: str) -> np.ndarray:
    return _events(rng, samples, 1.2, lambda: 3 * _burst(rng, 0.8, 0.12, 40, 300) + _burst(rng, 0.8, 0.02, 500, 5000))


def squeaky_chair(rng: Rng, samples: int, split: str) -> np.ndarray:
    def squeak() -> np.ndarray:
        length = round(rng.uniform(0.2, 0.6) * SAMPLE_RATE)
        pitch = np.linspace(*rng.uniform(400, 1800, 2), length)  # Hz
        phase = 2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE
        return np.hanning(length) * sum(np.sin(k * phase) / k for k in range(1, 5))

    return _events(rng, samples, 1.5, squeak) + _events(rng, samples, 3, lambda: _burst(rng, 0.1, 0.02, 200, 1500))


def traffic(rng: Rng, samples: int, split: str) -> np.ndarray:
    passing = 1 + 0.8 * np.sin(2 * np.pi * rng.uniform(0.1, 0.3) * _seconds(samples) + rng.uniform(0, 6))
    return _band(rng.normal(size=samples), 40, 900) * passing + 0.1 * _hum(rng, samples, rng.uniform(40, 80), 8)


def typing(rng: Rng, samples: int, split: str) -> np.ndarray:
    rate = rng.uniform(5, 9)
    return _events(rng, samples, rate, lambda: _burst(rng, 0.08, rng.uniform(0.004, 0.015), 1200, 7000))


def vacuum_cleaner(rng: Rng, samples: int, split: str) -> np.ndarray:
    return _band(rng.normal(size=samples), 200, 6000) + 0.3 * _hum(rng, samples, rng.uniform(180, 320), 10)


_IN_ORDER = (air_conditioner, babble, copy_machine, munching, neighbor_speaking, shutting_door, squeaky_chair)
_IN_ORDER += (traffic, typing, vacuum_cleaner)  # which seeds them
RECIPES = {recipe.__name__.title().replace("_", ""): recipe for recipe in _IN_ORDER}  # AirConditioner and so on


def write_noise(root: Path, settings: EmbeddedCorpus, split: str) -> None:
    """Write noise_train or noise_test under `root`: `settings.noise_files[split]` files of every type."""
    folder = root / f"noise_{split}"
    folder.mkdir(parents=True, exist_ok=True)
    samples = round(settings.noise_seconds * SAMPLE_RATE)
    for index, (name, recipe) in enumerate(RECIPES.items()):
        for number in range(1, settings.noise_files[split] + 1):
            rng = np.random.default_rng([settings.seed, 4, split == "test", index, number])
            wave = recipe(rng, samples, split)
            wave = wave / np.abs(wave).max() + rng.normal(scale=1e-3, size=samples)  # a room is never quite silent
            soundfile.write(folder / f"{name}_{number}.wav", 0.3 * wave, SAMPLE_RATE)
