from itertools import islice

import pytest
import torch
from conftest import batch, network
from torch._subclasses import FakeTensorMode
from torch._subclasses.fake_tensor import DataDependentOutputException

from jointlib.config import load_config
from jointlib.corpora.batches import Batch, load_data
from jointlib.strategies import set_training
from jointlib.train import _check_finite, build_optimizer, learning_rate, selected, train_step


def test_bfloat16_on_a_cpu_is_for_whoever_asks():
    losses = {}
    for asked in (None, False, True):
        config, model = network("jt", bf16=asked)
        losses[asked] = train_step(set_training(model), batch(), build_optimizer(model, config), config)["mse"].item()
    assert losses[None] == losses[False] != losses[True]
    assert losses[True] == pytest.approx(losses[None], rel=0.02)


def test_a_loss_that_is_not_finite_makes_no_step():
    config, model = network("jt")
    before = {name: value.clone() for name, value in model.named_parameters()}
    spoilt = batch()._replace(clean=torch.full((4, 1, 3200), torch.nan))
    optimizer = build_optimizer(set_training(model), config)
    assert train_step(model, spoilt, optimizer, config)["mse"].isnan()
    assert all(torch.equal(value, before[name]) for name, value in model.named_parameters())
    assert all(not value.any() for state in optimizer.state.values() for value in state.values())
    train_step(model, batch(), optimizer, config)
    assert not all(torch.equal(value, before[name]) for name, value in model.named_parameters())


def test_a_step_asks_nothing_of_the_device():
    """Tensors without content, of which no number can be asked: where a GPU would be waited for, this raises."""
    with FakeTensorMode() as mode:
        config, model = network("jt", bf16=True)
        model, optimizer = set_training(model), build_optimizer(model, config)
        fake = Batch(*(mode.from_tensor(part) if isinstance(part, torch.Tensor) else part for part in batch()))
        for _ in range(2):
            terms = train_step(model, fake, optimizer, config)
        with pytest.raises(DataDependentOutputException):
            _check_finite([("step 1", terms, ())])


def test_of_several_steps_the_first_that_is_not_finite_is_named():
    steps = [(f"step {step}", {"mse": torch.tensor(float(step))}, (f"{step}.wav",)) for step in range(5)]
    _check_finite(steps)
    for step in (2, 4):
        steps[step][1]["mse"] /= 0
    with pytest.raises(FloatingPointError, match=r"^step 2: mse is inf. Utterances: 2.wav$"):
        _check_finite(steps)


def test_learning_rate_schedules():
    constant, cosine = (load_config("smoke", schedule=name, learning_rate=0.1) for name in ("constant", "cosine"))
    assert learning_rate(constant, 0.7) == 0.1
    rates = [learning_rate(cosine, progress / 100) for progress in range(101)]
    assert rates[0] < 1e-6 and rates[-1] < 1e-6
    assert max(rates) == pytest.approx(0.1, rel=0.02)


def test_the_best_validation_is_selected_and_of_equals_the_first():
    history = [
        {"valid_accuracy": 0.5, "valid_loss": 2.0},
        {"valid_accuracy": 0.7, "valid_loss": 3.0},
        {"valid_accuracy": 0.7, "valid_loss": 2.5},
        {"valid_accuracy": 0.7, "valid_loss": 2.5},
    ]
    assert selected(history, "accuracy") == 2 and selected(history, "loss") == 0
    assert selected([{"valid_loss": 2.0}, {"valid_loss": 1.0}], "accuracy") == 1  # nothing is classified


def test_batches_go_on_from_any_step(profile):
    """12 utterances in batches of 8: a pass takes two steps, each pass with an order and noises of its own."""
    data = load_data(load_config(profile))
    whole = list(islice(data.train_batches(), 7))
    assert [len(step.labels) for step in whole] == [8, 4, 8, 4, 8, 4, 8]
    passes = [sorted(whole[step].paths + whole[step + 1].paths) for step in (0, 2, 4)]
    assert passes[0] == passes[1] == passes[2] and whole[0].paths != whole[2].paths
    for first in (1, 2, 3, 5):
        for expected, found in zip(whole[first:], data.train_batches(first), strict=False):
            assert expected.paths == found.paths
            assert torch.equal(expected.noisy, found.noisy) and torch.equal(expected.labels, found.labels)
