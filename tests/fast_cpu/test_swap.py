"""The library's networks against the same networks written down literally."""

import pytest
import torch

from benchmarks.plain_models import PlainJoint
from benchmarks.roofline import count
from jointlib.fast_cpu.convolutions import DepthwiseConv
from jointlib.fast_cpu.layers import PReLU, channels_last
from jointlib.strategies import STRATEGIES
from jointlib.waveunet import WaveUNet

JOINT = ["jt", "bn", "bn_mix"]
SMALL = ({"layers": 4, "channels": 3}, {"classes": 5, "channels": 6, "hidden": 8, "repeats": 2, "blocks": 3}, 4)
TOLERANCE = {torch.float32: (1e-5, 1e-4), torch.float64: (1e-10, 1e-10)}  # of outputs, of gradients


def build(strategy: str, sizes=SMALL, dtype=torch.float32, training=True):
    """A network with no weight left at its start, where a gain of one or a bias of zero would hide a fault."""
    torch.manual_seed(0)
    model = STRATEGIES[strategy].network(*sizes).to(dtype)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter) * parameter.std(correction=0).clamp(min=0.5))
        for name, statistic in model.named_buffers():
            if statistic.is_floating_point():
                statistic.add_(torch.rand_like(statistic) * (1 if name.endswith("var") else 0.2))
    return model.train(training)


def compare(model, wave) -> None:
    """Outputs, gradients of every weight and of the wave, and what batch norm has collected."""
    plain = PlainJoint(model)
    near, near_gradient = TOLERANCE[wave.dtype]
    waves = [wave.clone().requires_grad_() for _ in range(2)]
    ours, theirs = tuple(model(waves[0])), plain(waves[1])
    for got, expected in zip(ours, theirs, strict=True):
        torch.testing.assert_close(got, expected, atol=near, rtol=near)
    weights = [torch.randn_like(output) for output in theirs]
    for outputs in (ours, theirs):
        sum((output * weight).sum() for output, weight in zip(outputs, weights, strict=True)).backward()
    gradients = {name: (value.grad, plain.weights[name].grad) for name, value in model.named_parameters()}
    scale = max(expected.norm() for _, expected in gradients.values())
    for name, (got, expected) in {**gradients, "wave": (waves[0].grad, waves[1].grad)}.items():
        # A bias in front of batch norm has a gradient of zero: beside the largest gradient is what it is measured.
        error = (got - expected).norm() / (expected.norm() + 0.01 * scale)
        assert error < near_gradient, f"{name}: {error:.1e}"
    for name, statistic in model.named_buffers():
        if statistic.is_floating_point():
            torch.testing.assert_close(statistic, plain.weights[name], atol=near, rtol=near)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("training", [True, False], ids=["training", "eval"])
@pytest.mark.parametrize("length", [20, 160, 333, 1024])
@pytest.mark.parametrize("strategy", JOINT)
def test_agrees_with_the_plain_network(strategy, length, training, dtype):
    model = build(strategy, dtype=dtype, training=training)
    compare(model, torch.randn(2, 1, length, dtype=dtype))


@pytest.mark.parametrize("training", [True, False], ids=["training", "eval"])
@pytest.mark.parametrize("strategy", ["jt", "bn_mix"])
def test_agrees_in_chunks(strategy, training):
    frontend, backend, mix = SMALL
    model = build(strategy, ({**frontend, "chunk": 64}, backend, mix), torch.float64, training)
    compare(model, torch.randn(3, 1, 150, dtype=torch.float64))


@pytest.mark.parametrize("length", [4096, 4099])
@pytest.mark.parametrize("channels", [16, 18])
def test_agrees_where_channels_lie_side_by_side(channels, length):
    """Wide networks on long waves: the layout of `jointlib.layers`, the tiles of `jointlib.convolutions`."""
    model = build("jt", ({"layers": 3, "channels": channels}, SMALL[1], 4))
    compare(model, torch.randn(2, 1, length))


def errors(outputs, theirs, model, plain) -> dict[str, float]:
    """Of outputs and of every gradient, relative to the plain network's."""
    weights = [torch.ones_like(output).cumsum(-1).sin() for output in theirs]
    for some in (outputs, theirs):
        sum((output.float() * weight).sum() for output, weight in zip(some, weights, strict=True)).backward()
    pairs = {str(number): pair for number, pair in enumerate(zip(outputs, theirs, strict=True))}
    pairs |= {name: (value.grad, plain.weights[name].grad) for name, value in model.named_parameters()}
    scale = max(expected.norm() for _, expected in pairs.values())
    return {
        name: ((got - expected).norm() / (expected.norm() + 0.01 * scale)).item()
        for name, (got, expected) in pairs.items()
    }


@pytest.mark.parametrize("strategy", JOINT)
@pytest.mark.parametrize("length", [4099, 512])
def test_bfloat16_on_a_cpu_is_as_near_as_torchs_own_layers(strategy, length, monkeypatch):
    wave = torch.randn(2, 1, length)
    found = []
    for _ in range(2):
        model = build(strategy, ({"layers": 3, "channels": 16}, SMALL[1], 4))
        plain = PlainJoint(model)
        with torch.autocast("cpu", torch.bfloat16):
            outputs = model(wave)
        found.append(errors(outputs, plain(wave), model, plain))
        monkeypatch.setattr("jointlib.tcn.channels_last", lambda x, **_: x)
        monkeypatch.setattr("jointlib.waveunet.channels_last", lambda x: x)
        monkeypatch.setattr(PReLU, "forward", torch.nn.PReLU.forward)
    for name, error in found[0].items():
        assert error < 1.5 * found[1][name] + 0.02, f"{name}: {error:.2f}, torch's own {found[1][name]:.2f}"
    assert 0.001 < found[0]["0"] < 0.02


@pytest.mark.parametrize("strategy", JOINT)
def test_agrees_at_published_sizes(strategy):
    """In double precision; in single precision as near to it as the plain network is, but for a factor of two."""
    model = build(strategy, ({}, {}, 64))
    plain, wave = PlainJoint(model), torch.randn(2, 1, 8192)
    with torch.no_grad():
        exact = PlainJoint(model.double())(wave.double())
        for got, expected in zip(model(wave.double()), exact, strict=True):
            torch.testing.assert_close(got, expected, atol=1e-10, rtol=1e-10)
        for got, rounded, expected in zip(model.float()(wave), plain(wave), exact, strict=True):
            assert (got - expected).abs().max() < 2 * (rounded - expected).abs().max() + 1e-5


def test_a_fault_is_found(monkeypatch):
    """With one sample decimated otherwise nothing agrees any more."""
    model = build("jt")
    process = WaveUNet._process
    monkeypatch.setattr(WaveUNet, "_process", lambda self, wave: process(self, wave.roll(1, -1)))
    with pytest.raises(AssertionError):
        compare(model, torch.randn(2, 1, 160))


def test_the_roofline_counts_a_depthwise_convolution_once_a_channel():
    """Forward and twice backward; counted backward, torch multiplies every channel with every other."""
    layer = DepthwiseConv(8, 8, 3, padding=4, dilation=4, groups=8)
    operations, _ = count(layer, channels_last(torch.randn(1, 8, 1024)))
    assert operations == 3 * 2 * 3 * 8 * 1024
