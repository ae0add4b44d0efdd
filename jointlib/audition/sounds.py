"""Computations of the audition: its channels, their classification, and their format for the player. No widgets."""

import io
from collections.abc import Callable, Mapping
from functools import lru_cache
from html import escape
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
import torchaudio.functional as AF
from IPython.display import HTML, Audio
from torch import Tensor

from jointlib import SAMPLE_RATE
from jointlib.corpora.audio import read_audio, resample
from jointlib.corpora.contaminate import LEVEL_DB
from jointlib.findings.figures import log_mel
from jointlib.runs.run import Run, add_observation, load_run, loudest, matching_gain

LONGEST, SHORTEST = 30.0, 0.1  # seconds
RANGE_DB = 70.0  # of the spectrograms' colour scale
LOUDNESS = -26.0  # LUFS of every channel; lower for all of them if one would clip
Enhancer = Callable[[np.ndarray], np.ndarray]  # waveform (T,), float32 at 16 kHz, to the enhanced one, of equal length
Intents = dict[str, float]  # every intent with its probability

open_run = lru_cache(8)(load_run)  # sliders request the same runs repeatedly


class SoundError(Exception):
    """A recording or a choice that cannot be used; the text, one line, says why and what to do."""


class Enhanced(NamedTuple):
    """A noisy waveform (T,), enhanced by a run or another enhancer.

    `wave` (T,) is the enhanced waveform times `gain`, which fits it to `noisy` in the least-squares sense (JT leaves
    its level free); without a front-end it is `noisy`. `intents` are those of the run's own back-end, or None.
    `classifier` classifies waveforms: the run itself if its back-end does, else the listener, or None.
    """

    run: Run | Enhancer
    noisy: Tensor
    wave: Tensor
    gain: float
    intents: Intents | None
    classifier: Run | None

    def at(self, strength: float) -> Tensor:
        """The waveform (T,) at a strength: see `add_observation`."""
        return add_observation(self.wave, self.noisy, strength)

    def classify(self, wave: Tensor) -> Intents:
        """The classifier's probabilities of intents for a waveform (T,) at the level of `wave`."""
        gain = self.gain if self.classifier is self.run else 1.0  # its back-end was trained at its front-end's level
        return classify(self.classifier, wave / gain)


def decode(content: bytes, name: str) -> Tensor:
    """The content of an audio file as a waveform (T,) at 16 kHz. SoundError: not audio, not 0.1 to 30 s, or silent."""
    try:
        wave, sample_rate = read_audio(io.BytesIO(content))
    except ValueError as error:
        raise SoundError(f"{name} cannot be read as audio; choose a wav, flac, ogg or mp3 file.") from error
    seconds = len(wave) / sample_rate
    if not SHORTEST <= seconds <= LONGEST:
        raise SoundError(f"{name} lasts {seconds:,.2f} s; choose a recording of {SHORTEST:g} s to {LONGEST:g} s.")
    if wave.abs().max() < 1e-4:
        raise SoundError(f"{name} is silent: there is nothing to enhance or to classify.")
    return resample(wave, sample_rate)


def training_level(speech: Tensor, samples: int) -> float:
    """The gain that sets the loudest clip of speech (T,) to the level of training; silence around it does not count."""
    return 10 ** (LEVEL_DB / 20) / max(float(speech[loudest(speech, samples)].square().mean().sqrt()), 1e-8)


def enhance(run: Run | Enhancer, noisy: Tensor, listener: Run | None = None) -> Enhanced:
    """Enhance a noisy waveform (T,) at its own level; `listener` classifies where the run classifies no waveform."""
    intents, classifier = None, listener
    if isinstance(run, Run):
        wave, probabilities = run.process(noisy, level_db=None)
        if probabilities is not None:
            intents = dict(zip(run.intents, probabilities.tolist(), strict=True))
        classifier = run if hasattr(run.model, "classify") else listener
    else:
        wave = torch.from_numpy(run(noisy.numpy())).float()
    wave = noisy if wave is None else wave
    gain = matching_gain(wave, noisy)
    return Enhanced(run, noisy, wave * gain, gain, intents, classifier)


def classify(run: Run, wave: Tensor) -> Intents:
    """The probabilities of intents by a run's back-end for a waveform (T,)."""
    return dict(zip(run.intents, run.classify(wave[None])[0].tolist(), strict=True))


def classify_all(
    waves: Mapping[str, Tensor], enhanced: Mapping[str, Enhanced], listener: Run | None
) -> list[tuple[str, str, Intents]]:
    """Classify every channel (T,) that can be, and every bottleneck: channel, name of the classifier, and intents."""
    found = []
    if listener is not None:
        found = [(channel, "listener", classify(listener, waves[channel])) for channel in ("clean", "noisy")]
    for lane, made in enhanced.items():
        own = made.classifier is made.run
        if made.intents and not own:
            found.append((f"{lane}: the bottleneck", "its own classifier, at any strength", made.intents))
        if made.classifier is not None:
            channel, by = f"enhanced {lane}", "its own classifier" if own else "listener"
            found.append((channel, by, made.classify(waves[channel])))
    return found


def channels(
    clean: Tensor, noisy: Tensor, enhanced: Mapping[str, Enhanced], strength: float = 1.0, residual_of: str = "A"
) -> dict[str, Tensor]:
    """The player's channels (T,) by name: clean, noisy, enhanced A and B, and the residual of one of them, if any."""
    waves = {"clean": clean, "noisy": noisy}
    waves |= {f"enhanced {lane}": made.at(strength) for lane, made in enhanced.items()}
    return waves | ({"residual": noisy - waves[f"enhanced {residual_of}"]} if enhanced else {})


def loudness_gains(waves: Mapping[str, Tensor]) -> dict[str, float]:
    """Gains that bring channels (T,) to one loudness (ITU-R BS.1770), since listeners tend to prefer the louder."""
    samples = torch.stack(list(waves.values()))  # (N, T)
    long_enough = F.pad(samples, (0, max(0, SAMPLE_RATE // 2 - samples.shape[1])))  # BS.1770 needs 0.4 s
    loudness = AF.loudness(long_enough[:, None], SAMPLE_RATE).nan_to_num(LOUDNESS, neginf=LOUDNESS)  # NaN: inaudible
    gains = dict(zip(waves, (10 ** ((LOUDNESS - loudness) / 20)).tolist(), strict=True))
    if "residual" in waves:
        gains["residual"] = gains["noisy"]  # as loud as it is within the noisy speech
    peak = max(0.99, *(gains[name] * float(wave.abs().max()) for name, wave in waves.items()))
    return {name: gain * 0.99 / peak for name, gain in gains.items()}


def player_sound(waves: Mapping[str, Tensor]) -> dict[str, Any]:
    """Channels (T,) for the player, with their `loudness_gains`. ``audio``, int16 (N, T), is scaled to ``peak``;
    ``mels``, uint8 (N, F, 64), are log-mel spectrograms: 255 at the maximum of all, 0 at ``range_db`` below it."""
    gains, samples = loudness_gains(waves), torch.stack(list(waves.values()))  # (N, T)
    peak = max(float(samples.abs().max()), 1e-6)
    decibels = log_mel(samples)  # (N, 64, F)
    shades = ((decibels - decibels.max()) / RANGE_DB + 1).clip(0, 1) * 255
    return {
        "names": list(waves),
        "gains": list(gains.values()),
        "peak": peak,
        "sample_rate": SAMPLE_RATE,
        "range_db": RANGE_DB,
        "audio": (samples / peak * 32767).round().to(torch.int16).numpy().tobytes(),
        "mels": shades.round().astype(np.uint8).transpose(0, 2, 1).tobytes(),
    }


def players(waves: Mapping[str, Tensor]) -> HTML:
    """A labelled audio player for each waveform (T,) at 16 kHz, all at one loudness."""
    gains, figures = loudness_gains(waves), []
    for name, wave in waves.items():
        player = Audio((gains[name] * wave).numpy(), rate=SAMPLE_RATE, normalize=False)._repr_html_()
        figures.append(f"<figure style='margin: 0'><figcaption>{escape(name)}</figcaption>{player}</figure>")
    return HTML(f"<div style='display: flex; flex-wrap: wrap; gap: 1em'>{''.join(figures)}</div>")
