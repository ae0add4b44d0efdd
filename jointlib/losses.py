"""The paper's loss as named terms and one weighted sum: alpha * MSE + (1 - alpha) * cross-entropy."""

import torch.nn.functional as F
from torch import Tensor


def loss_terms(enhanced: Tensor | None, logits: Tensor | None, clean: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """The terms that a network's output allows, each a scalar.

    ``mse``: mean square error of enhanced against clean (B, 1, T), over the whole clip with its zero padding.
    ``cross_entropy``: of logits (B, classes) against labels (B,), in nats.
    """
    terms = {}
    if enhanced is not None:
        terms["mse"] = F.mse_loss(enhanced.float(), clean)
    if logits is not None:
        terms["cross_entropy"] = F.cross_entropy(logits.float(), labels)
    return terms


def weighted_sum(terms: dict[str, Tensor], alpha: float) -> Tensor:
    """alpha * mse + (1 - alpha) * cross_entropy, over the terms there are."""
    weights = {"mse": alpha, "cross_entropy": 1 - alpha}
    return sum(weights[name] * term for name, term in terms.items())
