"""The checkpoint from which an interrupted training goes on."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from jointlib.support.files import UnusableFile, write_atomically

State = dict[str, Tensor]
History = list[dict[str, Any]]


class Checkpoint:
    """All that an interrupted training goes on from, as tensors and JSON in one safetensors file, replaced at once."""

    def __init__(self, file: Path):
        self.file = file
        self.core_seconds = 0.0  # of all processes that have trained so far

    def save(self, model: nn.Module, best: State, optimizer: torch.optim.Optimizer, history: History) -> None:
        """Replace the file by the present state."""
        tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
        tensors |= {f"best.{name}": value for name, value in best.items()}
        for index, entry in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": value for name, value in entry.items()}
        tensors = {name: value.contiguous() for name, value in tensors.items()}
        about = {"history": json.dumps(history), "core_seconds": str(self.core_seconds)}
        write_atomically(self.file, save(tensors, metadata=about))

    def load(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[State, History]:
        """Restore model and optimiser; return the best weights so far and the history. UnusableFile if damaged."""
        parts: dict[str, State] = defaultdict(dict)
        try:
            with safe_open(self.file, "pt") as opened:
                history = json.loads(opened.metadata()["history"])
                self.core_seconds = float(opened.metadata()["core_seconds"])
            int(history[-1]["step"])
            for name, value in load_file(self.file).items():
                part, _, rest = name.partition(".")
                parts[part][rest] = value
            for part in ("best", "model"):  # the latter stays; the former has to fit as well
                model.load_state_dict(parts[part])
            state = _state(parts["optimizer"], optimizer)
        except (SafetensorError, TypeError, LookupError, ValueError, RuntimeError, OSError) as error:
            reason = " ".join(str(error).split())[:400]
            raise UnusableFile(f"{self.file}: damaged ({reason}); remove it, and the run starts over") from error
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
        return parts["best"], history


def _state(stored: State, optimizer: torch.optim.Optimizer) -> dict[int, State]:
    """An optimiser's state, from a file, by parameter; ValueError if it is another optimiser's."""
    state: dict[int, State] = defaultdict(dict)
    for name, value in stored.items():
        index, _, entry = name.partition(".")
        state[int(index)][entry] = value
    trained = optimizer.param_groups[0]["params"]
    for index, entries in state.items():
        shape, shapes = tuple(trained[index].shape), {name: tuple(value.shape) for name, value in entries.items()}
        if shapes != {"step": (), "exp_avg": shape, "exp_avg_sq": shape}:
            raise ValueError(f"the optimiser's state of parameter {index}, {shape}, is {shapes}")
    return state
