import torch
from torch import nn

from jointlib.tcn import TCN, global_layer_norm


def count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def test_published_sizes():
    assert count(TCN(1)) == 178_166
    assert count(TCN(288)) == 197_108


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
    model = TCN(1)
    for block in model.features:  # the norms see all of time: without them only the convolutions are left
        for part in [block] if not hasattr(block, "body") else list(block.body):
            if isinstance(part, nn.GroupNorm):
                part.forward = lambda features: features
    wave = torch.randn(1, 1, 401, requires_grad=True)
    model.features(wave)[0, :, 200].sum().backward()
    seen = wave.grad[0, 0].nonzero().flatten()
    assert (seen.min(), seen.max()) == (200 - 62, 200 + 62)


def test_stem_gives_a_frame_every_hop():
    model = TCN(1, classes=7, stem=(400, 160, 8))
    frames = []
    model.features[3].register_forward_hook(lambda _module, _inputs, output: frames.append(output.shape[-1]))
    assert model(torch.randn(2, 1, 16_000)).shape == (2, 7)
    assert frames == [101]
