import pytest
import torch
from conftest import batch, network

from jointlib.losses import SPECTRAL, TERMS, loss_terms
from jointlib.masknet import MaskNet
from jointlib.strategies import JT
from jointlib.train import train_step


def passing(window: int = 320, hop: int = 160) -> MaskNet:
    """A front-end whose mask is one everywhere."""
    net = MaskNet(window, hop, channels=8, hidden=8, blocks=2)
    torch.nn.init.zeros_(net.mask[1].weight)
    torch.nn.init.constant_(net.mask[1].bias, 50)
    return net.double()


@pytest.mark.parametrize("length", [1, 159, 160, 3333])
@pytest.mark.parametrize(("window", "hop"), [(320, 160), (512, 128)])
def test_a_mask_of_one_gives_the_wave_back(length, window, hop):
    wave = 0.1 * torch.randn(2, 1, length, dtype=torch.double)
    enhanced, features = passing(window, hop)(wave)
    assert features.shape == (2, 8, -(-length // hop) + 1)
    torch.testing.assert_close(enhanced, wave, atol=1e-6, rtol=1e-5)


def test_the_published_size_is_what_the_docstring_says():
    assert sum(parameter.numel() for parameter in MaskNet().parameters()) == 126_768
    with pytest.raises(ValueError, match="the hop must divide half the window"):
        MaskNet(320, 100)


def test_the_level_is_kept():
    torch.manual_seed(0)
    net, wave = MaskNet().double().eval(), 0.1 * torch.randn(1, 1, 3200, dtype=torch.double)
    torch.testing.assert_close(net(0.01 * wave)[0], 0.01 * net(wave)[0])


@pytest.mark.parametrize("name", sorted(TERMS))
def test_every_term_is_least_for_clean_speech(name):
    clean = batch().clean
    noises = [clean + level * torch.randn(clean.shape) for level in (0.0, 0.001, 0.01, 0.1)]
    values = [TERMS[name](wave, clean).item() for wave in noises]
    assert values == sorted(values)


def test_snr_is_in_decibels():
    clean = torch.randn(4, 1, 16_000)
    assert TERMS["snr"](clean * 1.1, clean).item() == pytest.approx(-20, abs=1e-3)


@pytest.mark.parametrize("share", [0.0, 0.1])
def test_the_front_end_gets_a_share_of_the_classifiers_gradient(share):
    data, gradients = batch(), []
    for gradient in (1.0, share):
        torch.manual_seed(0)
        model = JT({"kind": "mask_net", "channels": 8, "hidden": 8, "blocks": 2}, {"classes": 4}, gradient)
        terms = loss_terms(*model(data.noisy), data.clean, data.labels, SPECTRAL)
        terms["cross_entropy"].backward()
        gradients.append(model.frontend.features[1].weight.grad)
    free, scaled = gradients
    torch.testing.assert_close(scaled, share * free, rtol=1e-3, atol=1e-7)


def test_a_named_loss_is_trained():
    config, model = network("jt", loss={"snr": 0.1, "spectrum": 10.0})
    found = train_step(model, batch(), torch.optim.Adam(model.parameters(), fused=True), config)
    assert {"mse", "snr", "spectrum", "cross_entropy"} <= set(found)
