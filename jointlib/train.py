"""Training: one step, the loop, and validation."""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from jointlib.losses import loss_terms, weighted_sum
from jointlib.strategies import set_training

if TYPE_CHECKING:  # any objects with the same attributes will do
    from jointlib.config import Config
    from jointlib.corpora.batches import Batch

State = dict[str, Tensor]
History = list[dict[str, Any]]  # a row per validation


def train_step(network: nn.Module, batch: "Batch", optimizer: torch.optim.Optimizer, config: "Config") -> State:
    """One optimiser step, skipped if the loss or its gradient is not finite.

    Returns: The loss terms before the step, the gradient's norm, and whether it was clipped (1 or 0), as scalars.
    """
    waveform = getattr(batch, config.row.train_input)  # (B, 1, T)
    bf16 = waveform.is_cuda if config.bf16 is None else config.bf16
    with torch.autocast(waveform.device.type, torch.bfloat16, enabled=bf16):
        output = network(waveform)
    terms = loss_terms(*output, batch.clean, batch.labels, config.enhancement_loss)
    optimizer.zero_grad(set_to_none=True)
    weighted_sum(terms, config.alpha, config.enhancement_loss).backward()
    norm = nn.utils.clip_grad_norm_(network.parameters(), config.clip_norm)
    terms |= {"gradient_norm": norm, "clipped": (norm > config.clip_norm).float()}
    # Reading this flag would synchronise with the GPU; the fused optimiser skips the step by itself where it is set.
    optimizer.found_inf = sum(terms.values()).isfinite().logical_not().float()
    optimizer.step()
    return {name: term.detach() for name, term in terms.items()}


@torch.inference_mode()
def validate(model: nn.Module, batches: Iterable["Batch"], config: "Config") -> dict[str, float]:
    """Loss, its terms and accuracy, on the input that the network is trained on; FloatingPointError if not finite."""
    model.eval()
    done = []
    for batch in batches:
        output = model(getattr(batch, config.row.train_input))
        terms = loss_terms(*output, batch.clean, batch.labels, config.enhancement_loss)
        terms["loss"] = weighted_sum(terms, config.alpha, config.enhancement_loss)
        if output.logits is not None:
            terms["accuracy"] = (output.logits.argmax(dim=1) == batch.labels).float().mean()
        done.append(({name: term.double() for name, term in terms.items()}, len(batch.labels)))
    row = _means(done, "valid")
    if not math.isfinite(row["valid_loss"]):
        raise FloatingPointError(f"validation: the loss is {row['valid_loss']}")
    return row


def _means(batches: list[tuple[State, int]], prefix: str) -> dict[str, float]:
    """Average each term over utterances, given (terms, utterances) of each batch. Synchronises with a GPU."""
    utterances = sum(size for _, size in batches)
    sums = {name: sum(terms[name] * size for terms, size in batches) for name in batches[0][0]}
    return {f"{prefix}_{name}": total.item() / utterances for name, total in sums.items()}


def learning_rate(config: "Config", progress: float) -> float:
    """The rate at a fraction (0 to 1) of all steps: constant, or a warm-up over 5 % of them and a cosine to zero."""
    if config.schedule == "constant":
        return config.learning_rate
    warm_up = min(1.0, progress / 0.05)
    return config.learning_rate * min(warm_up, 0.5 * (1 + math.cos(math.pi * progress))) + 1e-8


def build_optimizer(model: nn.Module, config: "Config") -> torch.optim.Optimizer:
    """Adam or AdamW over the parameters that are not frozen."""
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[config.optimizer]
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return kind(trained, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True)


def selected(history: History, select: str) -> int:
    """Index of the best validation: the highest accuracy if `select` is "accuracy", then the lowest loss."""

    def merit(index: int) -> tuple[float, float]:
        accuracy = history[index].get("valid_accuracy", 0.0) if select == "accuracy" else 0.0
        return accuracy, -history[index]["valid_loss"]

    return max(range(len(history)), key=merit, default=0)


def train(
    model: nn.Module,
    data: Any,
    config: "Config",
    checkpoint: Any,
    progress: Callable[[int], Any],
    network: nn.Module | None = None,
    on_first: Callable[[Callable[[], Any]], Any] = lambda compute: compute(),
) -> tuple[State, History]:
    """Train until the steps or the patience run out; resume from the checkpoint if there is one.

    Args:
        data: has ``train_batches(first)``, without end from step `first` on, and ``batches("valid")``.
        checkpoint, progress: a `support.checkpoint.Checkpoint`, and a function of the steps already done that makes a
            `support.progress.Progress`.
        network, on_first: with several processes, the model wrapped by `support.ranks.parallel`, and `ranks.on_first`.

    Returns: The weights selected on the validation split, and a row per validation: step, means of what `train_step`
        returns since the last one, what `validate` returns, and whether its weights were selected.
    Raises FloatingPointError: names step, learning rate, the batch's utterances and the last good checkpoint.
    """
    optimizer = build_optimizer(model, config)
    best, history = checkpoint.load(model, optimizer) if checkpoint.file.exists() else (_copy(model), [])
    best_index = selected(history, config.select)
    step = history[-1]["step"] if history else 0
    started, before = time.process_time(), checkpoint.core_seconds
    batches = data.train_batches(step)
    with progress(step) as bar:
        while step < config.own_steps and len(history) - 1 - best_index < config.patience:
            steps = range(step, min(step + config.validate_every, config.own_steps))
            try:
                set_training(model)
                row = _train_steps(model if network is None else network, batches, steps, optimizer, config, bar)
                row |= on_first(lambda: validate(model, data.batches("valid"), config))
            except FloatingPointError as error:
                kept = f"{checkpoint.file}, after step {step}" if history else "none yet"
                remedy = "lower learning_rate or clip_norm, or look at the utterances"
                raise FloatingPointError(f"{error}. Last good checkpoint: {kept}. Remedy: {remedy}") from error
            step = steps.stop
            history.append({"step": step, **row})
            best_index = selected(history, config.select)
            history[-1]["selected"] = best_index == len(history) - 1
            if history[-1]["selected"]:
                best = _copy(model)
            checkpoint.core_seconds = before + time.process_time() - started
            checkpoint.save(model, best, optimizer, history)
            shown = " ".join(f"{name[6:]} {row[name]:.3g}" for name in row if name.startswith("valid_"))
            bar.set_postfix_str(shown, refresh=False)
    return best, history


def _train_steps(
    network: nn.Module, batches: Iterator["Batch"], steps: range, optimizer: Any, config: "Config", bar: Any
) -> dict[str, float]:
    """Take some steps; return each term's mean over utterances. FloatingPointError names the first that is not finite.

    On a CPU every step is checked. On a GPU each check would force a synchronisation, so there is one, before
    validation: steps after the failed one are skipped or lost, but no checkpoint is.
    """
    done, unchecked = [], []
    for step, batch in zip(steps, islice(batches, len(steps)), strict=True):
        rate = learning_rate(config, step / config.own_steps)
        for group in optimizer.param_groups:
            group["lr"] = rate
        terms = train_step(network, batch, optimizer, config)
        done.append((terms, len(batch.labels)))
        unchecked.append((f"step {step}, learning rate {rate:.4g}", terms, batch.paths))
        if not batch.noisy.is_cuda or step == steps[-1]:
            _check_finite(unchecked)
            unchecked.clear()
        bar.update()
    return _means(done, "train")


def _check_finite(steps: list[tuple[str, State, tuple[str, ...]]]) -> None:
    """Raise FloatingPointError for the first of some (step, terms, utterances) with a term that is not finite."""
    finite = torch.stack([sum(terms.values()) for _, terms, _ in steps]).isfinite().tolist()
    if not all(finite):
        where, terms, paths = steps[finite.index(False)]
        values = ", ".join(f"{name} is {term.item():.4g}" for name, term in terms.items())
        raise FloatingPointError(f"{where}: {values}. Utterances: {', '.join(paths)}")


def _copy(model: nn.Module) -> State:
    return {name: value.clone() for name, value in model.state_dict().items()}
