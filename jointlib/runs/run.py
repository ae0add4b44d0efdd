"""load_run(folder): a finished run, ready to enhance and to classify."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from jointlib import SAMPLE_RATE
from jointlib.config import Config
from jointlib.corpora.audio import resample
from jointlib.corpora.contaminate import LEVEL_DB
from jointlib.fast_cpu.swap import fast_cpu
from jointlib.runs.folder import FILES, finished, read_config, read_weights
from jointlib.runs.network import build_network
from jointlib.runs.tiles import enhance_in_tiles
from jointlib.support.files import UnusableFile


@dataclass
class Run:
    """A finished run, ready to enhance and to classify."""

    folder: Path
    config: Config
    intents: list[str]
    model: nn.Module

    @torch.inference_mode()
    def process(
        self, wave: Tensor, sample_rate: int = SAMPLE_RATE, level_db: float | None = LEVEL_DB
    ) -> tuple[Tensor | None, Tensor | None]:
        """Enhance and classify one wave (T,) of any length and rate.

        The wave is resampled to 16 kHz and set to `level_db` dBFS RMS, near that of noisy speech in training (speech
        alone has -25 there); None leaves it as it is. The enhanced wave comes back at the input's own rate, length and
        level. A wave shorter than the training clips is zero-padded to their length.

        Returns:
            enhanced (T,), None if the run has no front-end; probabilities (classes,), None if it does not classify.
        """
        resampled = resample(wave.float(), sample_rate)
        rms = resampled.square().mean().sqrt().clamp_min(1e-8)
        gain = 1.0 if level_db is None else 10 ** (level_db / 20) / rms
        enhanced, logits = self.model(self._pad(resampled * gain)[None, None].to(self._device))
        if enhanced is not None:
            enhanced = resample(enhanced[0, 0, : len(resampled)].cpu() / gain, SAMPLE_RATE, sample_rate)
            enhanced = nn.functional.pad(enhanced, (0, max(0, len(wave) - len(enhanced))))[: len(wave)]
        return enhanced, None if logits is None else logits[0].softmax(dim=0).cpu()

    @property
    def classifies_wave(self) -> bool:
        """Whether the back-end reads a wave (a classifier, JT, a cascade), not the bottleneck."""
        return self.model.classifies_wave

    @torch.inference_mode()
    def classify(self, waves: Tensor) -> Tensor:
        """What the back-end alone makes of waves (B, T) at 16 kHz, past the front-end: probabilities (B, classes).

        Raises:
            ValueError: the back-end does not read waves.
        """
        if not self.classifies_wave:
            raise ValueError(f"{self.folder}: {self.config.strategy} has no back-end that reads a wave")
        return self.model.backend(self._pad(waves).unsqueeze(1).to(self._device)).softmax(dim=1).cpu()

    @property
    def _device(self) -> torch.device:
        return next(self.model.parameters()).device

    def _pad(self, waves: Tensor) -> Tensor:
        """Zero-pad (..., T) to the length of the training clips."""
        return nn.functional.pad(waves, (0, max(0, self.config.clip_samples - waves.shape[-1])))


def load_run(folder: Path | str, device: str | torch.device = "cpu") -> Run:
    """Load a finished run: ``load_run("results/quick/runs/jt_alpha0.5_seed0").process(wave, sample_rate)``.

    Raises:
        FileNotFoundError: the folder does not hold a finished run.
        UnusableFile: names the file that cannot be used. Nothing in a run folder is ever executed.
    """
    folder = Path(folder)
    if not finished(folder):
        missing = [name for name in FILES if not (folder / name).is_file()]
        raise FileNotFoundError(
            f"{folder}: not a finished run, it lacks {', '.join(missing)}; finished runs lie in results/PROFILE/runs"
        )
    config, about = read_config(folder)
    with torch.device("meta"):  # no memory yet: whether the weights fit is known from their names and shapes
        model = build_network(config, len(about["intents"]))
    weights = read_weights(folder, model.state_dict())
    try:
        model.load_state_dict(weights, assign=True)
    except RuntimeError as error:
        differing = " ".join(str(error).split())[:400]
        raise UnusableFile(f"{folder / 'weights.safetensors'}: does not fit config.json ({differing})") from error
    model = model.to(device).eval()
    if torch.device(device).type == "cpu":
        fast_cpu(model)
    if hasattr(model, "frontend"):
        enhance_in_tiles(model.frontend)
    return Run(folder, config, about["intents"], model)
