"""What the audition computes, as plain functions: from a sound to channels, classifications, player and files."""

import io
import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import soundfile
import torch
from IPython.display import HTML, Audio
from torch import Tensor

from jointlib import SAMPLE_RATE
from jointlib.config import Config, without
from jointlib.corpora.audio import loudness_gains, read_audio, resample
from jointlib.corpora.contaminate import mix
from jointlib.corpora.noises import Noises
from jointlib.runs.figures import log_mel, spectrograms
from jointlib.runs.folder import finished, run_folder
from jointlib.runs.run import Run, add_observation, load_run, matching_gain
from jointlib.runs.scores import read_run

LONGEST, SHORTEST = 30.0, 0.1  # seconds
STRENGTHS = torch.linspace(0, 1, 21)  # of the strips
RANGE_DB = 70.0  # of the spectrograms' colour scale
TELLING_DB = (0.0, 5.0)  # SNRs at which strategies differ
Enhancer = Callable[[np.ndarray], np.ndarray]  # of others: wave (T,) float32 at 16 kHz in, and out, as long


class SoundError(Exception):
    """A sound that cannot be used, in one line of plain words."""


def open_run(folder: Path, device: str | torch.device) -> Run:
    """`load_run`, once for all: sliders ask for the same runs again and again. One that was trained anew is another."""
    weights = folder / "weights.safetensors"
    return _opened(folder, device, weights.stat().st_mtime_ns if weights.exists() else 0)  # load_run says what is wrong


@lru_cache(8)
def _opened(folder: Path, device: str | torch.device, _made_ns: int) -> Run:
    return load_run(folder, device)


class Enhanced(NamedTuple):
    """What a run, or another enhancer, makes of the wave `noisy` (T,).

    `wave` (T,) is the enhanced wave times `gain`, which fits it best to `noisy`: JT leaves the level free. Without a
    front-end it is `noisy` itself. `probabilities` (classes,) are those of the run's own back-end, if it has one.
    `classifier` is the run itself if its back-end classifies waves, otherwise the listener, if there is one.
    """

    run: Run | Enhancer
    noisy: Tensor
    wave: Tensor
    gain: float
    probabilities: Tensor | None
    classifier: Run | None

    def at(self, strength: float | Tensor) -> Tensor:
        """`add_observation` at a strength, (T,); (S, T) for strengths (S, 1)."""
        return add_observation(self.wave, self.noisy, strength)

    def classify(self, waves: Tensor) -> Tensor:
        """Probabilities (S, classes) that `classifier` gives to waves (S, T) such as those of `at`."""
        gain = self.gain if self.classifier is self.run else 1.0  # a run's back-end knows its own front-end's level
        return self.classifier.classify(waves / gain)


def decode(content: bytes, name: str) -> Tensor:
    """A file's content as a wave (T,) at 16 kHz. SoundError: not audio, not 0.1 to 30 s long, or silent."""
    file = io.BytesIO(content)
    try:
        seconds = soundfile.info(file).duration
        if seconds > 1e12:  # what FLAC that was written to a pipe says
            raise SoundError(f"{name} does not tell how long it is; write it again to a file, as flac or wav.")
        if not SHORTEST <= seconds <= LONGEST:
            raise SoundError(f"{name} lasts {seconds:,.2f} s; choose a sound of {SHORTEST:g} s to {LONGEST:g} s.")
        file.seek(0)
        wave = resample(*read_audio(file))
    except (soundfile.SoundFileError, ValueError) as error:
        raise SoundError(f"{name} cannot be read as audio; choose a wav, flac, ogg or mp3 file.") from error
    if not wave.abs().max() > 1e-4:
        raise SoundError(f"{name} is silent: there is nothing to enhance or to classify.")
    return wave


def telling_row(plan: pd.DataFrame, run_a: Path, run_b: Path) -> int:
    """The first row of a test plan, at `TELLING_DB`, whose intent run B understands and run A does not; 0 where there
    is none, or where one of the two is not finished, or classifies nothing. UnusableFile: see `read_run`."""
    tells = plan.snr_db.between(*TELLING_DB).to_numpy()
    for folder, correct in ((run_a, 0), (run_b, 1)):
        scores = read_run(folder) if finished(folder) else plan[:0]
        if "correct" not in scores:
            return 0
        scores = scores.set_index("path").reindex(plan.path)
        tells = tells & (scores.correct == correct).to_numpy() & (scores.snr_db.to_numpy() == plan.snr_db.to_numpy())
    return int(tells.argmax())


def listener_folder(config: Config) -> Path:
    """The run whose classifier, trained on clean speech, reads a wave where a run's own does not."""
    own = {"strategy": "classifier_clean", "init": "scratch", "variant": without(config.variant, ("init",))}
    return run_folder(config.replace(**own))


def draw_excerpt(noises: Noises, kind: str, rng: np.random.Generator) -> dict[str, Any]:
    """Draw noise (a row of the noises, of one type), noise_file and offset (samples), as a contamination plan does."""
    row = int(rng.choice(np.flatnonzero(noises.manifest.type == kind)))
    return {"noise": row, "noise_file": noises.manifest.file[row].name, "offset": int(rng.choice(noises.sounding[row]))}


def contaminate(speech: Tensor, noise: Tensor | None, snr_db: float, mixer: str = "exact") -> tuple[Tensor, Tensor]:
    """clean and noisy (T,) from speech (T,) and noise (T,) or none, at the levels of training (see `mix`)."""
    noise = torch.zeros_like(speech) if noise is None else noise
    mixture = mix(speech[None], noise[None], torch.tensor([len(speech)]), torch.tensor([float(snr_db)]), mixer)
    return mixture.clean[0], mixture.noisy[0]


def enhance(run: Run | Enhancer, noisy: Tensor, listener: Run | None = None) -> Enhanced:
    """Enhance a noisy wave (T,) at the level of training; `listener` classifies for a run that classifies no wave."""
    if isinstance(run, Run):
        wave, probabilities = run.process(noisy, level_db=None)
        classifier = run if run.model.waves == 1 else listener
    else:
        wave, probabilities = torch.from_numpy(run(noisy.numpy())).float(), None
        classifier = listener
    if wave is None:
        return Enhanced(run, noisy, noisy, 1.0, probabilities, classifier)
    gain = matching_gain(wave, noisy)
    return Enhanced(run, noisy, wave * gain, gain, probabilities, classifier)


def likeliest(probabilities: Tensor, intents: list[str]) -> list[tuple[str, float]]:
    """All intents with their probabilities (classes,), the likeliest first."""
    values, labels = probabilities.sort(descending=True)
    return [(intents[label], value) for value, label in zip(values.tolist(), labels.tolist(), strict=True)]


def classify_all(
    waves: Mapping[str, Tensor], enhanced: Mapping[str, Enhanced], listener: Run | None, listener_title: str
) -> list[tuple[str, str, list[tuple[str, float]]]]:
    """Channels that can be classified: name, by whom, the intents (`likeliest`); and each bottleneck, by its run."""
    found = []
    for name in ("clean", "noisy") if listener is not None else ():
        found.append((name, listener_title, listener, listener.classify(waves[name][None])[0]))
    for lane, made in enhanced.items():
        own = made.classifier is made.run
        if made.probabilities is not None and not own:
            title = f"{lane}: the bottleneck"
            found.append((title, "its own classifier, at any strength", made.run, made.probabilities))
        if made.classifier is not None:
            title, by = f"enhanced {lane}", "its own classifier" if own else listener_title
            found.append((title, by, made.classifier, made.classify(waves[title][None])[0]))
    return [(sound, by, likeliest(values, run.intents)) for sound, by, run, values in found]


def sweep(made: Enhanced, strengths: Tensor) -> list[tuple[float, str, float]]:
    """Each of the strengths (S,) with the likeliest intent at it, and that intent's probability."""
    pairs = zip(strengths.tolist(), made.classify(made.at(strengths[:, None])), strict=True)
    return [(strength, *likeliest(values, made.classifier.intents)[0]) for strength, values in pairs]


def channels(clean: Tensor, noisy: Tensor, enhanced: Mapping[str, Tensor], residual_of: str) -> dict[str, Tensor]:
    """The player's channels by name: clean, noisy, enhanced A and B, and the residual of one of them, each (T,)."""
    waves = {"clean": clean, "noisy": noisy} | {f"enhanced {lane}": wave for lane, wave in enhanced.items()}
    return waves | ({"residual": noisy - enhanced[residual_of]} if residual_of in enhanced else {})


def player_sound(waves: Mapping[str, Tensor]) -> dict[str, Any]:
    """Channels (T,) for the player, with their `loudness_gains`; ``audio``, int16 (N, T), is divided by ``peak``
    and ``mels``, uint8 (N, F, 64), log-mel spectrograms with 255 at the maximum of all and 0 ``range_db`` below it."""
    gains, samples = loudness_gains(waves), torch.stack(list(waves.values()))  # (N, T)
    peak = max(float(samples.abs().max()), 1e-6)
    decibels = log_mel(samples)  # (N, 64, F)
    shades = ((decibels - decibels.max()) / RANGE_DB + 1).clip(0, 1) * 255
    about = {"names": list(waves), "gains": [gains[name] for name in waves], "peak": peak}
    audio = (samples / peak * 32767).round().to(torch.int16).numpy().tobytes()
    mels = shades.round().astype(np.uint8).transpose(0, 2, 1).tobytes()
    return about | {"sample_rate": SAMPLE_RATE, "range_db": RANGE_DB, "audio": audio, "mels": mels}


def players(waves: Mapping[str, Tensor]) -> HTML:
    """A labelled player for each wave (T,) at 16 kHz, all at one loudness; for a notebook, or a page made of one."""
    gains, shown = loudness_gains(waves), []
    for name, wave in waves.items():
        player = Audio((gains[name] * wave).numpy(), rate=SAMPLE_RATE, normalize=False)._repr_html_()
        shown.append(f"<figure style='margin: 0'><figcaption>{escape(name)}</figcaption>{player}</figure>")
    return HTML(f"<div style='display: flex; flex-wrap: wrap; gap: 1em'>{''.join(shown)}</div>")


def export(folder: Path, waves: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """Write channels (T,) as 16-bit wavs on one scale, about.json and spectrograms.png into a folder, a new one."""
    folder.mkdir(parents=True)
    scale = 0.99 / max(0.99, *(float(wave.abs().max()) for wave in waves.values()))
    for name, wave in waves.items():
        soundfile.write(folder / f"{name.replace(' ', '_')}.wav", (wave * scale).numpy(), SAMPLE_RATE, "PCM_16")
    (folder / "about.json").write_text(json.dumps({**about, "scale": scale}, indent=2))
    figure = spectrograms({name: wave.numpy() for name, wave in waves.items()})
    figure.savefig(folder / "spectrograms.png")
    plt.close(figure)
