"""Training: one step, the loop, validation, and the checkpoint from which an interrupted loop goes on."""

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from jointlib.losses import loss_terms, weighted_sum
from jointlib.strategies import set_training
from jointlib.support.files import UnusableFile, write_atomically
from jointlib.support.progress import Progress

State = dict[str, Tensor]
History = list[dict[str, Any]]


class Batch(NamedTuple):
    """noisy, clean: (B, 1, T). labels, lengths (in samples, before padding): (B,). paths: of the utterances."""

    noisy: Tensor
    clean: Tensor
    labels: Tensor
    lengths: Tensor
    paths: tuple[str, ...]


class Settings(Protocol):
    """What training asks of an experiment; `jointlib.config.Config` is one and documents each."""

    alpha: float
    trained_on: str
    steps: int
    validate_every: int
    patience: int
    select: str
    optimizer: str
    learning_rate: float
    weight_decay: float
    schedule: str
    clip_norm: float
    bf16: bool | None


def train_step(model: nn.Module, batch: Batch, optimizer: torch.optim.Optimizer, settings: Settings) -> State:
    """One step of the optimiser on one batch.

    Returns:
        The loss terms before the step, the gradient's norm, and whether it was clipped (1 or 0), as scalars.

    Raises:
        FloatingPointError: the loss or its gradient is not finite; no step was made.
    """
    wave = getattr(batch, settings.trained_on)  # (B, 1, T)
    bf16 = wave.device.type == "cuda" if settings.bf16 is None else settings.bf16
    with torch.autocast(wave.device.type, torch.bfloat16, enabled=bf16):
        output = model(wave)
    terms = loss_terms(*output, batch.clean, batch.labels)
    optimizer.zero_grad(set_to_none=True)
    weighted_sum(terms, settings.alpha).backward()
    norm = nn.utils.clip_grad_norm_(model.parameters(), settings.clip_norm)
    terms |= {"gradient_norm": norm, "clipped": (norm > settings.clip_norm).float()}
    if not sum(terms.values()).isfinite():  # one number, so that a GPU is waited for once
        raise FloatingPointError(", ".join(f"{name} is {term.item():.4g}" for name, term in terms.items()))
    optimizer.step()
    return {name: term.detach() for name, term in terms.items()}


@torch.inference_mode()
def validate(model: nn.Module, batches: Iterable[Batch], settings: Settings) -> dict[str, float]:
    """Loss, its terms and the accuracy over all batches, on the input that the network is trained on.

    Raises:
        FloatingPointError: the loss is not finite.
    """
    model.eval()
    means = Means()
    for batch in batches:
        output = model(getattr(batch, settings.trained_on))
        terms = loss_terms(*output, batch.clean, batch.labels)
        terms["loss"] = weighted_sum(terms, settings.alpha)
        if output.logits is not None:
            terms["accuracy"] = (output.logits.argmax(dim=1) == batch.labels).float().mean()
        means.add({name: term.double() for name, term in terms.items()}, len(batch.labels))
    found = means.of("valid")
    if not math.isfinite(found["valid_loss"]):
        raise FloatingPointError(f"validation: the loss is {found['valid_loss']}")
    return found


class Means:
    """Means of named scalars over utterances; they stay on their device until they are asked for."""

    def __init__(self):
        self.sums: dict[str, Any] = defaultdict(float)
        self.utterances = 0

    def add(self, terms: State, utterances: int) -> None:
        """Add the means over a batch of so many utterances."""
        self.utterances += utterances
        for name, term in terms.items():
            self.sums[name] = self.sums[name] + term * utterances

    def of(self, prefix: str) -> dict[str, float]:
        """The means, named PREFIX_NAME."""
        return {f"{prefix}_{name}": total.item() / self.utterances for name, total in self.sums.items()}


def learning_rate(settings: Settings, progress: float) -> float:
    """The rate at a share (0 to 1) of all steps: constant, or up over the first twentieth and down a cosine to zero."""
    if settings.schedule == "constant":
        return settings.learning_rate
    warm_up = min(1.0, progress / 0.05)
    return settings.learning_rate * min(warm_up, 0.5 * (1 + math.cos(math.pi * progress))) + 1e-8


def build_optimizer(model: nn.Module, settings: Settings) -> torch.optim.Optimizer:
    """Adam or AdamW over what is not frozen."""
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[settings.optimizer]
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return kind(trained, lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True)


def selected(history: History, select: str) -> int:
    """Index of the validation that is kept: the first with the best accuracy and, among those, the lowest loss.

    With ``select="loss"``, and where nothing is classified, the one with the lowest loss.
    """

    def key(index: int) -> tuple[float, float]:
        row = history[index]
        accuracy = row.get("valid_accuracy", 0.0) if select == "accuracy" else 0.0
        return accuracy, -row["valid_loss"]

    return max(range(len(history)), key=key)


def train(
    model: nn.Module, data: Any, settings: Settings, checkpoint: "Checkpoint", title: str
) -> tuple[State, History]:
    """Train until the steps or the patience run out, from the checkpoint on if there is one.

    Args:
        data: has ``train_batches(first)``, batches without end from step `first` on, and ``batches("valid")``; see
            `jointlib.corpora.batches.Data`.

    Returns:
        The weights selected on the validation split, and a row per validation: step, means of what `train_step` returns
        since the last one, what `validate` returns, and whether its weights were selected.

    Raises:
        FloatingPointError: names step, learning rate, the batch's utterances and the last good checkpoint.
    """
    optimizer = build_optimizer(model, settings)
    best, history = checkpoint.load(model, optimizer) if checkpoint.file.exists() else (_copy(model), [])
    step = history[-1]["step"] if history else 0
    batches = data.train_batches(step)
    with Progress(settings.steps, title, done=step) as progress:
        while step < settings.steps and not _out_of_patience(history, settings):
            steps = range(step, min(step + settings.validate_every, settings.steps))
            try:
                row = _train_steps(model, batches, steps, optimizer, settings, progress)
                row |= validate(model, data.batches("valid"), settings)
            except FloatingPointError as error:
                kept = f"{checkpoint.file}, after step {step}" if history else "none yet"
                remedy = "lower learning_rate or clip_norm, or look at the utterances"
                raise FloatingPointError(f"{error}. Last good checkpoint: {kept}. Remedy: {remedy}") from error
            step = steps.stop
            history.append({"step": step, **row})
            history[-1]["selected"] = selected(history, settings.select) == len(history) - 1
            if history[-1]["selected"]:
                best = _copy(model)
            checkpoint.save(model, best, optimizer, history)
            progress.note(" ".join(f"{name[6:]} {row[name]:.3g}" for name in row if name.startswith("valid_")))
    return best, history


def _train_steps(
    model: nn.Module,
    batches: Iterator[Batch],
    steps: range,
    optimizer: torch.optim.Optimizer,
    settings: Settings,
    progress: Progress,
) -> dict[str, float]:
    set_training(model)
    means = Means()
    for step, batch in zip(steps, islice(batches, len(steps)), strict=True):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(settings, step / settings.steps)
        try:
            means.add(train_step(model, batch, optimizer, settings), len(batch.labels))
        except FloatingPointError as error:
            where = f"step {step}, learning rate {optimizer.param_groups[0]['lr']:.4g}"
            raise FloatingPointError(f"{where}: {error}. Utterances: {', '.join(batch.paths)}") from error
        progress.update()
    return means.of("train")


def _out_of_patience(history: History, settings: Settings) -> bool:
    return bool(history) and len(history) - 1 - selected(history, settings.select) >= settings.patience


def _copy(model: nn.Module) -> State:
    return {name: value.clone() for name, value in model.state_dict().items()}


class Checkpoint:
    """All that an interrupted training goes on from, as tensors and JSON in one safetensors file, replaced at once."""

    def __init__(self, file: Path):
        self.file = file

    def save(self, model: nn.Module, best: State, optimizer: torch.optim.Optimizer, history: History) -> None:
        """Replace the file by the present state."""
        tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
        tensors |= {f"best.{name}": value for name, value in best.items()}
        for index, entry in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": value for name, value in entry.items()}
        tensors = {name: value.contiguous() for name, value in tensors.items()}
        write_atomically(self.file, save(tensors, metadata={"history": json.dumps(history)}))

    def load(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[State, History]:
        """Restore model and optimiser; return the best weights so far and the history.

        Raises:
            UnusableFile: the file is damaged.
        """
        parts: dict[str, State] = defaultdict(dict)
        try:
            with safe_open(self.file, "pt") as opened:
                history = json.loads(opened.metadata()["history"])
            for name, value in load_file(self.file).items():
                part, _, rest = name.partition(".")
                parts[part][rest] = value
            model.load_state_dict(parts["model"])
        except (SafetensorError, TypeError, KeyError, ValueError, RuntimeError) as error:
            raise UnusableFile(f"{self.file}: damaged ({error}); remove it, and the run starts over") from error
        state: dict[int, State] = defaultdict(dict)
        for name, value in parts["optimizer"].items():
            index, _, entry = name.partition(".")
            state[int(index)][entry] = value
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
        return parts["best"], history
