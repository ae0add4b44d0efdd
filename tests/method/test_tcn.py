import torch
from torch import nn

from jointlib.tcn import TCN, Filterbank, global_layer_norm


def test_global_layer_norm_agrees_with_its_formula():
    features = torch.randn(3, 5, 11, dtype=torch.float64) * 4 + 2
    norm = global_layer_norm(5).double()
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    mean = features.mean(dim=(1, 2), keepdim=True)
    variance = ((features - mean) ** 2).mean(dim=(1, 2), keepdim=True)
    expected = norm.weight[:, None] * (features - mean) / torch.sqrt(variance + 1e-8) + norm.bias[:, None]
    torch.testing.assert_close(norm(features), expected)


def test_receptive_field_is_125_steps():
    model = TCN()
    for part in model.modules():  # the norms see all of time: without them only the convolutions are left
        if isinstance(part, nn.GroupNorm):
            part.forward = lambda features: features
    wave = torch.randn(1, 1, 401, requires_grad=True)
    model.features(wave)[0, :, 200].sum().backward()
    seen = wave.grad[0, 0].nonzero().flatten()
    assert (seen.min(), seen.max()) == (200 - 62, 200 + 62)


def test_filterbank_gives_a_frame_every_hop():
    wave = torch.randn(2, 1, 16_000)
    assert Filterbank(400, 160, 8)(wave).shape == (2, 8, 101)
    assert TCN(1, classes=7, stem=(400, 160, 8))(wave).shape == (2, 7)


def test_filterbank_starts_as_a_log_spectrogram_whatever_the_phase():
    time = torch.arange(16_000) / 16_000
    bank = Filterbank(400, 160, 32)
    waves = torch.stack([torch.sin(2 * torch.pi * 1000 * time + phase) for phase in (0.0, 1.0, 2.0)])[:, None]
    frames = bank(waves)[..., 5:-5]  # (3, 32, F)
    band = frames.mean(dim=-1).argmax(dim=1)
    assert (band == band[0]).all()
    assert frames[:, band[0]].std() < 0.05
    weights = bank.filters.weight[band[0], 0]
    assert abs(torch.fft.rfft(weights, 16_000).abs().argmax().item() - 1000) < 120  # Hz
