"""What happens to a network: a training step, an epoch of them, a validation."""

import math

import pandas as pd
import torch
from torch import Tensor, nn

from jointlib.config import Config
from jointlib.data import Batch, Data
from jointlib.losses import loss_terms, weighted_sum
from jointlib.progress import Progress
from jointlib.strategies import STRATEGIES, set_training


def _input(batch: Batch, config: Config) -> Tensor:
    """What the strategy is trained and validated on: the clean or the noisy wave (B, 1, T)."""
    return getattr(batch, config.train_input or STRATEGIES[config.strategy].train_input)


def train_step(model: nn.Module, batch: Batch, optimizer: torch.optim.Optimizer, config: Config) -> dict[str, Tensor]:
    """One step of the optimiser on one batch; returns the loss terms before it, the gradient's norm, and whether that
    was clipped (1 or 0).

    Raises:
        FloatingPointError: the loss or its gradient is not finite; nothing was stepped.
    """
    wave = _input(batch, config)
    enabled = wave.device.type == "cuda" if config.bf16 is None else config.bf16
    with torch.autocast(wave.device.type, torch.bfloat16, enabled=enabled):
        output = model(wave)
    terms = loss_terms(output, batch.clean, batch.labels)
    optimizer.zero_grad(set_to_none=True)
    weighted_sum(terms, config.alpha).backward()
    norm = nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
    terms |= {"gradient_norm": norm, "clipped": (norm > config.clip_norm).float()}
    _check_finite(terms)
    optimizer.step()
    return {name: term.detach() for name, term in terms.items()}


def _check_finite(terms: dict[str, Tensor]) -> None:
    if not math.isfinite(sum(terms.values()).item()):  # one number, so that a GPU is waited for once
        raise FloatingPointError(", ".join(f"{name} is {term.item():.4g}" for name, term in terms.items()))


@torch.inference_mode()
def validate(model: nn.Module, data: Data, plan: pd.DataFrame) -> dict[str, float]:
    """Loss, its terms and accuracy over the whole valid split, on the input that the strategy is trained on."""
    config = data.config
    model.eval()
    sums: dict[str, Tensor] = {}
    for batch in data.batches("valid", plan):
        output = model(_input(batch, config))
        terms = loss_terms(output, batch.clean, batch.labels)
        terms["loss"] = weighted_sum(terms, config.alpha)
        if output.logits is not None:
            terms["accuracy"] = (output.logits.argmax(dim=1) == batch.labels).float().mean()
        for name, term in terms.items():
            sums[name] = sums.get(name, 0) + term.double() * len(batch.labels)
    if not sums["loss"].isfinite():
        raise FloatingPointError(f"validation: loss is {sums['loss'].item()} after the epoch's last step")
    return {name: total.item() / len(plan) for name, total in sums.items()}


def learning_rate(config: Config, progress: float) -> float:
    """The rate at a part (0 to 1) of all epochs: constant, or up over the first twentieth and down a cosine to zero."""
    if config.schedule == "constant":
        return config.learning_rate
    warm = min(1.0, progress / 0.05)
    return config.learning_rate * min(warm, 0.5 * (1 + math.cos(math.pi * progress))) + 1e-8


def build_optimizer(model: nn.Module, config: Config) -> torch.optim.Optimizer:
    """Adam or AdamW over what is not frozen."""
    kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return kinds[config.optimizer](trained, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True)


def train_epoch(
    model: nn.Module, data: Data, optimizer: torch.optim.Optimizer, epoch: int, progress: Progress
) -> dict[str, float]:
    """One pass over the train split, in an order and with noises of its own; the means of what `train_step` returns."""
    config, strategy = data.config, STRATEGIES[data.config.strategy]
    plan = data.plan("train", epoch if config.fresh_noise else 0)
    shuffle = torch.Generator().manual_seed(config.seed * 100_003 + epoch)
    batches = math.ceil(len(plan) / config.batch_size)
    set_training(model, strategy.frozen)
    sums: dict[str, Tensor] = {}
    for step, batch in enumerate(data.batches("train", plan, torch.randperm(len(plan), generator=shuffle))):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(config, (epoch + step / batches) / config.epochs)
        try:
            terms = train_step(model, batch, optimizer, config)
        except FloatingPointError as error:
            utterances = ", ".join(plan.path[batch.rows.tolist()])
            raise FloatingPointError(f"step {step}: {error}. Utterances: {utterances}") from error
        for name, term in terms.items():
            sums[name] = sums.get(name, 0) + term * len(batch.labels)
        progress.advance()
    return {f"train_{name}": total.item() / len(plan) for name, total in sums.items()}


def is_better(row: dict[str, float], best: dict[str, float] | None, config: Config) -> bool:
    """Whether an epoch's validation beats the best so far: by accuracy and then loss, or by loss alone."""
    if best is None:
        return True
    by_accuracy = config.select == "accuracy" and "valid_accuracy" in row

    def key(entry: dict[str, float]) -> tuple[float, float]:
        return (entry["valid_accuracy"] if by_accuracy else 0.0, -entry["valid_loss"])

    return key(row) > key(best)
