import pytest
import torch

from jointlib.config import identity
from jointlib.corpora.batches import Batch
from jointlib.config import load_config
from jointlib.runs.run import build_network
from jointlib.train import build_optimizer, train_step
from jointlib.strategies import STRATEGIES, parents, set_training

JOINT = ["jt", "bn", "bn_mix"]


def network(strategy: str, **overrides):
    torch.manual_seed(0)
    overrides = {"learning_rate": 0.01, **overrides}
    config = load_config("smoke", strategy=strategy, **overrides)
    return config, build_network(identity(config), classes=4)


def batch(size: int = 4, length: int = 3200) -> Batch:
    generator = torch.Generator().manual_seed(1)
    time = torch.arange(length) / 16_000
    clean = torch.stack([0.1 * torch.sin(2 * torch.pi * 200 * (1 + label) * time) for label in range(size)])[:, None]
    noisy = clean + 0.02 * torch.randn(clean.shape, generator=generator)
    labels = torch.arange(size)
    return Batch(noisy, clean, labels, torch.full((size,), length), rows=labels)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("length", [1600, 1601])
def test_outputs(strategy, length):
    _, model = network(strategy)
    output = model.eval()(torch.randn(2, 1, length))
    if hasattr(model, "frontend"):
        assert output.enhanced.shape == (2, 1, length)
    if hasattr(model, "backend"):
        assert output.logits.shape == (2, 4)
    assert (output.enhanced is None) != hasattr(model, "frontend")
    assert (output.logits is None) != hasattr(model, "backend")


@pytest.mark.parametrize("strategy", ["classifier_noisy", *JOINT])
def test_one_batch_can_be_overfitted(strategy):
    config, model = network(strategy, alpha=0.1)
    optimizer = build_optimizer(set_training(model), config)
    losses = [train_step(model, batch(), optimizer, config)["cross_entropy"].item() for _ in range(60)]
    assert losses[-1] < 0.05 < losses[0]


def test_bfloat16_on_a_cpu_is_for_whoever_asks():
    losses = {}
    for asked in (None, False, True):
        config, model = network("jt", bf16=asked)
        losses[asked] = train_step(set_training(model), batch(), build_optimizer(model, config), config)["mse"].item()
    assert losses[None] == losses[False] != losses[True]
    assert losses[True] == pytest.approx(losses[None], rel=0.02)


@pytest.mark.parametrize("strategy", ["cascade_enhanced", "bn_frozen", "bn_mix_frozen"])
def test_frozen_parts_stay_bit_identical(strategy):
    config, model = network(strategy)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = build_optimizer(set_training(model, STRATEGIES[strategy].frozen), config)
    for _ in range(3):
        train_step(model, batch(), optimizer, config)
    changed = {name.split(".")[0] for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {name for name, _ in model.named_children()} - set(STRATEGIES[strategy].frozen)


def gradients(strategy: str, alpha: float) -> dict[str, float]:
    config, model = network(strategy, alpha=alpha)
    optimizer = torch.optim.SGD(set_training(model).parameters(), lr=0.0)
    train_step(model, batch(), optimizer, config)
    parts = {"encoder": model.frontend.encoder, "decoder": model.frontend.decoder, "backend": model.backend}
    return {
        name: sum(p.grad.abs().sum().item() for p in part.parameters() if p.grad is not None)
        for name, part in parts.items()
    }


def test_where_the_classification_loss_reaches():
    """alpha = 0: through the wave it trains all of the front-end, through the bottleneck its encoder alone."""
    assert all(value > 0 for value in gradients("jt", alpha=0.0).values())
    for strategy in ("bn", "bn_mix"):
        reached = gradients(strategy, alpha=0.0)
        assert reached["encoder"] > 0 and reached["backend"] > 0
        assert reached["decoder"] == 0


def test_alpha_one_leaves_the_classifier_alone():
    assert gradients("jt", alpha=1.0)["backend"] == 0


def test_every_parent_is_a_strategy_with_that_part():
    for strategy in STRATEGIES.values():
        for init in ("scratch", "pretrained", "frontend", "backend"):
            for part, parent in parents(strategy, init).items():
                own = strategy.network({"layers": 3, "channels": 2}, {"classes": 4}, 4)
                theirs = STRATEGIES[parent].network({"layers": 3, "channels": 2}, {"classes": 4}, 4)
                getattr(own, part).load_state_dict(getattr(theirs, part).state_dict())
