"""Runs on disk: the list of them, and load_run(folder) -> a model ready to use."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from jointlib import SAMPLE_RATE
from jointlib.audio import resample
from jointlib.contaminate import LEVEL_DB
from jointlib.records import FILES, finished, read_config, read_json, read_weights
from jointlib.strategies import STRATEGIES, Classifier, JointWave


def build_network(config: dict[str, Any], classes: int) -> nn.Module:
    """A strategy's network with fresh weights, from a configuration as plain values."""
    frontend = {
        "layers": config["frontend_layers"],
        "channels": config["frontend_channels"],
        "chunk": config["frontend_chunk"],
    }
    backend = {
        "classes": classes,
        "channels": config["tcn_channels"],
        "hidden": config["tcn_hidden"],
        "repeats": config["tcn_repeats"],
        "blocks": config["tcn_blocks"],
        "stem": config["stem"],
    }
    return STRATEGIES[config["strategy"]].network(frontend, backend, config["mix_channels"])


def list_runs(results: Path | str) -> pd.DataFrame:
    """The finished runs below a profile's results folder: folder, strategy, alpha, seed, variant, and its metrics."""
    rows = []
    for folder in sorted(path for path in Path(results, "runs").glob("*") if finished(path)):
        config, metrics = read_config(folder), read_json(folder / "metrics.json")
        named = {name: config[name] for name in ("strategy", "alpha", "seed", "variant")}
        rows.append({"folder": folder, **named, **metrics["mean"]})
    return pd.DataFrame(rows) if rows else pd.DataFrame(columns=["folder", "strategy", "alpha", "seed", "variant"])


def titled_runs(results: Path | str) -> dict[str, Path]:
    """The finished runs of every profile below a results folder, by title: ``JT, α = 0.5, seed 0 · quick``."""
    titles = {}
    for folder in sorted(path for path in Path(results).glob("*/runs/*") if finished(path)):
        config = read_config(folder)
        strategy = STRATEGIES[config["strategy"]]
        alpha = f", α = {config['alpha']:g}" if strategy.alpha is None else ""
        variant = f" · {config['variant']}" if config["variant"] else ""
        titles[f"{strategy.title}{alpha}, seed {config['seed']} · {folder.parent.parent.name}{variant}"] = folder
    return titles


@dataclass
class Run:
    """A finished run, ready to enhance and to classify."""

    folder: Path
    config: dict[str, Any]
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
        device = next(self.model.parameters()).device
        resampled = resample(wave.float(), sample_rate)
        rms = resampled.square().mean().sqrt().clamp_min(1e-8)
        gain = 1.0 if level_db is None else 10 ** (level_db / 20) / rms
        enhanced, logits = self.model(self._pad(resampled * gain)[None, None].to(device))
        if enhanced is not None:
            enhanced = resample(enhanced[0, 0, : len(resampled)].cpu() / gain, SAMPLE_RATE, sample_rate)
            enhanced = nn.functional.pad(enhanced, (0, max(0, len(wave) - len(enhanced))))[: len(wave)]
        return enhanced, None if logits is None else logits[0].softmax(dim=0).cpu()

    @property
    def reads_wave(self) -> bool:
        """Whether the back-end reads a wave (a classifier, JT, a cascade), not the bottleneck."""
        return isinstance(self.model, Classifier | JointWave)

    @torch.inference_mode()
    def classify(self, waves: Tensor) -> Tensor:
        """What the back-end alone makes of waves (B, T) at 16 kHz, past the front-end: probabilities (B, classes).

        Raises:
            ValueError: the back-end does not read waves.
        """
        if not self.reads_wave:
            raise ValueError(f"{self.folder}: {self.config['strategy']} has no back-end that reads a wave")
        device = next(self.model.parameters()).device
        return self.model.backend(self._pad(waves).unsqueeze(1).to(device)).softmax(dim=1).cpu()

    def _pad(self, waves: Tensor) -> Tensor:
        """Zero-pad (..., T) to the length of the training clips."""
        clip = round(self.config["clip_seconds"] * SAMPLE_RATE)
        return nn.functional.pad(waves, (0, max(0, clip - waves.shape[-1])))


def load_run(folder: Path | str, device: str = "cpu") -> Run:
    """Load a finished run: ``load_run("results/quick/runs/jt_alpha0.5_seed0").process(wave, sample_rate)``.

    Raises:
        FileNotFoundError: the folder does not hold a finished run.
        RunError: names the file that cannot be used. Nothing in a run folder is ever executed.
    """
    folder = Path(folder)
    if not finished(folder):
        missing = [name for name in FILES if not (folder / name).is_file()]
        raise FileNotFoundError(
            f"{folder}: not a finished run, it lacks {', '.join(missing)}; finished runs lie in results/PROFILE/runs"
        )
    config = read_config(folder)
    with torch.device("meta"):  # no memory yet: whether the weights fit is known from their names and shapes
        model = build_network(config, len(config["intents"]))
    model.load_state_dict(read_weights(folder, model.state_dict()), assign=True)
    return Run(folder, config, config["intents"], model.to(device).eval())
