"""A finished run as TorchScript, which Python or C++ runs with torch alone.

Traced, since only this exports every strategy for any length: torch.export and torch.onnx fail on the upsampling of a
Wave-U-Net, whose weights depend on the length, or on a classifier's `Filterbank`.
"""

import io
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from jointlib import SAMPLE_RATE
from jointlib.corpora.contaminate import LEVEL_DB
from jointlib.runs.run import Run
from jointlib.support.files import write_atomically, write_json

TOLERANCE = 1e-4  # of enhanced samples, where full scale is 1, and of logits


class Traceable(nn.Module):
    """A network whose output is a tuple without None."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, wave: Tensor) -> tuple[Tensor, ...]:
        return tuple(made for made in self.model(wave) if made is not None)


@torch.inference_mode()
def export(run: Run, output: Path) -> Path:
    """Export a run as TorchScript, with OUTPUT.json beside it, which says how to use it.

    It maps a waveform (1, 1, T) to enhanced (1, 1, T) and logits (1, classes), or the one of them that the run
    computes. Before anything is written, both are compared at two lengths other than the traced one.

    Returns: the JSON file. Raises FileExistsError: one of the files exists. ArithmeticError: the outputs differ.
    """
    about = output.with_name(f"{output.name}.json")
    if there := [str(file) for file in (output, about) if file.exists()]:
        raise FileExistsError(f"{', '.join(there)}: exists; move it away, or choose another name")
    model, length = Traceable(run.model), run.config.clip_samples
    waves = [0.1 * torch.randn(1, 1, samples) for samples in (length, length + 1001, 2 * length + 333)]
    content = io.BytesIO()
    with warnings.catch_warnings():  # tracing may fix the length, which the comparison below detects
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(model, (waves[0],), check_trace=False), content)
        content.seek(0)
        traced = torch.jit.load(content)
    for wave in waves[1:]:
        for made, wanted in zip(traced(wave), model(wave), strict=True):
            if not (difference := float((made - wanted).abs().max())) <= TOLERANCE:
                raise ArithmeticError(f"{run.folder}: the export differs by {difference:g}; nothing was written")
    names = [name for name, made in run.model(waves[0])._asdict().items() if made is not None]
    facts = {"run": run.config.run_name, "output": names, "intents": run.intents}
    facts |= {"sample_rate": SAMPLE_RATE, "level_dbfs_rms": LEVEL_DB, "at_least_samples": length}
    write_atomically(output, content.getvalue())
    write_json(about, facts)
    return about
