"""What an interrupted run goes on from: weights, optimiser and history in one file of plain types."""

import json
from collections import defaultdict
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from jointlib.files import write_atomically
from jointlib.records import RunError


class Checkpoint:
    """All that an interrupted run goes on from, in one safetensors file of tensors and JSON, replaced at once."""

    def __init__(self, file: Path):
        self.file = file

    def save(
        self,
        model: nn.Module,
        best: dict[str, Tensor],
        optimizer: torch.optim.Optimizer,
        history: list[dict[str, float]],
    ) -> None:
        """Replace the file by the present state, at once."""
        tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
        tensors |= {f"best.{name}": value for name, value in best.items()}
        for index, entry in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": value for name, value in entry.items()}
        tensors = {name: value.contiguous() for name, value in tensors.items()}
        write_atomically(self.file, save(tensors, metadata={"history": json.dumps(history)}))

    def load(
        self, model: nn.Module, optimizer: torch.optim.Optimizer
    ) -> tuple[dict[str, Tensor], list[dict[str, float]]]:
        """Restore model and optimiser; return the best weights so far and the history.

        Raises:
            RunError: the file is damaged.
        """
        parts: dict[str, dict[str, Tensor]] = defaultdict(dict)
        try:
            with safe_open(self.file, "pt") as opened:
                history = json.loads(opened.metadata()["history"])
            tensors = load_file(self.file)
        except (SafetensorError, TypeError, KeyError, ValueError) as error:
            raise RunError(f"{self.file}: damaged ({error}); remove it, and the run starts over") from error
        for name, value in tensors.items():
            part, _, rest = name.partition(".")
            parts[part][rest] = value
        model.load_state_dict(parts["model"])
        state: dict[int, dict[str, Tensor]] = defaultdict(dict)
        for name, value in parts["optimizer"].items():
            index, _, field = name.partition(".")
            state[int(index)][field] = value
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
        return parts["best"], history
