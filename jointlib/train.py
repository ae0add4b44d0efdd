"""Training: one step, the loop, and validation."""

import math
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from jointlib.losses import loss_terms, weighted_sum
from jointlib.strategies import set_training
from jointlib.support.checkpoint import Checkpoint, History, State
from jointlib.support.progress import Progress
from jointlib.support.ranks import batch_of, is_first, over_batch, parallel, total
from jointlib.tcn import Filterbank

if TYPE_CHECKING:  # any object with the same attributes will do
    from jointlib.config import Config


class Batch(NamedTuple):
    """Contaminated utterances."""

    noisy: Tensor  # (B, 1, T)
    clean: Tensor  # (B, 1, T)
    labels: Tensor  # (B,)
    lengths: Tensor  # (B,), in samples, before padding
    paths: tuple[str, ...]  # of the utterances; of all processes', where several train


def train_step(model: nn.Module, batch: Batch, optimizer: torch.optim.Optimizer, config: "Config") -> State:
    """One step of a fused optimiser (`build_optimizer`) on a batch; none where the loss or its gradient is not finite.

    Returns: The loss terms before the step, the gradient's norm, and whether it was clipped (1 or 0), as scalars.
    """
    wave = getattr(batch, config.trained_on)  # (B, 1, T)
    bf16 = wave.device.type == "cuda" if config.bf16 is None else config.bf16
    with torch.autocast(wave.device.type, torch.bfloat16, enabled=bf16), batch_of(len(batch.paths)):
        output = model(wave)
    terms = loss_terms(*output, batch.clean, batch.labels, config.enhancement_loss, filterbank(model))
    terms = over_batch(terms, len(batch.paths))
    optimizer.zero_grad(set_to_none=True)
    weighted_sum(terms, config.alpha, config.enhancement_loss).backward()
    norm = nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
    terms |= {"gradient_norm": norm, "clipped": (norm > config.clip_norm).float()}
    # Asking a GPU whether all is finite would be to wait for it. The fused step asks itself, and leaves all as it was.
    optimizer.found_inf = sum(terms.values()).isfinite().logical_not().float()
    optimizer.step()
    return {name: term.detach() for name, term in terms.items()}


def filterbank(model: nn.Module) -> Filterbank | None:
    """The one that the classifier reads the wave through, if it has one."""
    return next((part for part in model.modules() if isinstance(part, Filterbank)), None)


@torch.inference_mode()
def validate(model: nn.Module, batches: Iterable[Batch], config: "Config") -> dict[str, float]:
    """Loss, its terms and accuracy, on the input that the network is trained on; FloatingPointError if not finite."""
    model.eval()
    done = []
    for batch in batches:
        output = model(getattr(batch, config.trained_on))
        terms = loss_terms(*output, batch.clean, batch.labels, config.enhancement_loss, filterbank(model))
        terms["loss"] = weighted_sum(terms, config.alpha, config.enhancement_loss)
        if output.logits is not None:
            terms["accuracy"] = (output.logits.argmax(dim=1) == batch.labels).float().mean()
        terms = over_batch(terms, len(batch.paths))
        done.append(({name: term.double() for name, term in terms.items()}, len(batch.paths)))
    found = _means(done, "valid")
    if not math.isfinite(found["valid_loss"]):
        raise FloatingPointError(f"validation: the loss is {found['valid_loss']}")
    return found


def _means(batches: list[tuple[State, int]], prefix: str) -> dict[str, float]:
    """Means over utterances of what batches of so many came to, as PREFIX_NAME; a GPU is waited for here."""
    utterances = sum(size for _, size in batches)
    sums = {name: sum(terms[name] * size for terms, size in batches) for name in batches[0][0]}
    return {f"{prefix}_{name}": total.item() / utterances for name, total in sums.items()}


def learning_rate(config: "Config", progress: float) -> float:
    """The rate at a share (0 to 1) of all steps: constant, or up over the first twentieth and down a cosine to zero."""
    if config.schedule == "constant":
        return config.learning_rate
    warm_up = min(1.0, progress / 0.05)
    return config.learning_rate * min(warm_up, 0.5 * (1 + math.cos(math.pi * progress))) + 1e-8


def build_optimizer(model: nn.Module, config: "Config") -> torch.optim.Optimizer:
    """Adam or AdamW over what is not frozen."""
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[config.optimizer]
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return kind(trained, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True)


def selected(history: History, select: str) -> int:
    """Index of the first validation with the best accuracy (if `select` says so) and, among those, the lowest loss."""
    by_accuracy = select == "accuracy"
    keys = [(by_accuracy and row.get("valid_accuracy", 0.0), -row["valid_loss"]) for row in history]
    return keys.index(max(keys)) if keys else 0


def train(model: nn.Module, data: Any, config: "Config", checkpoint: Checkpoint, title: str) -> tuple[State, History]:
    """Train until the steps or the patience run out, from the checkpoint on if there is one.

    `data` has ``train_batches(first)``, without end from step `first` on, and ``batches("valid")`` (`corpora.batches`).

    Returns: The weights selected on the validation split, and a row per validation: step, means of what `train_step`
        returns since the last one, what `validate` returns, and whether its weights were selected.
    Raises FloatingPointError: names step, learning rate, the batch's utterances and the last good checkpoint.
    """
    optimizer = build_optimizer(model, config)
    best, history = checkpoint.load(model, optimizer) if checkpoint.file.exists() else (_copy(model), [])
    step = history[-1]["step"] if history else 0
    network = parallel(model)
    started, before = time.process_time(), checkpoint.core_seconds
    batches = data.train_batches(step)
    with Progress(config.own_steps, title, done=step) as progress:
        while step < config.own_steps and len(history) - 1 - selected(history, config.select) < config.patience:
            steps = range(step, min(step + config.validate_every, config.own_steps))
            try:
                set_training(model)
                row = _train_steps(network, batches, steps, optimizer, config, progress)
                row |= validate(model, data.batches("valid"), config)
            except FloatingPointError as error:
                kept = f"{checkpoint.file}, after step {step}" if history else "none yet"
                remedy = "lower learning_rate or clip_norm, or look at the utterances"
                raise FloatingPointError(f"{error}. Last good checkpoint: {kept}. Remedy: {remedy}") from error
            step = steps.stop
            history.append({"step": step, **row})
            history[-1]["selected"] = selected(history, config.select) == len(history) - 1
            if history[-1]["selected"]:
                best = _copy(model)
            checkpoint.core_seconds = before + total(time.process_time() - started)
            if is_first():
                checkpoint.save(model, best, optimizer, history)
            shown = " ".join(f"{name[6:]} {row[name]:.3g}" for name in row if name.startswith("valid_"))
            progress.set_postfix_str(shown, refresh=False)
    return best, history


def choose_observation(model: nn.Module, data: Any, config: "Config") -> History:
    """Set the `observation` of a network to the best of 0, 0.1 ... 1 on valid; returns a row for each."""
    history: History = []
    for tenths in range(11):
        model.observation.fill_(tenths / 10)
        history.append({"step": 0, "observation": tenths / 10, **validate(model, data.batches("valid"), config)})
    best = selected(history, config.select)
    model.observation.fill_(best / 10)
    return [row | {"selected": number == best} for number, row in enumerate(history)]


def _train_steps(
    model: nn.Module, batches: Iterator[Batch], steps: range, optimizer: Any, config: "Config", progress: Progress
) -> dict[str, float]:
    """Some steps and, for each term, the mean over their utterances; FloatingPointError names the first not finite."""
    done, unchecked = [], []
    for step, batch in zip(steps, islice(batches, len(steps)), strict=True):
        rate = learning_rate(config, step / config.own_steps)
        for group in optimizer.param_groups:
            group["lr"] = rate
        done.append((train_step(model, batch, optimizer, config), len(batch.paths)))
        unchecked.append((f"step {step}, learning rate {rate:.4g}", done[-1][0], batch.paths))
        # A CPU tells at once. A GPU is asked when it is waited for anyway, before the validation: what it computes
        # after a step that was left out is lost, at most `validate_every` steps, but no weight and no checkpoint.
        if not batch.noisy.is_cuda or step == steps[-1]:
            _check_finite(unchecked)
            unchecked.clear()
        progress.update()
    return _means(done, "train")


def _check_finite(steps: list[tuple[str, State, tuple[str, ...]]]) -> None:
    """Raise FloatingPointError for the first of some steps with a term that is not finite: where, terms, utterances."""
    finite = torch.stack([sum(terms.values()) for _, terms, _ in steps]).isfinite().tolist()
    if not all(finite):
        where, terms, paths = steps[finite.index(False)]
        values = ", ".join(f"{name} is {term.item():.4g}" for name, term in terms.items())
        raise FloatingPointError(f"{where}: {values}. Utterances: {', '.join(paths)}")


def _copy(model: nn.Module) -> State:
    return {name: value.clone() for name, value in model.state_dict().items()}
