import pytest
import torch

from jointlib.waveunet import Upsample, WaveUNet


@pytest.mark.parametrize("steps", [1, 2, 5, 32_768])
def test_upsampling_is_linear_and_keeps_both_ends(steps):
    """A ramp stays a ramp, to the last bits of double precision: F.interpolate is off by 0.006 at 32,768 samples."""
    ramp = torch.arange(steps, dtype=torch.float64).expand(1, 1, -1)
    expected = torch.linspace(0, steps - 1, 2 * steps, dtype=torch.float64)
    torch.testing.assert_close(Upsample()(ramp)[0, 0], expected, atol=1e-10, rtol=0)


def test_chunks_are_processed_apart():
    whole = WaveUNet(layers=3, channels=2).eval()
    chunked = WaveUNet(layers=3, channels=2, chunk=32).eval()
    chunked.load_state_dict(whole.state_dict())
    wave = torch.randn(2, 1, 90)
    enhanced, bottleneck = chunked(wave)
    padded = torch.nn.functional.pad(wave, (0, 6))
    parts = [whole(part) for part in padded.split(32, dim=-1)]
    torch.testing.assert_close(enhanced, torch.cat([part[0] for part in parts], dim=-1)[..., :90])
    torch.testing.assert_close(bottleneck, torch.cat([part[1] for part in parts], dim=-1))


def test_output_is_bounded():
    enhanced, _ = WaveUNet(layers=3, channels=2)(100 * torch.randn(1, 1, 64))
    assert enhanced.abs().max() <= 1
