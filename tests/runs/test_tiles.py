import pytest
import torch

from jointlib.fast.cpu import fast_cpu
from jointlib.runs import tiles
from jointlib.waveunet import WaveUNet


@pytest.mark.parametrize("length", [16 * 40, 1001, 3001])
@pytest.mark.parametrize(("channels", "swap"), [(3, fast_cpu), (16, fast_cpu), (3, lambda model: model)])
def test_tiles_give_what_the_whole_wave_gives(length, channels, swap, monkeypatch):
    model = swap(WaveUNet(layers=4, channels=channels).double())
    for _ in range(3):
        model(torch.randn(4, 1, 500, dtype=torch.float64))  # statistics that are not those of the start
    model.eval()
    wave, whole = torch.randn(2, 1, length, dtype=torch.float64), model.enhance
    with torch.inference_mode():
        expected = model(wave)
        tiles.enhance_in_tiles(model, 100)  # seven strides
        for ours, theirs in zip(model(wave), expected, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
        model.enhance = whole
        reach = tiles.reach(model)
        monkeypatch.setattr(tiles, "reach", lambda unet: reach // 4)  # too little of the neighbours shows
        tiles.enhance_in_tiles(model, 100)
        assert (model(wave)[0] - expected[0]).abs().max() > 1e-6


def test_a_wave_that_fails_costs_no_other():
    model = WaveUNet(layers=4, channels=3).eval()
    wave, whole, calls = torch.randn(1, 1, 640), model.enhance, []

    def fails_in_the_second_tile(part):
        calls.append(part)
        if len(calls) == 2:
            raise MemoryError
        return whole(part)

    with torch.inference_mode():
        expected = model(wave[..., :90])[0]
        model.enhance = fails_in_the_second_tile
        tiles.enhance_in_tiles(model, 100)
        with pytest.raises(MemoryError):
            model(wave)
        assert torch.equal(model(wave[..., :90])[0], expected)


def test_separate_chunks_are_taken_a_few_at_a_time():
    model = WaveUNet(layers=4, channels=3, chunk=64).eval()
    wave, whole, sizes = torch.randn(1, 1, 1000), model.enhance, []

    def counted(part):
        sizes.append(part.numel())
        return whole(part)

    with torch.inference_mode():
        expected = model(wave)
        model.enhance = counted
        tiles.enhance_in_tiles(model, 128)
        for ours, theirs in zip(model(wave), expected, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)
    assert len(sizes) == 8 and max(sizes) == 128
