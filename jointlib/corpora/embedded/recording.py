"""Recording conditions: what a voice, a room and a microphone add to synthesised speech, drawn at random.

Each speaker has a place, that is a microphone and a room, and each utterance of it is recorded anew there. The
clean reference is the recording, as it is in a corpus of recorded speech: enhancement is not asked to undo the room.
"""

from typing import Any

import numpy as np
from scipy.ndimage import map_coordinates
from scipy.signal import fftconvolve, firwin2

from jointlib import SAMPLE_RATE

OCTAVES = np.array([0, 62.5, 125, 250, 500, 1000, 2000, 4000, 8000])  # Hz, where a microphone's response is drawn


def draw_place(settings: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """Draw a microphone and a room from the ranges of `EmbeddedCorpus`.

    The room is Polack's statistical model (1988): a direct sound, and a tail of Gaussian noise whose energy falls by
    60 dB within the reverberation time. The floor has a power spectrum of 1 / f ** floor_slope, white (0) to red (2).
    """
    return {
        "response_db": draw_response(settings, rng),
        "reverberation_seconds": rng.uniform(*settings["reverberation_seconds"]),
        "direct_db": rng.uniform(*settings["direct_db"]),
        "floor_db": rng.uniform(*settings["floor_db"]),
        "floor_slope": rng.uniform(0, 2),
    }


def unsteady(speech: np.ndarray, settings: dict[str, Any], rng: np.random.Generator) -> np.ndarray:
    """Let pitch and tempo of speech (T,) wander with the standard deviation `unsteadiness`, and its level with five
    times that: slowly (2 and 4 Hz), and pitch also quickly (12 Hz), as the jitter of a voice does."""
    depth = settings["unsteadiness"]
    tempo = (1 + depth * (_wander(len(speech), 2, rng) + 0.5 * _wander(len(speech), 12, rng))).clip(0.5)
    moments = np.cumsum(tempo) - tempo[0]
    resampled = map_coordinates(speech, [moments[moments < len(speech)]], mode="nearest")  # cubic splines
    return resampled * (1 + 5 * depth * _wander(len(resampled), 4, rng)).clip(0.2)


def record(speech: np.ndarray, place: dict[str, Any], settings: dict[str, Any], rng: np.random.Generator) -> np.ndarray:
    """Record speech (T,) at 16 kHz in a place, begun at a random moment in `recording_seconds` of its room tone: (T,),
    as long as the speech where that is longer."""
    speech = unsteady(speech, settings, rng)
    rms = np.sqrt((speech**2).mean())
    around = max(0, round(settings["recording_seconds"] * SAMPLE_RATE) - len(speech))
    before = rng.integers(around + 1)
    speech = np.pad(speech, (before, around - before))
    time = np.arange(1, round(place["reverberation_seconds"] * SAMPLE_RATE)) / SAMPLE_RATE
    tail = rng.normal(size=len(time)) * 10 ** (-3 * time / place["reverberation_seconds"])
    tail *= 10 ** (-place["direct_db"] / 20) / np.sqrt((tail**2).sum())
    sound = fftconvolve(speech, np.concatenate([[1.0], tail]))[: len(speech)]
    frequencies = np.fft.rfftfreq(len(sound), 1 / SAMPLE_RATE).clip(50)  # Hz; the floor is flat below 50
    spectrum = np.fft.rfft(rng.normal(size=len(sound))) * frequencies ** (-place["floor_slope"] / 2)
    floor = np.fft.irfft(spectrum, len(sound))
    floor = floor / np.sqrt((floor**2).mean()) * rms * 10 ** (-place["floor_db"] / 20)
    return equalise(sound + floor, place["response_db"])


def draw_response(settings: dict[str, Any], rng: np.random.Generator) -> np.ndarray:
    """Draw a microphone's response at `OCTAVES` in dB, a random walk."""
    steps = np.cumsum(rng.normal(scale=settings["microphone_db"], size=len(OCTAVES)))
    return steps - steps.mean()


def equalise(wave: np.ndarray, response_db: np.ndarray) -> np.ndarray:
    """Filter a waveform (T,) by a response at `OCTAVES` in dB, without delay."""
    return fftconvolve(wave, firwin2(129, OCTAVES, 10 ** (response_db / 20), fs=SAMPLE_RATE), mode="same")


def _wander(samples: int, hertz: float, rng: np.random.Generator) -> np.ndarray:
    """A smooth random curve (T,) of variance about 1 that changes `hertz` times a second."""
    knots = rng.normal(size=int(samples / SAMPLE_RATE * hertz) + 2)
    return np.interp(np.arange(samples) / SAMPLE_RATE * hertz, np.arange(len(knots)), knots)
