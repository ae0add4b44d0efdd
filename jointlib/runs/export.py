"""``jointlib export RUN OUTPUT``: a finished run as TorchScript, which Python or C++ runs with torch alone.

Traced, as this alone takes every strategy at any length: torch.export and torch.onnx fail on the upsampling of a
Wave-U-Net, whose weights depend on the length, or on a classifier's `Filterbank`.
"""

import io
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from jointlib import SAMPLE_RATE
from jointlib.corpora.contaminate import LEVEL_DB
from jointlib.runs.run import Run, load_plain_run
from jointlib.support.command import command, command_line
from jointlib.support.files import write_atomically, write_json

TOLERANCE = 1e-4  # of enhanced samples, where full scale is 1, and of logits
EXAMPLE = "example:\n  jointlib export results/quick/runs/bn_alpha0.5_seed0 bn.pt"


class Traceable(nn.Module):
    """A network that returns a tuple of what there is, of enhanced and logits."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, wave: Tensor) -> tuple[Tensor, ...]:
        return tuple(made for made in self.model(wave) if made is not None)


@torch.inference_mode()
def export(run: Run, output: Path) -> Path:
    """Write a run of `load_plain_run` as TorchScript, and beside it OUTPUT.json, which says how it is used.

    It maps a wave (1, 1, T) to enhanced (1, 1, T) and logits (1, classes), or the one of them that the run makes. What
    it makes of two other lengths is compared with the network first.

    Returns: the JSON file. Raises FileExistsError: one of both is there. ArithmeticError: they differ.
    """
    about = output.with_name(f"{output.name}.json")
    if there := [str(file) for file in (output, about) if file.exists()]:
        raise FileExistsError(f"{', '.join(there)}: is there; move it away, or choose another name")
    model, length = Traceable(run.model), run.config.clip_samples
    waves = [0.1 * torch.randn(1, 1, samples) for samples in (length, length + 1001, 2 * length + 333)]
    content = io.BytesIO()
    with warnings.catch_warnings():  # that tracing may bake something in, which is what the comparison is for
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(model, (waves[0],), check_trace=False), content)
        content.seek(0)
        traced = torch.jit.load(content)
    for wave in waves[1:]:
        for made, wanted in zip(traced(wave), model(wave), strict=True):
            if not (difference := float((made - wanted).abs().max())) <= TOLERANCE:
                raise ArithmeticError(f"{run.folder}: what was exported differs by {difference:g}; nothing was written")
    parts = {"enhanced": hasattr(run.model, "frontend"), "logits": hasattr(run.model, "backend")}
    facts = {"run": run.config.run_name, "output": [name for name, made in parts.items() if made]}
    facts |= {
        "sample_rate": SAMPLE_RATE,
        "level_dbfs_rms": LEVEL_DB,
        "at_least_samples": length,
        "intents": run.intents,
    }
    write_json(about, facts)
    try:
        write_atomically(output, content.getvalue())
    except OSError:  # the next start must not find half of it
        about.unlink()
        raise
    return about


@command
def main(arguments: Sequence[str] | None = None) -> None:
    """``jointlib export``."""
    parser = command_line(
        "export", "Write a finished run as TorchScript, which needs torch alone, compared with it.", EXAMPLE
    )
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("output", type=Path, help="file to write; OUTPUT.json beside it says how to use it")
    given = parser.parse_args(arguments)
    print(f"{given.output}, {export(load_plain_run(given.run), given.output)}")
