"""What the audition computes, as plain functions: sounds in, channels, readings, the player's bytes, files out."""

import io
import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile
import torch
import torchaudio.functional as AF
from torch import Tensor

from jointlib import SAMPLE_RATE
from jointlib.corpora.audio import read_audio, resample
from jointlib.corpora.contaminate import mix
from jointlib.corpora.noises import Noises
from jointlib.runs.drawings import log_mel
from jointlib.runs.run import Run, load_run

LONGEST, SHORTEST = 30.0, 0.1  # seconds
LOUDNESS = -26.0  # LUFS of a loudness-matched channel, lower for all when one of them would clip
RANGE_DB = 70.0  # of the spectrograms' colour scale
open_run = lru_cache(8)(load_run)  # sliders ask for the same runs again and again


class SoundError(Exception):
    """A sound that cannot be auditioned, in one line of plain words."""


class Excerpt(NamedTuple):
    """A stretch of noise (T,), its file, and the sample of it that it begins at."""

    wave: Tensor
    file: str
    offset: int


class Take(NamedTuple):
    """What a run makes of a noisy wave: `enhanced` (T,), scaled by `gain` to fit the noisy wave best, since JT leaves
    the level free (the noisy wave itself without a front-end), and its own `probabilities` (classes,) or None.
    """

    run: Run
    enhanced: Tensor
    gain: float
    probabilities: Tensor | None


class Reading(NamedTuple):
    """What a classifier makes of a sound: what it read, who it is, probabilities (classes,) and the intents' names."""

    title: str
    by: str
    probabilities: Tensor
    intents: list[str]


def decode(content: bytes, name: str) -> Tensor:
    """A file's content, anything that soundfile reads, as a wave (T,) at 16 kHz.

    Raises:
        SoundError: not audio, shorter than 0.1 s or longer than 30 s, or silent.
    """
    file = io.BytesIO(content)
    try:
        seconds = soundfile.info(file).duration
        file.seek(0)
        wave = resample(*read_audio(file)) if SHORTEST <= seconds <= LONGEST else torch.empty(0)
    except (soundfile.SoundFileError, ValueError) as error:
        raise SoundError(f"{name} cannot be read as audio; choose a wav, flac, ogg or mp3 file.") from error
    return check_sound(wave, name, seconds)


def check_sound(wave: Tensor, name: str, seconds: float | None = None) -> Tensor:
    """The wave (T,) at 16 kHz if it can be auditioned, else SoundError; `seconds` where it is not all there."""
    seconds = len(wave) / SAMPLE_RATE if seconds is None else seconds
    if not SHORTEST <= seconds <= LONGEST:
        raise SoundError(f"{name} lasts {seconds:,.2f} s; choose a sound of {SHORTEST:g} s to {LONGEST:g} s.")
    if not wave.abs().max() > 1e-4:
        raise SoundError(f"{name} is silent: there is nothing to hear or to classify.")
    return wave


def excerpt(noises: Noises, kind: str, samples: int, rng: np.random.Generator) -> Excerpt:
    """Draw a recording of one type of noise and where to begin in it, as contamination does."""
    row = int(rng.choice(np.flatnonzero(noises.manifest.type == kind)))
    offset = int(rng.choice(noises.sounding[row]))
    return Excerpt(noises.stretch(row, offset, samples), noises.manifest.file[row].name, offset)


def contaminate(speech: Tensor, noise: Tensor | None, snr_db: float, mixer: str = "exact") -> tuple[Tensor, Tensor]:
    """clean and noisy (T,) of speech (T,) and noise (T,) or none, at the levels of training (see `mix`)."""
    noise = torch.zeros_like(speech) if noise is None else noise
    mixture = mix(speech[None], noise[None], torch.tensor([len(speech)]), torch.tensor([float(snr_db)]), mixer)
    return mixture.clean[0], mixture.noisy[0]


def take(run: Run, noisy: Tensor) -> Take:
    """Enhance and classify a noisy wave (T,) that is at the level of training."""
    enhanced, probabilities = run.process(noisy, level_db=None)
    if enhanced is None:
        return Take(run, noisy, 1.0, probabilities)
    power = float(enhanced.square().sum())
    gain = float(enhanced @ noisy) / power if power > 0 else 1.0
    return Take(run, enhanced * gain, gain or 1.0, probabilities)


def hear(made: Take, noisy: Tensor, strength: float) -> Tensor:
    """Observation adding: strength * enhanced + (1 - strength) * noisy, (T,); strength from 0, dry, to 1, wet."""
    return strength * made.enhanced + (1 - strength) * noisy


def read(made: Take, listener: Run | None, heard: Tensor) -> Tensor | None:
    """Probabilities (S, classes) given to what is heard of a run, (S, T); None when nobody can read it.

    Its own back-end gives them where that reads a wave, at the level that its front-end gives it; else `listener`.
    """
    if made.run.classifies_wave:
        return made.run.classify(heard / made.gain)
    return None if listener is None else listener.classify(heard)


def sweep(made: Take, listener: Run | None, noisy: Tensor, strengths: np.ndarray) -> Tensor | None:
    """The readings (S, classes) at several strengths (S,)."""
    return read(made, listener, torch.stack([hear(made, noisy, float(value)) for value in strengths]))


def readings(
    waves: Mapping[str, Tensor], takes: Mapping[str, Take], listener: Run | None, listener_title: str
) -> list[Reading]:
    """Readings of the channels clean and noisy by `listener`, of ``enhanced A`` and ``enhanced B`` as `read` says.

    A run whose back-end reads the bottleneck gives its own reading besides: that of the noisy wave, at any strength.
    """
    found = []
    for name in ("clean", "noisy") if listener is not None else ():
        found.append(Reading(name, listener_title, listener.classify(waves[name][None])[0], listener.intents))
    for lane, made in takes.items():
        if made.probabilities is not None and not made.run.classifies_wave:
            title, by = f"{lane}: the bottleneck", "its own classifier, at any strength"
            found.append(Reading(title, by, made.probabilities, made.run.intents))
        reader = made.run if made.run.classifies_wave else listener
        if reader is not None:
            by = "its own classifier" if reader is made.run else listener_title
            heard = read(made, listener, waves[f"enhanced {lane}"][None])[0]
            found.append(Reading(f"enhanced {lane}", by, heard, reader.intents))
    return found


def channels(clean: Tensor, noisy: Tensor, heard: Mapping[str, Tensor], removed_by: str) -> dict[str, Tensor]:
    """What the player offers, by name: clean, noisy, what is heard of A and B, and the residual of one of them."""
    waves = {"clean": clean, "noisy": noisy} | {f"enhanced {lane}": wave for lane, wave in heard.items()}
    return waves | ({"residual": noisy - heard[removed_by]} if removed_by in heard else {})


def loudness_gains(waves: Mapping[str, Tensor]) -> dict[str, float]:
    """Gains that bring channels (T,) to one loudness (ITU-R BS.1770); all are lowered when one would clip.

    The residual takes the gain of the noisy channel: how much was removed is to be heard.
    """
    gains = {}
    for name, wave in waves.items():
        long_enough = torch.nn.functional.pad(wave, (0, max(0, SAMPLE_RATE // 2 - len(wave))))  # BS.1770 wants 0.4 s
        loudness = float(AF.loudness(long_enough[None], SAMPLE_RATE)) if wave.abs().max() > 1e-5 else float("nan")
        gains[name] = 10 ** ((LOUDNESS - loudness) / 20) if np.isfinite(loudness) else 1.0
    gains["residual"] = gains.get("noisy", 1.0)
    peak = max(0.99, *(gains[name] * float(wave.abs().max()) for name, wave in waves.items()))
    return {name: gain * 0.99 / peak for name, gain in gains.items()}


def player_sound(waves: Mapping[str, Tensor], gains: Mapping[str, float]) -> dict[str, Any]:
    """Channels as the player wants them: ``audio``, int16 one after the other, divided by ``peak``; ``mels``, log-mel
    spectrograms on one scale, a byte for each of 64 bands a frame, 255 at the maximum of all.
    """
    samples = torch.stack(list(waves.values()))  # (N, T)
    peak = max(float(samples.abs().max()), 1e-6)
    decibels = log_mel(samples)  # (N, 64, F)
    shades = ((decibels - decibels.max()) / RANGE_DB + 1).clip(0, 1) * 255
    return {
        "names": list(waves),
        "gains": [gains[name] for name in waves],
        "peak": peak,
        "sample_rate": SAMPLE_RATE,
        "audio": (samples / peak * 32767).round().to(torch.int16).numpy().tobytes(),
        "mels": shades.round().astype(np.uint8).transpose(0, 2, 1).tobytes(),
        "range_db": RANGE_DB,
    }


def export(folder: Path, waves: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """Write the channels into a new folder as 16-bit wavs on one scale; about.json says which, and what they are."""
    folder.mkdir(parents=True)
    scale = 0.99 / max(0.99, *(float(wave.abs().max()) for wave in waves.values()))
    for name, wave in waves.items():
        soundfile.write(folder / f"{name.replace(' ', '_')}.wav", (wave * scale).numpy(), SAMPLE_RATE, "PCM_16")
    (folder / "about.json").write_text(json.dumps({**about, "scale": scale}, indent=2))
