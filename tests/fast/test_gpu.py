"""fast_gpu without a GPU: equal to the plain networks, one graph, memory, what is computed in float32."""

import copy

import pytest
import torch
from conftest import network
from torch import nn
from torch._subclasses import FakeTensorMode

from benchmarks.memory import BOUND, peak
from jointlib.config import Config
from jointlib.fast.cpu import fast_cpu
from jointlib.fast.gpu import swap_for_gpu
from jointlib.runs.run import build_network, save_memory
from jointlib.strategies import STRATEGIES
from jointlib.tcn import Filterbank

# A strategy for each of the networks: they differ in nothing else.
NETWORKS = {(row.network, row.frontend, row.gradient): name for name, row in STRATEGIES.items()}.values()
TOLERANCE = {torch.float32: (1e-5, 3e-4), torch.float64: (1e-13, 1e-11)}  # of outputs, of gradients
SMALL = {"frontend_layers": 3, "tcn_repeats": 1, "tcn_blocks": 2}


def build(strategy: str, dtype: torch.dtype = torch.float32, **sizes) -> nn.Module:
    """A network whose gains, biases and slopes are none of those that it starts with."""
    model = network(strategy, **sizes)[1].to(dtype)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model


def run(model: nn.Module, wave: torch.Tensor) -> dict[str, torch.Tensor]:
    """Outputs, gradients and statistics by name."""
    wave = wave.clone().requires_grad_()
    outputs = [made for made in model(wave) if made is not None]
    sum((made * torch.ones_like(made).cumsum(-1).sin()).sum() for made in outputs).backward()
    found = {f"output {number}": made for number, made in enumerate(outputs)}
    found |= {f"gradient of {name}": p.grad for name, p in model.named_parameters() if p.grad is not None}
    statistics = {name: value for name, value in model.named_buffers() if value.is_floating_point()}
    return found | {"gradient of the wave": wave.grad} | statistics


def check(fast: nn.Module, plain: nn.Module, wave: torch.Tensor) -> None:
    found, expected = run(fast, wave), run(plain, wave)
    assert list(found) == list(expected)
    largest = max(value.norm() for name, value in expected.items() if name.startswith("gradient"))
    for name, value in expected.items():
        is_gradient = name.startswith("gradient")
        error = (found[name] - value).norm() / (value.norm() + 0.01 * largest * is_gradient + 1e-9)
        assert error < TOLERANCE[wave.dtype][is_gradient], f"{name}: {error:.1e}"


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("stem", [None, (40, 16, 8)], ids=["wave", "stem"])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_equals_the_plain_network(strategy, stem, dtype):
    plain = build(strategy, dtype, stem=stem)
    fast = swap_for_gpu(copy.deepcopy(plain))
    assert list(fast.state_dict()) == list(plain.state_dict())
    wave = torch.randn(2, 1, 1601, dtype=dtype)
    check(fast, plain, wave)
    check(fast.eval(), plain.eval(), wave[..., :333])


def test_a_fault_is_found():
    plain = build("jt", stem=None)
    fast = swap_for_gpu(copy.deepcopy(plain))
    next(part for part in fast.modules() if type(part).__name__ == "ShiftedConv").dilation = (2,)
    with pytest.raises(AssertionError, match="output 1"):
        check(fast, plain, torch.randn(2, 1, 400))


@pytest.mark.parametrize("strategy", NETWORKS)
def test_is_one_graph_which_gives_the_same(strategy):
    """Without the last stage, that writes kernels: what comes before it is the same for every device."""
    torch._dynamo.reset()
    plain, wave = build(strategy, **SMALL), torch.randn(2, 1, 321)
    fast = swap_for_gpu(copy.deepcopy(plain))
    fast.compile(backend="aot_eager", fullgraph=True)
    check(fast, plain, wave)


def test_is_one_graph_that_computes_blocks_twice_to_save_memory():
    torch._dynamo.reset()
    plain = build("classifier_noisy", stem=None, **SMALL)
    fast = save_memory(swap_for_gpu(copy.deepcopy(plain)))
    fast.compile(backend="aot_eager", fullgraph=True)
    check(fast, plain, torch.randn(2, 1, 321))


@pytest.mark.parametrize("strategy", NETWORKS)
def test_takes_a_batch_at_the_published_sizes_on_a_gpu(strategy):
    """On tensors of CUDA without content; autocast needs a GPU, so in float32."""
    with FakeTensorMode(), torch.device("cuda"), torch.no_grad():
        model = swap_for_gpu(build_network(Config(profile="full", strategy=strategy), 31)).train()
        made = [output for output in model(torch.randn(32, 1, 64_000)) if output is not None]
    assert all(output.is_cuda for output in made)
    assert {tuple(output.shape) for output in made} <= {(32, 1, 64_000), (32, 31)}


@pytest.mark.parametrize("strategy", ["jt", "bn"])
def test_a_step_stays_below_the_recorded_memory(strategy):
    found = peak(Config(profile="full", strategy=strategy))
    assert 0.8 * BOUND[strategy] < found < BOUND[strategy]


@pytest.mark.parametrize("swap", [nn.Module.train, fast_cpu, swap_for_gpu], ids=["plain", "fast_cpu", "fast_gpu"])
@pytest.mark.parametrize("strategy", NETWORKS)
def test_under_autocast_filterbanks_and_heads_stay_in_float32(strategy, swap):
    model, made = swap(build(strategy)), {}
    for name, part in model.named_modules():
        if isinstance(part, nn.Conv1d | nn.ConvTranspose1d | nn.Linear | nn.Tanh | Filterbank):
            part.register_forward_hook(lambda _part, _inputs, output, name=name: made.update({name: output.dtype}))
    with torch.autocast("cpu", torch.bfloat16):
        outputs = model(torch.randn(2, 1, 1601))
    exact = {name for name, dtype in made.items() if dtype == torch.float32}
    ends = ("features.0", "features.0.filters", "head.0", "head.1", "analysis", "synthesis")
    assert exact == {name for name in made if name.endswith(ends)} and len(exact) < len(made)
    assert all(output.dtype == torch.float32 for output in outputs if output is not None)
    assert all(dtype in (torch.float32, torch.bfloat16) for dtype in made.values())
