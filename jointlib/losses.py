"""Named loss terms, and their one weighted sum (the paper's loss: alpha * MSE + (1 - alpha) * cross-entropy)."""

import torch.nn.functional as F
from torch import Tensor

from jointlib.strategies import JointOutput


def loss_terms(output: JointOutput, clean: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """The terms that an output has: ``mse`` of enhanced against clean (B, 1, T), ``cross_entropy`` of logits.

    The mean square error counts every sample of the clip, the zero padding too.
    """
    terms = {}
    if output.enhanced is not None:
        terms["mse"] = F.mse_loss(output.enhanced.float(), clean)
    if output.logits is not None:
        terms["cross_entropy"] = F.cross_entropy(output.logits.float(), labels)
    return terms


def weighted_sum(terms: dict[str, Tensor], alpha: float) -> Tensor:
    """alpha * mse + (1 - alpha) * cross_entropy, over the terms there are."""
    weights = {"mse": alpha, "cross_entropy": 1 - alpha}
    return sum(weights[name] * term for name, term in terms.items())
