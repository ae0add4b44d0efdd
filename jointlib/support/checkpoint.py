"""The checkpoint from which an interrupted training resumes."""

import io
import pickle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from jointlib.support.files import UnusableFile, write_atomically
from jointlib.support.ranks import is_first

CHECKPOINT = "checkpoint.pt"  # in a partial folder
State = dict[str, Tensor]
History = list[dict[str, Any]]


class Checkpoint:
    """Weights, best weights, optimiser state and history in one file, which is replaced as a whole."""

    def __init__(self, file: Path):
        self.file = file
        self.core_seconds = 0.0  # CPU time of this process in all starts so far

    def save(self, model: nn.Module, best: State, optimizer: torch.optim.Optimizer, history: History) -> None:
        """Replace the file; of several processes, the first one does."""
        if is_first():
            state = {"model": model.state_dict(), "best": best, "optimizer": optimizer.state_dict()}
            content = io.BytesIO()
            torch.save(state | {"history": history, "core_seconds": self.core_seconds}, content)
            write_atomically(self.file, content.getvalue())

    def load(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[State, History]:
        """Restore model and optimiser; return the best weights so far and the history. UnusableFile if damaged."""
        try:
            state = torch.load(self.file, weights_only=True, map_location="cpu")
            model.load_state_dict(state["model"])
            optimizer.load_state_dict(state["optimizer"])
        except (pickle.UnpicklingError, EOFError, LookupError, RuntimeError, ValueError) as error:
            reason = str(error).partition("\n")[0]
            raise UnusableFile(f"{self.file}: damaged ({reason}); remove it to train this run anew") from error
        self.core_seconds = state["core_seconds"]
        return state["best"], state["history"]
