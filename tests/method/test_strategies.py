import subprocess
import sys
from functools import partial

import pytest
import torch
from conftest import batch, network

from jointlib.config import load_config
from jointlib.runs.run import build_network
from jointlib.strategies import BN, INITS, JT, STRATEGIES, BNMix, parents, set_training
from jointlib.train import build_optimizer, train_step

JOINT = ["jt", "bn", "bn_mix"]


@pytest.mark.parametrize(
    ("joint", "parts"),  # BN-Mix adds a convolution of the wave: 64 filters of 4096 samples, and their biases
    [(JT, [10_132_802, 178_166]), (BN, [10_132_802, 197_108]), (BNMix, [10_132_802, 64 * 4096 + 64, 201_332])],
)
def test_the_defaults_are_the_published_networks(joint, parts):
    with torch.device("meta"):
        model = joint()
    assert [sum(parameter.numel() for parameter in part.parameters()) for part in model.children()] == parts


OWN = """
import torch
from torch import nn
from jointlib import strategies
from jointlib.strategies import FRONTENDS, JT, STRATEGIES, Strategy

class Own(nn.Module):
    stride, bottleneck_channels = 1, 1
    def __init__(self):
        super().__init__()
        self.filter = nn.Conv1d(1, 1, 3, padding=1)
    def forward(self, noisy):
        return self.filter(noisy), noisy

class Louder(JT):
    def forward(self, waveform):
        enhanced, logits = super().forward(2 * waveform)
        return enhanced, logits

FRONTENDS["own"] = Own
STRATEGIES["louder"] = Strategy("Louder", Louder, frontend="own", published=False)

from jointlib.config import load_config
from jointlib.findings import figures
from jointlib.runs.run import build_network
from jointlib.tcn import Filterbank

model = build_network(load_config("quick", strategy="louder", alpha=0.5), 4)
assert any(isinstance(part, Filterbank) for part in model.modules())  # quick's stem
enhanced, logits = model(torch.randn(2, 1, 1600))
assert enhanced.shape == (2, 1, 1600) and logits.shape == (2, 4) and "louder" in figures.LOOKS
assert build_network(load_config("quick", strategy="bn", frontend="own", alpha=0.5), 4)(torch.randn(2, 1, 1600))
"""


def test_a_strategy_and_a_front_end_of_ones_own():
    """As the README says."""
    subprocess.run([sys.executable, "-c", OWN], check=True)


@pytest.mark.parametrize("strategy", ["classifier_noisy", *JOINT])
def test_one_batch_can_be_overfitted(strategy):
    config, model = network(strategy, alpha=0.1)
    optimizer = build_optimizer(set_training(model), config)
    losses = [train_step(model, batch(), optimizer, config)["cross_entropy"].item() for _ in range(60)]
    assert losses[-1] < 0.05 < losses[0]


def test_frozen_parts_stay_bit_identical():
    config, model = network("cascade_enhanced")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = build_optimizer(set_training(model), config)
    for _ in range(3):
        train_step(model, batch(), optimizer, config)
    changed = {name.split(".")[0] for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"backend"}


def gradients(strategy: str, alpha: float) -> dict[str, float]:
    config, model = network(strategy, alpha=alpha)
    optimizer = torch.optim.SGD(set_training(model).parameters(), lr=0.0, fused=True)
    train_step(model, batch(), optimizer, config)
    parts = {"encoder": model.frontend.encoder, "decoder": model.frontend.decoder, "backend": model.backend}
    return {
        name: sum(p.grad.abs().sum().item() for p in part.parameters() if p.grad is not None)
        for name, part in parts.items()
    }


def test_where_the_classification_loss_reaches():
    """alpha = 0: through the wave all of the front-end, through the bottleneck its encoder; alpha = 1: nothing."""
    assert all(value > 0 for value in gradients("jt", alpha=0.0).values())
    for strategy in ("bn", "bn_mix"):
        reached = gradients(strategy, alpha=0.0)
        assert reached["encoder"] > 0 and reached["backend"] > 0
        assert reached["decoder"] == 0
    assert gradients("jt", alpha=1.0)["backend"] == 0


def test_every_parent_is_a_strategy_with_that_part():
    build = partial(load_config, "smoke")
    for name, strategy in STRATEGIES.items():
        for init in INITS:
            for part, parent in parents(strategy, init).items():
                own, theirs = (build_network(build(strategy=entry), 4) for entry in (name, parent))
                getattr(own, part).load_state_dict(getattr(theirs, part).state_dict())
