import math

import pytest
import torch

from jointlib.losses import loss_terms, weighted_sum


def test_known_limits():
    clean, labels = torch.randn(4, 1, 50), torch.tensor([0, 1, 2, 3])
    terms = loss_terms(clean, torch.zeros(4, 31), clean, labels)
    assert terms["mse"] == 0
    assert terms["cross_entropy"].item() == pytest.approx(math.log(31))
    certain = loss_terms(clean + 0.1, 100.0 * torch.eye(31)[:4], clean, labels)
    assert certain["cross_entropy"].item() == pytest.approx(0, abs=1e-6)
    assert certain["mse"].item() == pytest.approx(0.01)


@pytest.mark.parametrize("alpha", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_weighted_sum_is_the_papers(alpha):
    terms = {"mse": torch.tensor(3.0), "snr": torch.tensor(99.0), "cross_entropy": torch.tensor(5.0)}
    assert weighted_sum(terms, alpha).item() == pytest.approx(alpha * 3 + (1 - alpha) * 5)
