"""Run.process: what it takes, what it gives back, how strongly it enhances; and the README's example of it."""

import copy
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from conftest import network

from jointlib.runs import run as module
from jointlib.runs.run import Run, add_observation, cross_fade, load_run, loudest, matching_gain
from jointlib.strategies import JointOutput

WAVE = 0.1 * np.random.default_rng(0).normal(size=9000)
README = Path(__file__).parents[2] / "README.md"


@pytest.fixture(scope="module")
def runs(tiny_runs):
    return {name: load_run(folder) for name, folder in tiny_runs.items()}


def test_load_run_gives_the_trained_model_at_any_rate_length_and_level(runs, tiny_runs):
    generator = torch.Generator().manual_seed(0)
    wave = torch.randn(3001, generator=generator)
    enhanced, probabilities = runs["jt"].process(wave, sample_rate=8000)
    assert enhanced.shape == (3001,)
    assert probabilities.shape == (3,) and probabilities.sum().item() == pytest.approx(1)
    loud, _ = runs["jt"].process(10 * wave, sample_rate=8000)
    torch.testing.assert_close(loud, 10 * enhanced, rtol=1e-3, atol=1e-3)
    with pytest.raises(FileNotFoundError, match=r"not a finished run, it lacks config.json"):
        load_run(tiny_runs["jt"].parent)


@pytest.mark.parametrize("kind", ["int16", "int32", "float16", "float64", ">f4"])
def test_every_type_of_samples_is_scaled_as_soundfile_does(kind, runs):
    scale = 2.0 ** (8 * np.dtype(kind).itemsize - 1) if np.dtype(kind).kind == "i" else 1
    wave = np.round(WAVE * scale).astype(kind) if scale > 1 else WAVE.astype(kind)
    enhanced, probabilities = runs["jt"].process(wave, 8000)
    assert type(enhanced) is type(probabilities) is np.ndarray and enhanced.dtype == np.float32
    wanted, likely = runs["jt"].process(torch.from_numpy(wave.astype(np.float64) / scale), 8000)
    assert wanted.dtype == likely.dtype == torch.float32
    np.testing.assert_allclose(enhanced, wanted.numpy(), atol=1e-6)
    np.testing.assert_allclose(probabilities, likely.numpy(), atol=1e-6)


def test_channels_are_averaged(runs):
    both = np.stack([WAVE, WAVE[::-1]])
    enhanced, _ = runs["jt"].process(both, 44_100)
    np.testing.assert_allclose(enhanced, runs["jt"].process(both.mean(axis=0), 44_100)[0], atol=1e-6)


WRONG = {
    "(T, C)": (WAVE.reshape(-1, 2), r"shape \(4500, 2\); expected \(T,\), or \(C, T\) for C channels, not \(T, C\)"),
    "three dimensions": (torch.zeros(1, 1, 800), r"shape \(1, 1, 800\)"),
    "no samples": (np.zeros(0), "expected one sample or more"),
    "unsigned": (np.zeros(800, np.uint8), "of uint8; expected floats, int8, int16 or int32"),
    "infinite": (np.full(800, np.inf), "not finite"),
    "too loud for its square": (torch.full((800,), 1e30), "not finite"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_waveform_is_told(name, runs):
    wave, message = WRONG[name]
    with pytest.raises((ValueError, FloatingPointError), match=message):
        runs["jt"].process(wave)


@pytest.mark.parametrize(("rate", "strength"), [(0, 1.0), (10**9, 1.0), (8000, -0.1), (8000, float("nan"))])
def test_what_is_no_rate_or_no_strength_is_told(rate, strength, runs):
    with pytest.raises(ValueError, match="expected"):
        runs["jt"].process(WAVE, rate, strength=strength)


@pytest.mark.parametrize("strategy", ["jt", "bn", "classifier_clean"])
def test_finite_weights_that_overflow_predict_nothing(strategy, tiny_runs):
    run = load_run(tiny_runs[strategy])
    with torch.no_grad():
        for weights in run.model.backend.parameters():
            weights.copy_(weights.sign() * 1e20)
    with pytest.raises(FloatingPointError, match="not finite"):
        run.process(WAVE)


def test_strength_adds_the_input_at_the_level_that_fits_best_and_the_sum_is_classified(runs):
    noisy = torch.from_numpy(WAVE).float()
    raw, _ = runs["jt"].process(noisy, level_db=None)
    gain, heard = matching_gain(raw, noisy), loudest(noisy, runs["jt"].config.clip_samples)
    for strength in (0.0, 0.3, 0.999):
        enhanced, probabilities = runs["jt"].process(noisy, level_db=None, strength=strength)
        expected = add_observation(gain * raw, noisy, strength)
        torch.testing.assert_close(enhanced, expected, atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(
            probabilities, runs["jt"].classify(expected[None, heard] / gain)[0], atol=1e-5, rtol=1e-5
        )


def test_strength_is_between_the_input_and_the_enhanced_waveform_at_the_inputs_rate_and_level(runs):
    whole, likely = runs["bn"].process(WAVE, 44_100)
    dry, likely_dry = runs["bn"].process(WAVE, 44_100, strength=0)
    np.testing.assert_array_equal(dry, WAVE.astype(np.float32))  # what lies above 8 kHz as well
    np.testing.assert_array_equal(likely, likely_dry)  # of the bottleneck
    half, _ = runs["bn"].process(WAVE, 44_100, strength=0.5)
    enhanced = 2 * half - dry
    assert abs(np.corrcoef(enhanced, whole)[0, 1]) == pytest.approx(1, abs=1e-5)  # JT and BN leave the sign free, too
    likely, likely_dry = (runs["jt"].process(WAVE, 44_100, strength=strength)[1] for strength in (1, 0))
    assert np.abs(likely - likely_dry).max() > 1e-6
    assert np.array_equal(*(runs["classifier_clean"].process(WAVE, strength=strength)[1] for strength in (1, 0)))


class Renamed(torch.nn.Module):
    """JT as a strategy of one's own may call its parts."""

    def __init__(self, model):
        super().__init__()
        self.denoise, self.intent = model.frontend, model.backend

    def forward(self, wave):
        enhanced, _ = self.denoise(wave)
        return JointOutput(enhanced, self.classify(enhanced))

    def classify(self, wave):
        return self.intent(wave)


@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_names_of_parts_decide_nothing(strength, runs):
    renamed = replace(runs["jt"], model=Renamed(runs["jt"].model))
    for made, wanted in zip(*(run.process(WAVE, strength=strength) for run in (renamed, runs["jt"])), strict=True):
        np.testing.assert_array_equal(made, wanted)


class UpsideDown(torch.nn.Module):
    """A network's enhanced waveform, times minus a gain."""

    def __init__(self, model, gain):
        super().__init__()
        self.model, self.gain = model, gain

    def forward(self, wave):
        enhanced, logits = self.model(wave)
        return JointOutput(-self.gain * enhanced, logits)


def test_the_enhanced_waveform_fits_the_input_at_every_strength(runs):
    noisy = torch.from_numpy(WAVE).float()
    raw, _ = runs["jt"].process(noisy, level_db=None)
    upside_down = replace(runs["jt"], model=UpsideDown(runs["jt"].model, 3.0))
    for strength in (1, 0.999):
        enhanced, _ = upside_down.process(noisy, level_db=-20, strength=strength)
        assert enhanced @ noisy > 0  # JT leaves level and sign free
        torch.testing.assert_close(enhanced, runs["jt"].process(noisy, level_db=-20, strength=strength)[0])
    torch.testing.assert_close(upside_down.process(noisy, level_db=None)[0], -3 * raw)


def test_the_level_fits_best_and_silence_has_one():
    noisy = torch.from_numpy(WAVE)
    assert matching_gain(-0.5 * noisy, noisy) == pytest.approx(-2) and matching_gain(0 * noisy, noisy) == 1
    assert matching_gain(1e-9 * noisy, noisy) == pytest.approx(1e9)
    assert torch.equal(add_observation(noisy, 0 * noisy, torch.tensor([[1.0], [0.5]])), torch.stack([noisy, noisy / 2]))


def test_a_copied_model_computes_with_its_own_weights(tiny_runs):
    run = load_run(tiny_runs["jt"])
    copied, wave = copy.deepcopy(run.model), torch.from_numpy(WAVE).float()[None, None]
    with torch.no_grad():
        for weights in run.model.parameters():
            weights.zero_()
        assert copied(wave).enhanced.abs().max() > 0
        assert copied(wave).logits.abs().max() > 0
        assert torch.equal(copied(wave).enhanced, load_run(tiny_runs["jt"]).model(wave).enhanced)


@pytest.mark.parametrize("before, behind", [(0, 9000), (40_000, 160), (160_000, 160_000)])
@pytest.mark.parametrize("room", [0.0, 1e-3])
def test_a_command_within_silence_or_room_tone_has_the_intent_of_the_command(runs, before, behind, room):
    """Its level, too, is not measured on silence."""
    run, rng = runs["classifier_clean"], np.random.default_rng(3)
    samples = run.config.clip_samples
    command = np.hanning(samples) * rng.normal(size=samples)
    _, alone = run.process(command)
    wave = np.pad(command, (before, behind)) + room * rng.normal(size=before + samples + behind)
    heard = loudest(torch.from_numpy(wave).float(), samples)
    assert abs(heard.start - before) <= 160
    assert run.process(wave)[1] == pytest.approx(alone, abs=0.05)


def test_the_loudest_clip_ends_within_the_recording():
    wave = torch.linspace(0, 1, 1930)
    assert loudest(wave, 1000) == slice(930, 1930)


def test_tiles_that_agree_are_joined_without_a_seam(monkeypatch):
    monkeypatch.setattr(module, "OVERLAP", 20)
    wave = torch.randn(2, 250)
    starts = [0, 50, 150]
    torch.testing.assert_close(cross_fade([wave[:, at : at + 100] for at in starts], starts), wave)


@pytest.mark.parametrize("strategy", ["jt", "bn", "jt_mask", "enhancement", "classifier_noisy"])
def test_long_waveforms_are_processed_in_tiles(strategy, monkeypatch):
    """The loudest clip is classified, and enhanced tiles are joined: the batches that the network sees are bounded."""
    config, model = network(strategy, clip_seconds=0.1)
    run, lengths = Run(Path(), config, ["a", "b", "c", "d"], model.eval()), []
    wave = torch.from_numpy(np.resize(WAVE, 20_000)).float()
    whole = run.process(wave)
    monkeypatch.setattr(module, "TILE", 2**13)
    monkeypatch.setattr(module, "OVERLAP", 2**10)
    model.register_forward_pre_hook(lambda _, inputs: lengths.append(inputs[0].shape[-1]))
    tiled = run.process(wave)
    assert lengths == [1600, *([2**13] * 3 if whole[0] is not None else [])]
    for there, expected in zip(tiled, whole, strict=True):
        assert (there is None) == (expected is None)
        if there is not None:
            assert there.shape == expected.shape and torch.corrcoef(torch.stack([there, expected]))[0, 1] > 0.9
    if hasattr(model, "classify") and tiled[0] is not None:
        halfway = run.process(wave, strength=0.999)
        torch.testing.assert_close(halfway[1], tiled[1], atol=1e-2, rtol=1e-2)


def test_the_readmes_example_runs(tmp_path, monkeypatch, capsys):
    (block,) = re.findall(r"^```python\n(.*?)^```$", README.read_text(), re.M | re.S)
    soundfile.write(tmp_path / "command.wav", np.stack([WAVE, WAVE], axis=1), 8000)
    monkeypatch.chdir(tmp_path)
    exec(block, {})
    enhanced, sample_rate = soundfile.read("enhanced.wav")
    assert enhanced.shape == WAVE.shape and sample_rate == 8000 and enhanced.any()
    assert " / " in capsys.readouterr().out
