import pytest
import torch

from jointlib.waveunet import Upsample, WaveUNet


def test_published_size():
    assert sum(parameter.numel() for parameter in WaveUNet().parameters()) == 10_132_802


@pytest.mark.parametrize("length", [1, 7, 64, 65, 1001])
def test_any_length_comes_back_at_its_length(length):
    model = WaveUNet(layers=4, channels=3)
    enhanced, bottleneck = model.eval()(torch.randn(2, 1, length))
    assert enhanced.shape == (2, 1, length)
    assert bottleneck.shape == (2, 12, -(-length // 16))


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


def test_a_chunk_that_is_no_multiple_of_the_stride_is_refused():
    with pytest.raises(ValueError, match="multiple of the stride, 8"):
        WaveUNet(layers=3, chunk=20)


def test_output_is_bounded():
    enhanced, _ = WaveUNet(layers=3, channels=2)(100 * torch.randn(1, 1, 64))
    assert enhanced.abs().max() <= 1
