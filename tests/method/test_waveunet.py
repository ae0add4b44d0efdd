import pytest
import torch

from jointlib.waveunet import WaveUNet


def count(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def test_published_size():
    assert count(WaveUNet()) == 10_132_802


@pytest.mark.parametrize("length", [1, 7, 64, 65, 1001])
def test_any_length_comes_back_at_its_length(length):
    model = WaveUNet(layers=4, channels=3)
    enhanced, bottleneck = model.eval()(torch.randn(2, 1, length))
    assert enhanced.shape == (2, 1, length)
    assert bottleneck.shape == (2, 12, -(-length // 16))


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


def test_a_chunk_that_the_stride_does_not_divide_is_refused():
    with pytest.raises(ValueError, match="multiple of the stride, 8"):
        WaveUNet(layers=3, chunk=20)


def test_output_is_bounded():
    enhanced, _ = WaveUNet(layers=3, channels=2)(100 * torch.randn(1, 1, 64))
    assert enhanced.abs().max() <= 1


@pytest.mark.parametrize("length", [16 * 40, 1001, 3001])
@pytest.mark.parametrize("channels", [3, 16])
def test_tiles_give_what_the_whole_wave_gives(length, channels):
    model = WaveUNet(layers=4, channels=channels).double()
    for _ in range(3):
        model(torch.randn(4, 1, 500, dtype=torch.float64))  # statistics that are not those of the start
    model.eval()
    wave = torch.randn(2, 1, length, dtype=torch.float64)
    whole = model(wave)
    model.tile = 100  # seven strides
    with torch.inference_mode():
        tiled = model(wave)
        for ours, theirs in zip(tiled, whole, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
        model.reach //= 4  # too little of the neighbours shows
        assert (model(wave)[0] - whole[0]).abs().max() > 1e-6
