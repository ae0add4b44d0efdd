"""Ten synthesised noise types, under MS-SNSD's names and in its layout."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from scipy.signal import butter, sosfilt

from jointlib import SAMPLE_RATE
from jointlib.corpora.embedded.recording import draw_response, equalise
from jointlib.corpora.embedded.speech import COMMANDS, speak


def _band(wave: np.ndarray, low: float, high: float) -> np.ndarray:
    return sosfilt(butter(2, (low, high), btype="band", fs=SAMPLE_RATE, output="sos"), wave)


class Noise:
    """A noise of `samples` at 16 kHz: its public methods are the recipes, each for a wave (T,) of any level."""

    def __init__(self, rng: np.random.Generator, samples: int, split: str):
        self.rng, self.samples, self.split = rng, samples, split
        self.time = np.arange(samples) / SAMPLE_RATE  # seconds

    def _white(self) -> np.ndarray:
        return self.rng.normal(size=self.samples)

    def _hum(self, base: float, harmonics: int) -> np.ndarray:
        """A motor: harmonics of `base` Hz that fall off, with a slowly wandering pitch."""
        phase = 2 * np.pi * base * self.time + np.cumsum(self._white()) * 2e-4
        return sum(np.sin(k * phase + self.rng.uniform(0, 6)) / k for k in range(1, harmonics + 1))

    def _events(self, per_second: float, event: Callable[[], np.ndarray]) -> np.ndarray:
        """Add the waves that `event` returns at random times, about `per_second` of them a second."""
        wave = np.zeros(self.samples + SAMPLE_RATE)
        for start in self.rng.integers(0, self.samples, max(1, round(per_second * self.samples / SAMPLE_RATE))):
            sound = event()
            wave[start : start + len(sound)] += sound * self.rng.uniform(0.4, 1)
        return wave[: self.samples]

    def _burst(self, seconds: float, decay: float, low: float, high: float) -> np.ndarray:
        """Band-limited noise that decays with time constant `decay` seconds."""
        burst = Noise(self.rng, round(seconds * SAMPLE_RATE), self.split)
        return _band(burst._white(), low, high) * np.exp(-burst.time / decay)

    def air_conditioner(self) -> np.ndarray:
        flow = _band(self._white(), 60, self.rng.uniform(600, 1500))
        return flow + 0.05 * self._hum(self.rng.uniform(90, 130), 4)

    def babble(self) -> np.ndarray:
        return sum(self.neighbor_speaking() for _ in range(7))

    def copy_machine(self) -> np.ndarray:
        cycle = np.sin(2 * np.pi * self.rng.uniform(0.8, 1.6) * self.time) > self.rng.uniform(-0.3, 0.3)
        return _band(self._white(), 500, 4000) * (0.15 + cycle) + 0.2 * self._hum(100, 6)

    def munching(self) -> np.ndarray:
        bite, crack = Noise(self.rng, SAMPLE_RATE // 4, self.split), partial(self._burst, 0.02, 0.002, 800, 7500)
        return self._events(self.rng.uniform(1.5, 2.5), partial(bite._events, 120, crack))

    def neighbor_speaking(self) -> np.ndarray:
        rng, texts = self.rng, COMMANDS["neighbours"][self.split]
        voice = f"{rng.choice(COMMANDS['accents'])}+{rng.choice(COMMANDS['neighbour_variants'][self.split])}"
        person = {"voice": voice, "pitch": int(rng.integers(30, 70)), "rate": int(rng.integers(140, 200)), "tract": 1.0}
        wave = np.zeros(0)
        while len(wave) < self.samples:
            wave = np.concatenate([wave, np.zeros(rng.integers(1600)), speak(str(rng.choice(texts)), person, rng)])
        return wave[: self.samples]

    def shutting_door(self) -> np.ndarray:
        return self._events(1.2, lambda: 3 * self._burst(0.8, 0.12, 40, 300) + self._burst(0.8, 0.02, 500, 5000))

    def _squeak(self) -> np.ndarray:
        length = round(self.rng.uniform(0.2, 0.6) * SAMPLE_RATE)
        pitch = np.linspace(*self.rng.uniform(400, 1800, 2), length)  # Hz
        phase = 2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE
        return np.hanning(length) * sum(np.sin(k * phase) / k for k in range(1, 5))

    def squeaky_chair(self) -> np.ndarray:
        return self._events(1.5, self._squeak) + self._events(3, partial(self._burst, 0.1, 0.02, 200, 1500))

    def traffic(self) -> np.ndarray:
        passing = 1 + 0.8 * np.sin(2 * np.pi * self.rng.uniform(0.1, 0.3) * self.time + self.rng.uniform(0, 6))
        return _band(self._white(), 40, 900) * passing + 0.1 * self._hum(self.rng.uniform(40, 80), 8)

    def typing(self) -> np.ndarray:
        rate = self.rng.uniform(5, 9)
        return self._events(rate, lambda: self._burst(0.08, self.rng.uniform(0.004, 0.015), 1200, 7000))

    def vacuum_cleaner(self) -> np.ndarray:
        return _band(self._white(), 200, 6000) + 0.3 * self._hum(self.rng.uniform(180, 320), 10)


# AirConditioner and so on, in the order above, which seeds them
RECIPES = {name.title().replace("_", ""): recipe for name, recipe in vars(Noise).items() if not name.startswith("_")}


def write_noise(root: Path, settings: dict[str, Any], split: str) -> None:
    """Write noise_train or noise_test under `root`: ``settings["noise_files"][split]`` files of every type."""
    folder = root / f"noise_{split}"
    folder.mkdir(parents=True, exist_ok=True)
    samples = round(settings["noise_seconds"] * SAMPLE_RATE)
    for index, (name, recipe) in enumerate(RECIPES.items()):
        for number in range(1, settings["noise_files"][split] + 1):
            rng = np.random.default_rng([settings["seed"], 4, split == "test", index, number])
            wave = recipe(Noise(rng, samples, split))
            if settings["recorded"]:
                wave = equalise(wave, draw_response(settings, rng))
            wave = wave / np.abs(wave).max() + rng.normal(scale=1e-3, size=samples)  # a room is never quite silent
            soundfile.write(folder / f"{name}_{number}.wav", 0.3 * wave, SAMPLE_RATE)
