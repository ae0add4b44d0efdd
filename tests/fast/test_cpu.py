"""fast_cpu against the plain networks that it swaps the layers of: outputs, gradients, statistics."""

import copy

import pytest
import torch

from benchmarks.roofline import count
from jointlib.fast.cpu import fast_cpu
from jointlib.fast.cpu_convolutions import FastDepthwiseConv
from jointlib.fast.cpu_layers import FastDecimate, FastJoin, FastUpsample, channels_last
from jointlib.strategies import BN, JT, BNMix
from jointlib.tcn import TCN
from jointlib.waveunet import Decimate, Join, Upsample

JOINT = [JT, BN, BNMix]
BACKEND = {"classes": 5, "channels": 6, "hidden": 8, "repeats": 2, "blocks": 3}
NARROW, WIDE = {"layers": 4, "channels": 3}, {"layers": 3, "channels": 18}  # the wide one takes the other layout
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
@pytest.mark.parametrize("training", [True, False], ids=["training", "eval"])
@pytest.mark.parametrize(("frontend", "length"), [(NARROW, 20), (NARROW, 333), (NARROW, 1024), (WIDE, 4099)])
@pytest.mark.parametrize("joint", JOINT)
def test_equals_the_plain_network(joint, frontend, length, training, dtype):
    check(build(joint, frontend, dtype=dtype, training=training), torch.randn(2, 1, length, dtype=dtype))


def test_equals_it_with_a_stem_and_in_chunks():
    model = build(JT, {**WIDE, "chunk": 1024}, {**BACKEND, "stem": (40, 16, 8)}, torch.float64)
    check(model, torch.randn(3, 1, 9001, dtype=torch.float64))


@pytest.mark.parametrize("joint", JOINT)
def test_equals_it_at_the_published_sizes(joint):
    check(build(joint, {}, {}, torch.float64, training=False), torch.randn(1, 1, 8192, dtype=torch.float64))


@pytest.mark.parametrize("joint", JOINT)
@pytest.mark.parametrize("length", [512, 4099])
def test_bfloat16_is_as_near_to_float32_as_the_plain_network_is(joint, length):
    wave, model = torch.randn(2, 1, length), build(joint, WIDE)
    exact = run(copy.deepcopy(model), wave)
    fast = errors(run(fast_cpu(copy.deepcopy(model)), wave, bf16=True), exact)
    plain = errors(run(model, wave, bf16=True), exact)
    for name, error in fast.items():
        assert error < 1.5 * plain[name] + 0.02, f"{name}: {error:.2f}, plain {plain[name]:.2f}"
    assert 0.001 < fast["enhanced"] < 0.02


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("length", [1, 2, 600, 4099])
@pytest.mark.parametrize(
    ("plain", "fast", "inputs"), [(Decimate, FastDecimate, 1), (Upsample, FastUpsample, 1), (Join, FastJoin, 2)]
)
def test_layers_that_only_move_memory_are_equal_bit_for_bit(plain, fast, inputs, length, dtype):
    torch.manual_seed(0)
    values = [torch.randn(2, 3 + place, length, dtype=dtype) for place in range(inputs)]
    ours, theirs = ([value.clone().requires_grad_() for value in values] for _ in range(2))
    found, expected = fast()(*map(channels_last, ours)), plain()(*theirs)
    assert torch.equal(found, expected)
    weight = torch.randn_like(expected)
    for output in (found, expected):
        (output * weight).sum().backward()
    for mine, their in zip(ours, theirs, strict=True):
        assert torch.equal(mine.grad, their.grad)


def test_a_fault_is_found():
    """With one sample shifted nothing agrees any more."""
    model = build(JT, NARROW)
    shifted = copy.deepcopy(model)
    whole = shifted.frontend.enhance
    shifted.frontend.enhance = lambda wave: whole(wave.roll(1, -1))
    wave = torch.randn(2, 1, 160)
    assert max(errors(run(shifted, wave), run(model, wave)).values()) > 0.01


def test_names_of_weights_and_what_is_no_layer_of_a_network_stay():
    plain = build(BNMix, WIDE)
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


def test_the_roofline_counts_a_depthwise_convolution_once_a_channel():
    """Forward and twice backward; counted backward, torch multiplies every channel with every other."""
    layer = FastDepthwiseConv(8, 8, 3, padding=4, dilation=4, groups=8)
    operations, _ = count(layer, channels_last(torch.randn(1, 8, 1024)))
    assert operations == 3 * 2 * 3 * 8 * 1024


def test_the_roofline_counts_bytes_as_they_are_under_autocast():
    """All but the waves at both ends in half as many bytes."""
    model, wave = build(BN, WIDE), torch.randn(2, 1, 1024)
    operations, moved = count(model, wave)
    under_autocast = count(model, wave, bf16=True)
    assert under_autocast[0] == operations and 0.5 * moved < under_autocast[1] < 0.6 * moved
