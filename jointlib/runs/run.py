"""A configuration's network, and load_run(folder): a finished run, ready to enhance and to classify."""

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jointlib import SAMPLE_RATE
from jointlib.config import Config
from jointlib.corpora.audio import resample
from jointlib.corpora.contaminate import LEVEL_DB
from jointlib.runs.folder import FILES, SHIPPED, finished, load_weights, read_config
from jointlib.strategies import JointOutput

Wave = np.ndarray | Tensor
SILENT = 1e-4  # of full scale, -80 dB; a waveform with a lower peak, mean removed, is not classified
TILE, OVERLAP = 2**18, 2**14  # samples; longer waveforms are processed in tiles of 16 s, which overlap by 1 s


def build_network(config: Config, classes: int) -> nn.Module:
    """The strategy's network, randomly initialised, with the sizes that its constructor takes."""
    row = config.row
    frontend = {"kind": config.frontend or row.frontend}
    if frontend["kind"] == "wave_u_net":
        frontend |= {name: getattr(config, f"frontend_{name}") for name in ("layers", "channels", "chunk")}
    if frontend["kind"] == "mask_net":
        sizes = (*config.mask_filters, *config.mask_blocks)
        frontend |= dict(zip(("window", "hop", "channels", "hidden", "repeats", "blocks"), sizes, strict=True))
    backend = {name: getattr(config, f"tcn_{name}") for name in ("channels", "hidden", "repeats", "blocks")}
    backend |= {"classes": classes, "stem": config.stem if hasattr(row.network, "classify") else None}
    gradient = row.gradient if config.gradient is None else config.gradient
    sizes = {"frontend": frontend, "backend": backend, "mix_channels": config.mix_channels, "gradient": gradient}
    return row.network(**{name: sizes[name] for name in inspect.signature(row.network).parameters if name in sizes})


def matching_gain(enhanced: Tensor, noisy: Tensor) -> float:
    """The least-squares gain from an enhanced waveform (T,) to the noisy one, since JT leaves level and sign free."""
    energy = enhanced @ enhanced
    gain = float(enhanced @ noisy / energy) if energy > 0 else 0.0
    return gain or 1.0  # silence, or speech orthogonal to the input, is left as it is


def add_observation(enhanced: Tensor, noisy: Tensor, strength: float | Tensor) -> Tensor:
    """strength * enhanced + (1 - strength) * noisy, (T,), at one level; (S, T) for strengths (S, 1)."""
    return strength * enhanced + (1 - strength) * noisy


def loudest(wave: Tensor, samples: int) -> slice:
    """The loudest `samples` of a waveform (T,) as a slice, such as a command within silence; all of a shorter one."""
    if len(wave) <= samples:
        return slice(0, len(wave))
    energy = F.avg_pool1d(wave.square()[None], 160)  # of 10 ms
    window = torch.hann_window(samples // 160, periodic=False)[None, None]  # highest where the command is in the middle
    start = min(160 * int(F.conv1d(energy, window).argmax()), len(wave) - samples)
    return slice(start, start + samples)


def cross_fade(tiles: Sequence[Tensor], starts: Sequence[int]) -> Tensor:
    """Join tiles (B, N), which begin at `starts` and overlap by `OVERLAP` or more, with linear fades: (B, T)."""
    samples = tiles[0].shape[-1]
    rise = torch.arange(1, samples + 1).clamp(max=OVERLAP)
    fade = torch.minimum(rise, rise.flip(0)).float()
    joined, weight = torch.zeros(len(tiles[0]), starts[-1] + samples), torch.zeros(starts[-1] + samples)
    for start, tile in zip(starts, tiles, strict=True):
        joined[:, start : start + samples] += fade * tile
        weight[start : start + samples] += fade
    return joined / weight


def mono(wave: Wave) -> Tensor:
    """Average the channels of a waveform (C, T), or take one (T,): float32 (T,) on the CPU.

    Full scale is 1 for floats; int8, int16 and int32 are divided by theirs, as soundfile does. ValueError: another type
    or shape, such as the (T, C) in which soundfile returns several channels; pass its transpose.
    """
    if isinstance(wave, Tensor):
        wave = (wave.float() if wave.is_floating_point() else wave).detach().cpu()
    samples = np.asarray(wave)
    if samples.ndim not in (1, 2) or (samples.ndim == 2 and not 0 < samples.shape[0] <= samples.shape[1]):
        raise ValueError(f"a waveform of shape {samples.shape}; expected (T,), or (C, T) for C channels, not (T, C)")
    if samples.dtype.kind != "f" and samples.dtype.name not in ("int8", "int16", "int32"):
        raise ValueError(f"a waveform of {samples.dtype}; expected floats, int8, int16 or int32")
    full_scale = 1 if samples.dtype.kind == "f" else 2 ** (8 * samples.dtype.itemsize - 1)
    with np.errstate(over="ignore"):  # `Run.process` refuses what is not finite
        samples = samples.astype(np.float32) / np.float32(full_scale)
    return torch.from_numpy(samples if samples.ndim == 1 else samples.mean(axis=0))


@dataclass
class Run:
    """A finished run, ready to enhance and to classify."""

    folder: Path
    config: Config
    intents: list[str]
    model: nn.Module

    @torch.inference_mode()
    def process(
        self, wave: Wave, sample_rate: int = SAMPLE_RATE, level_db: float | None = LEVEL_DB, strength: float = 1.0
    ) -> tuple[Wave | None, Wave | None]:
        """Enhance and classify a waveform of any length and rate, (T,), or (C, T) in channels: see `mono`.

        It is resampled to 16 kHz and set to `level_db` dBFS RMS, near that of noisy speech in training; None leaves
        its level as it is. Enhanced speech comes back at the input's rate and length, with the level and sign that
        bring it closest to the input (`matching_gain`), or as the network computes it if `level_db` is None. With a
        `strength` below 1 the input is added back (`add_observation`), and a back-end on the waveform classifies the
        sum. A waveform shorter than the training clips is zero-padded. In a longer one, the loudest clip sets the level
        and is classified; one longer than 16 s is enhanced in cross-faded tiles.

        Returns: enhanced (T,) and probabilities (classes,), float32, as numpy arrays if `wave` is one, else as tensors
        on the CPU; None for a part that the run does not have. Silence has no intent: its probabilities are NaN.
        Raises ValueError: an invalid shape, type, rate or strength. FloatingPointError: a value is not finite.
        """
        given = mono(wave)
        if not (len(given) and 100 <= sample_rate <= 1_000_000 and 0 <= strength <= 1):
            told = f"{len(given)} samples at {sample_rate} Hz, strength {strength}"
            raise ValueError(f"{told}: expected one sample or more, 100 to 1,000,000 Hz, a strength of 0 to 1")
        resampled = resample(given, sample_rate)
        heard = loudest(resampled, self.config.clip_samples)
        rms = self._finite(resampled[heard].square().mean().sqrt()).clamp_min(1e-8)
        scale = 1.0 if level_db is None else 10 ** (level_db / 20) / rms
        enhanced, logits = self._compute(self.model, resampled[None, heard] * scale)
        if enhanced is not None and len(resampled) > self.config.clip_samples:
            enhanced = self._enhance_long(resampled[None] * scale)
        probabilities = None if logits is None else self._finite(logits[0]).softmax(dim=0)
        if enhanced is not None:
            made = self._finite(enhanced[0] / scale)
            enhanced = resample(made, SAMPLE_RATE, sample_rate)
            enhanced = F.pad(enhanced, (0, max(0, len(given) - len(enhanced))))[: len(given)]
            if strength < 1 or level_db is not None:
                gain = matching_gain(made, resampled)
                enhanced = add_observation(gain * enhanced, given, strength)
                if strength < 1 and hasattr(self.model, "classify"):
                    added = add_observation(gain * made, resampled, strength)
                    probabilities = self.classify(added[None, heard] * scale / gain)[0]
        if probabilities is not None and (given - given.mean()).abs().max() < SILENT:
            probabilities = torch.full_like(probabilities, torch.nan)
        found = (self._finite(enhanced), probabilities)
        return found if isinstance(wave, Tensor) else tuple(None if one is None else one.numpy() for one in found)

    @torch.inference_mode()
    def classify(self, waves: Tensor) -> Tensor:
        """Classify the loudest clip of waveforms (B, T) at 16 kHz by the back-end alone: probabilities (B, classes).

        Raises FloatingPointError: the output is not finite.
        """
        clips = torch.stack([wave[loudest(wave, self.config.clip_samples)] for wave in waves])
        _, logits = self._compute(lambda clips: JointOutput(None, self.model.classify(clips)), clips)
        return self._finite(logits).softmax(dim=1)

    def _compute(self, network: Callable[[Tensor], JointOutput], waves: Tensor) -> JointOutput:
        """enhanced (B, T) and logits (B, classes) of waveforms (B, T), on the CPU."""
        length = waves.shape[-1]
        padded = F.pad(waves, (0, max(0, self.config.clip_samples - length)))
        enhanced, logits = network(padded.unsqueeze(1).to(next(self.model.parameters()).device))
        enhanced = None if enhanced is None else enhanced[:, 0, :length].cpu()
        return JointOutput(enhanced, None if logits is None else logits.cpu())

    def _enhance_long(self, waves: Tensor) -> Tensor:
        """Enhance waveforms (B, T), longer than a clip; what is longer than 16 s in tiles: (B, T)."""
        length = waves.shape[-1]
        if length <= (tile := max(TILE, self.config.clip_samples)):
            return self._compute(self.model, waves).enhanced
        last = math.ceil((length - tile) / (tile - OVERLAP))
        starts = [index * (length - tile) // last for index in range(last + 1)]
        return cross_fade([self._compute(self.model, waves[:, at : at + tile]).enhanced for at in starts], starts)

    def _finite(self, values: Tensor | None) -> Tensor | None:
        if values is not None and not values.isfinite().all():
            raise FloatingPointError(f"{self.folder}: the output for this recording is not finite; is it too loud?")
        return values


def load_run(folder: Path | str, device: str | torch.device = "cpu") -> Run:
    """Load a finished run: ``load_run("results/quick/runs/jt_alpha0.5_seed0").process(wave, sample_rate)``.

    The name of a strategy, such as ``"detached"``, stands for its shipped model.
    FileNotFoundError: no finished run there. UnusableFile names the file that cannot be used; nothing is ever executed.
    RuntimeError: there is no such device.
    """
    folder = Path(folder)
    if not finished(folder) and len(folder.parts) == 1:
        folder = next(filter(finished, sorted(SHIPPED.glob(f"{folder}_*seed0"))), folder)
    if not finished(folder):
        missing = ", ".join(name for name in FILES if not (folder / name).is_file())
        raise FileNotFoundError(f"{folder}: not a finished run, it lacks {missing}; look in results/PROFILE/runs")
    config, intents = read_config(folder)
    config = config.replace(device=str(device))
    with torch.device("meta"):  # neither memory nor random numbers for weights that are replaced
        model = build_network(config, len(intents))
    load_weights(model, folder, assign=True)
    return Run(folder, config, intents, model.to(config.torch_device).eval())
