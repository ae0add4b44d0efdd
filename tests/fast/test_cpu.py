"""fast_cpu against the plain networks that it swaps the layers of: outputs, gradients, statistics."""

import copy

import pytest
import torch

from jointlib.fast.cpu import channels_last, fast_cpu
from jointlib.strategies import BN, JT, BNMix
from jointlib.tcn import TCN

JOINT = [JT, BN, BNMix]
BACKEND = {"classes": 5, "channels": 6, "hidden": 8, "repeats": 2, "blocks": 3}
FRONTEND = {"layers": 3, "channels": 4}
TOLERANCE = {torch.float32: (1e-5, 1e-4), torch.float64: (1e-12, 1e-10)}  # of outputs, of gradients


def build(joint, frontend, backend=BACKEND, dtype=torch.float32, training=True):
    """A network with no weight left at its start, where a gain of one or a bias of zero would hide a fault."""
    torch.manual_seed(0)
    model = joint(frontend, backend).to(dtype)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter) * parameter.std(correction=0).clamp(min=0.5))
        for name, statistic in model.named_buffers():
            if statistic.is_floating_point():
                statistic.add_(torch.rand_like(statistic) * (1 if name.endswith("var") else 0.2))
    return model.train(training)


def run(model, wave, bf16=False) -> dict[str, torch.Tensor]:
    """Outputs, gradients of every weight and of the wave, and the statistics of batch norm, by name."""
    wave = wave.clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        outputs = model(wave)
    outputs = dict(zip(("enhanced", "logits"), outputs, strict=True))
    sum((output.float() * torch.ones_like(output).cumsum(-1).sin()).sum() for output in outputs.values()).backward()
    gradients = {f"gradient of {name}": value.grad for name, value in model.named_parameters()}
    statistics = {name: value for name, value in model.named_buffers() if value.is_floating_point()}
    return outputs | gradients | {"gradient of the wave": wave.grad} | statistics


def errors(found, expected) -> dict[str, float]:
    """Relative errors; a gradient is measured beside the largest as well: in front of batch norm a bias has none."""
    largest = max(value.norm() for name, value in expected.items() if name.startswith("gradient"))
    scale = {name: value.norm() + 0.01 * largest * name.startswith("gradient") for name, value in expected.items()}
    return {
        name: ((found[name] - value).norm() / scale[name].clamp_min(1e-9)).item() for name, value in expected.items()
    }


def check(model, wave) -> None:
    near, near_gradient = TOLERANCE[wave.dtype]
    found, expected = run(fast_cpu(copy.deepcopy(model)), wave), run(model, wave)
    assert list(found) == list(expected)
    for name, error in errors(found, expected).items():
        assert error < (near_gradient if name.startswith("gradient") else near), f"{name}: {error:.1e}"


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("length", [20, 333, 1024, 4099])  # the longer ones take the other layout
@pytest.mark.parametrize("joint", JOINT)
def test_equals_the_plain_network(joint, length, dtype):
    check(build(joint, FRONTEND, dtype=dtype), torch.randn(2, 1, length, dtype=dtype))


def test_equals_it_with_a_stem():
    model = build(JT, FRONTEND, {**BACKEND, "stem": (40, 16, 8)}, torch.float64)
    check(model, torch.randn(3, 1, 9001, dtype=torch.float64))


@pytest.mark.parametrize("joint", JOINT)
def test_equals_it_at_the_published_sizes(joint):
    check(build(joint, {}, {}, torch.float64, training=False), torch.randn(1, 1, 8192, dtype=torch.float64))


@pytest.mark.parametrize("joint", JOINT)
@pytest.mark.parametrize("length", [512, 4099])
def test_bfloat16_is_as_near_to_float32_as_the_plain_network_is(joint, length):
    wave, model = torch.randn(2, 1, length), build(joint, FRONTEND)
    exact = run(copy.deepcopy(model), wave)
    fast = errors(run(fast_cpu(copy.deepcopy(model)), wave, bf16=True), exact)
    plain = errors(run(model, wave, bf16=True), exact)
    for name, error in fast.items():
        assert error < 1.5 * plain[name] + 0.02, f"{name}: {error:.2f}, plain {plain[name]:.2f}"
    assert 0.001 < fast["logits"] < 0.1


def test_names_of_weights_and_what_is_no_layer_of_a_network_stay():
    plain = build(BNMix, FRONTEND)
    fast = fast_cpu(copy.deepcopy(plain))
    assert list(fast.state_dict()) == list(plain.state_dict())
    assert type(fast.wave_filter) is torch.nn.Conv1d and type(fast.backend.head[0]) is torch.nn.PReLU
    assert type(fast_cpu(TCN(stem=(40, 16, 8))).features[0].filters) is torch.nn.Conv1d  # strided


@pytest.mark.parametrize("stem", [None, (400, 160, 8)])
def test_trains_on_an_input_without_gradient(stem):
    """A frozen front-end's output, or the wave itself: torch 2.11 ended the process here."""
    channels = 6 if stem is None else 1
    model = fast_cpu(TCN(channels, stem=stem))
    model(channels_last(torch.randn(2, channels, 2000))).square().sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
