"""A configuration's network, and load_run(folder): a finished run, ready to enhance and to classify."""

import inspect
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from jointlib import SAMPLE_RATE
from jointlib.config import Config
from jointlib.corpora.audio import Wave, mono, resample
from jointlib.corpora.contaminate import LEVEL_DB
from jointlib.fast.cpu import fast_cpu
from jointlib.runs.folder import FILES, finished, read_config, read_weights
from jointlib.runs.tiles import enhance_in_tiles
from jointlib.strategies import STRATEGIES
from jointlib.support.files import UnusableFile
from jointlib.tcn import ResidualBlock
from jointlib.waveunet import WaveUNet

LONGEST = 24 * 3600  # seconds of sound at once


def build_network(config: Config, classes: int) -> nn.Module:
    """The strategy's network with fresh weights."""
    row, network = STRATEGIES[config.strategy], STRATEGIES[config.strategy].network
    (window, hop), (channels, hidden, repeats, blocks) = config.mask_filters, config.mask_blocks
    mask = {"window": window, "hop": hop, "channels": channels, "hidden": hidden, "repeats": repeats, "blocks": blocks}
    unet = {name: getattr(config, f"frontend_{name}") for name in ("layers", "channels", "chunk")}
    sizes_of = {"wave_u_net": unet, "mask_net": mask}  # any other front-end has the sizes that it is written with
    frontend = {"kind": config.enhances_by} | sizes_of.get(config.enhances_by, {})
    gradient = row.gradient if config.gradient is None else config.gradient
    backend = {name: getattr(config, f"tcn_{name}") for name in ("channels", "hidden", "repeats", "blocks")}
    backend |= {"classes": classes, "stem": config.stem if network.waves else None}
    sizes = {"frontend": frontend, "backend": backend, "mix_channels": config.mix_channels, "gradient": gradient}
    return network(**{name: sizes[name] for name in inspect.signature(network).parameters})


class CheckpointedBlock(ResidualBlock):
    """Keeps its input alone and computes the rest again on the way back."""

    def forward(self, features: Tensor) -> Tensor:
        if not features.requires_grad:
            return super().forward(features)
        return checkpoint(super().forward, features, use_reentrant=False)


def save_memory(model: nn.Module) -> nn.Module:
    """Have the classifier's blocks keep their inputs only: less memory, more time, the same numbers."""
    for module in model.modules():
        if type(module) is ResidualBlock:
            module.__class__ = CheckpointedBlock
    return model


def matching_gain(enhanced: Tensor, noisy: Tensor) -> float:
    """The gain that brings an enhanced wave (T,) closest to the noisy one (T,): JT leaves level and sign free."""
    energy = enhanced @ enhanced
    return float(enhanced @ noisy / energy) or 1.0 if energy > 0 else 1.0


def add_observation(enhanced: Tensor, noisy: Tensor, strength: float | Tensor) -> Tensor:
    """strength * enhanced + (1 - strength) * noisy, (T,), of waves at one level; (S, T) for strengths (S, 1)."""
    return strength * enhanced + (1 - strength) * noisy


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
        """Enhance and classify one wave of any length and rate, (T,), or (C, T) in channels: see `mono`.

        The wave is resampled to 16 kHz and set to `level_db` dBFS RMS, near that of noisy speech in training (speech
        alone has -25 there); None leaves it as it is. The enhanced wave comes back at the input's own rate and length,
        and with the level and sign that bring it closest to the input (`matching_gain`); with `level_db` None, and all
        of the enhancement, as the network makes it. A wave shorter than the training clips is zero-padded to their
        length. With a `strength` below 1 the input is added back (`add_observation`), and a back-end that reads the
        enhanced wave, and no other, reads this.

        Returns: enhanced (T,) and probabilities (classes,), float32: numpy arrays of a numpy array, else tensors on the
        CPU; None for what the run has no part to make.
        Raises ValueError: no such wave, of no such rate, longer than a day, or a strength that is not 0 to 1.
        FloatingPointError: the wave, or what the network makes of it, is not finite.
        """
        if not 100 <= sample_rate <= 1_000_000:
            raise ValueError(f"a sample rate of {sample_rate} Hz; expected 100 to 1,000,000")
        if not 0 <= strength <= 1:
            raise ValueError(f"a strength of {strength}; expected 0 (the input as it is) to 1 (all of the enhancement)")
        given = mono(wave)
        if not 0 < len(given) <= LONGEST * sample_rate:
            raise ValueError(f"{len(given) / sample_rate:.3g} s of sound; expected more than none, and at most a day")
        resampled = resample(given, sample_rate)
        rms = self._finite(resampled.square().mean().sqrt()).clamp_min(1e-8)
        scale = 1.0 if level_db is None else 10 ** (level_db / 20) / rms
        enhanced, logits = self.model(self._clips((resampled * scale)[None]))
        probabilities = None if logits is None else self._finite(logits[0]).softmax(dim=0).cpu()
        if enhanced is not None:
            made = self._finite(enhanced[0, 0, : len(resampled)].cpu() / scale)
            enhanced = resample(made, SAMPLE_RATE, sample_rate)
            enhanced = F.pad(enhanced, (0, max(0, len(given) - len(enhanced))))[: len(given)]
            if strength < 1 or level_db is not None:
                gain = matching_gain(made, resampled)
                enhanced = add_observation(gain * enhanced, given, strength)
                if strength < 1 and self.model.waves == 1:
                    added = add_observation(gain * made, resampled, strength)
                    probabilities = self.classify(added[None] * scale / gain)[0]
        found = (self._finite(enhanced), probabilities)
        return found if isinstance(wave, Tensor) else tuple(None if one is None else one.numpy() for one in found)

    @torch.inference_mode()
    def classify(self, waves: Tensor) -> Tensor:
        """Waves (B, T) at 16 kHz by the back-end alone: probabilities (B, classes). ValueError if it takes no waves,
        FloatingPointError if what it makes of them is not finite."""
        if self.model.waves != 1:
            raise ValueError(f"{self.folder}: {self.config.strategy} has no back-end that reads a wave")
        return self._finite(self.model.backend(self._clips(waves))).softmax(dim=1).cpu()

    def _finite(self, made: Tensor | None) -> Tensor | None:
        if made is not None and not made.isfinite().all():
            raise FloatingPointError(
                f"{self.folder}: what the network makes of this sound is not finite; is it too loud?"
            )
        return made

    def _clips(self, waves: Tensor) -> Tensor:
        """Waves (B, T) as (B, 1, T) on the model's device, zero-padded to the length of the training clips."""
        padded = F.pad(waves, (0, max(0, self.config.clip_samples - waves.shape[-1])))
        return padded.unsqueeze(1).to(next(self.model.parameters()).device)


def load_run(folder: Path | str, device: str | torch.device = "cpu") -> Run:
    """Load a finished run: ``load_run("results/quick/runs/jt_alpha0.5_seed0").process(wave, sample_rate)``.

    FileNotFoundError: no finished run there. UnusableFile names the file that cannot be used; nothing is ever executed.
    ConfigError: there is no such device.
    """
    run = load_plain_run(folder, device)
    if run.config.torch_device.type == "cpu":
        fast_cpu(run.model)
    if isinstance(getattr(run.model, "frontend", None), WaveUNet):
        enhance_in_tiles(run.model.frontend)
    return run


def load_plain_run(folder: Path | str, device: str | torch.device = "cpu") -> Run:
    """The same with the network as the method's files have it, which takes more time and memory; raises the same."""
    folder = Path(folder)
    if not finished(folder):
        missing = ", ".join(name for name in FILES if not (folder / name).is_file())
        where = "finished runs lie in results/PROFILE/runs"
        raise FileNotFoundError(f"{folder}: not a finished run, it lacks {missing}; {where}")
    config, intents = read_config(folder)
    config = config.replace(device=str(device))
    with torch.device("meta"):  # no memory yet: whether the weights fit is known from their names and shapes
        model = build_network(config, len(intents))
    weights = read_weights(folder, model.state_dict())
    try:
        model.load_state_dict(weights, assign=True)
    except RuntimeError as error:
        differing = " ".join(str(error).split())[:400]
        raise UnusableFile(f"{folder / 'weights.safetensors'}: does not fit config.json ({differing})") from error
    return Run(folder, config, intents, model.to(config.torch_device).eval())
