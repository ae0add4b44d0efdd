"""What must hold for every gain, length and SNR, searched by hypothesis; each run tries the same examples."""

import math
from pathlib import Path

import pytest
import torch
from conftest import Untouched
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from jointlib.config import load_config
from jointlib.runs.run import Run, build_network
from jointlib.strategies import STRATEGIES
from jointlib.waveunet import WaveUNet

pytestmark = pytest.mark.trust

SEEDS = st.integers(0, 2**31 - 1)


def trained_alike(model: nn.Module, seed: int) -> nn.Module:
    """In eval mode, with statistics and biases such as training leaves, so that nothing is zero by chance."""
    generator = torch.Generator().manual_seed(seed)
    for part in model.modules():
        if isinstance(part, nn.BatchNorm1d):
            part.running_mean.normal_(generator=generator)
            part.running_var.uniform_(0.5, 2, generator=generator)
            nn.init.normal_(part.bias, generator=generator)
    return model.eval()


@given(st.integers(1, 300), st.integers(1, 4), st.integers(1, 6), st.integers(0, 3), SEEDS)
@torch.inference_mode()
def test_a_front_end_takes_any_length_and_a_batch_is_its_utterances(length, batch, layers, chunks, seed):
    """chunks: 0 reads the whole wave at once, else so many strides at a time."""
    torch.manual_seed(seed)
    model = trained_alike(WaveUNet(layers, channels=2, chunk=chunks * 2**layers or None), seed)
    wave = torch.randn(batch, 1, length)
    enhanced, bottleneck = model(wave)
    unit = model.chunk or model.stride
    frames = math.ceil(length / unit) * unit // model.stride
    assert enhanced.shape == wave.shape
    assert bottleneck.shape == (batch, model.bottleneck_channels, frames)
    alone = [model(one) for one in wave.split(1)]
    torch.testing.assert_close(enhanced, torch.cat([one[0] for one in alone]), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(bottleneck, torch.cat([one[1] for one in alone]), atol=1e-5, rtol=1e-4)


SIZES = {"frontend_layers": 4, "frontend_channels": 2, "stem": (40, 16, 4), "mix_channels": 2}
SIZES |= {"tcn_channels": 4, "tcn_hidden": 4, "tcn_repeats": 1, "tcn_blocks": 2}


@given(st.sampled_from(sorted(STRATEGIES)), st.integers(1, 300), st.integers(1, 3), SEEDS)
@torch.inference_mode()
def test_every_strategy_takes_any_length_and_a_batch_is_its_utterances(strategy, length, batch, seed):
    torch.manual_seed(seed)
    network = build_network(load_config("smoke", strategy=strategy, **SIZES), classes=3)
    model, wave = trained_alike(network, seed), torch.randn(batch, 1, length)
    output, alone = model(wave), [model(one) for one in wave.split(1)]
    shapes = [made if made is None else made.shape for made in output]
    has = [hasattr(model, part) for part in ("frontend", "backend")]
    assert shapes == [shape if there else None for shape, there in zip((wave.shape, (batch, 3)), has, strict=True)]
    for together, apart in zip(output, zip(*alone, strict=True), strict=True):
        if together is not None:
            assert together.isfinite().all()
            torch.testing.assert_close(together, torch.cat(apart), atol=1e-4, rtol=1e-3)


@given(st.sampled_from([8000, 11_025, 16_000, 44_099, 44_100, 48_000]), st.integers(1, 5000), st.floats(0, 6))
def test_a_run_gives_a_wave_back_at_its_rate_length_and_level(sample_rate, length, phase):
    """The front-end's output is its input here, so that nothing but resampling, levels and padding is left."""
    run = Run(Path(), load_config("smoke", clip_seconds=0.1), [], Untouched())
    wave = 0.01 * torch.sin(2 * torch.pi * 500 * torch.arange(length) / sample_rate + phase)
    enhanced, _ = run.process(wave, sample_rate)
    assert enhanced.shape == wave.shape
    inner = slice(sample_rate // 50, -sample_rate // 50)  # 20 ms at the edges are the filter's
    torch.testing.assert_close(enhanced[inner], wave[inner], atol=1e-5, rtol=0)
