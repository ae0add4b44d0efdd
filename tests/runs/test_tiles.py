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
