"""Run.process: what it takes, what it gives back, how strongly it enhances; and the README's example of it."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from jointlib.audition import sounds
from jointlib.runs.enhance import main
from jointlib.runs.run import add_observation, load_run, matching_gain
from jointlib.strategies import JointOutput

WAVE = 0.1 * np.random.default_rng(0).normal(size=9000)
README = Path(__file__).parents[2] / "README.md"


@pytest.fixture(scope="module")
def runs(tiny_runs):
    return {name: load_run(folder) for name, folder in tiny_runs.items()}


@pytest.mark.parametrize("kind", ["int8", "int16", "int32", "float16", "float32", "float64", ">f4", "longdouble"])
def test_every_type_of_samples_is_scaled_as_soundfile_does(kind, runs):
    scale = 2.0 ** (8 * np.dtype(kind).itemsize - 1) if np.dtype(kind).kind == "i" else 1
    wave = np.round(WAVE * scale).astype(kind) if scale > 1 else WAVE.astype(kind)
    enhanced, probabilities = runs["jt"].process(wave, 8000)
    assert type(enhanced) is type(probabilities) is np.ndarray and enhanced.dtype == np.float32
    wanted, likely = runs["jt"].process(torch.from_numpy(wave.astype(np.float64) / scale), 8000)
    np.testing.assert_allclose(enhanced, wanted.numpy(), atol=1e-6)
    np.testing.assert_allclose(probabilities, likely.numpy(), atol=1e-6)


@pytest.mark.parametrize("kind", [torch.int16, torch.float16, torch.bfloat16, torch.float64])
def test_tensors_come_back_as_tensors(kind, runs):
    wave = torch.from_numpy(WAVE * (1 if kind.is_floating_point else 32768)).to(kind)
    enhanced, probabilities = runs["jt"].process(wave.requires_grad_(kind.is_floating_point))
    assert enhanced.dtype == probabilities.dtype == torch.float32 and enhanced.shape == wave.shape
    assert runs["classifier_clean"].process(wave)[0] is None


def test_samples_of_a_file_are_those_of_any_reader(runs, tmp_path):
    soundfile.write(tmp_path / "a.wav", np.stack([WAVE, WAVE[::-1]], axis=1), 44_100, subtype="PCM_16")
    found = [
        runs["jt"].process(soundfile.read(tmp_path / "a.wav", dtype=kind)[0].T, 44_100) for kind in ("int16", "float64")
    ]
    np.testing.assert_allclose(found[0][0], found[1][0], atol=1e-6)
    mean = (WAVE + WAVE[::-1]) / 2
    np.testing.assert_allclose(found[0][0], runs["jt"].process(mean, 44_100)[0], atol=1e-3)


WRONG = {
    "(T, C)": (WAVE.reshape(-1, 2), r"shape \(4500, 2\); expected \(T,\), or \(C, T\) for C channels, not \(T, C\)"),
    "three dimensions": (torch.zeros(1, 1, 800), r"shape \(1, 1, 800\)"),
    "a number": (np.array(1.0), r"shape \(\)"),
    "no channel": (np.zeros((0, 800)), "shape"),
    "no samples": (np.zeros(0), "0 s of sound"),
    "a list": (WAVE.tolist(), "a wave as a list; expected a numpy array or a torch tensor"),
    "unsigned": (np.zeros(800, np.uint8), "a wave of uint8; expected floats, int8, int16 or int32"),
    "long": (torch.zeros(800, dtype=torch.int64), "a wave of int64"),
    "complex": (WAVE * 1j, "a wave of complex128"),
    "true or false": (torch.ones(800, dtype=torch.bool), "a wave of bool"),
    "words": (np.array(["a"] * 800), "a wave of <U1"),
    "too large for a float": (np.full(800, 1e300), "not finite"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_wave_is_told(name, runs):
    wave, message = WRONG[name]
    with pytest.raises((ValueError, FloatingPointError), match=message):
        runs["jt"].process(wave)


@pytest.mark.parametrize("strength", [-0.1, 1.1, float("nan")])
def test_what_is_no_strength_is_told(strength, runs, tiny_runs, tmp_path, capsys):
    with pytest.raises(ValueError, match=r"a strength of .*; expected 0"):
        runs["jt"].process(WAVE, strength=strength)
    with pytest.raises(SystemExit) as ended:
        main([str(tiny_runs["jt"]), "in", str(tmp_path / "out"), f"--strength={strength}"])
    assert ended.value.code == 2 and "must be 0 to 1" in capsys.readouterr().err


def test_strength_is_that_of_the_audition(runs):
    noisy = torch.from_numpy(WAVE).float()
    made = sounds.enhance(runs["jt"], noisy)
    for strength in (0.0, 0.3, 0.999):
        enhanced, probabilities = runs["jt"].process(noisy, level_db=None, strength=strength)
        torch.testing.assert_close(enhanced, made.at(strength), atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(probabilities, made.classify(made.at(strength)[None])[0], atol=1e-5, rtol=1e-5)


def test_strength_is_between_the_input_and_the_enhanced_wave_at_the_inputs_rate_and_level(runs):
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


def test_the_enhanced_wave_fits_the_input_at_every_strength(runs):
    noisy = torch.from_numpy(WAVE).float()
    raw, _ = runs["jt"].process(noisy, level_db=None)
    upside_down = replace(runs["jt"], model=UpsideDown(runs["jt"].model, 3.0))
    for strength in (1, 0.999):
        enhanced, _ = upside_down.process(noisy, level_db=-20, strength=strength)
        assert enhanced @ noisy > 0  # JT leaves level and sign free
        torch.testing.assert_close(enhanced, runs["jt"].process(noisy, level_db=-20, strength=strength)[0])
    torch.testing.assert_close(upside_down.process(noisy, level_db=None)[0], -3 * raw)


class UpsideDown(torch.nn.Module):
    """A network's enhanced wave, times minus a gain."""

    waves = 0

    def __init__(self, model, gain):
        super().__init__()
        self.model, self.gain = model, gain

    def forward(self, wave):
        enhanced, logits = self.model(wave)
        return JointOutput(-self.gain * enhanced, logits)


def test_the_level_fits_best_and_silence_has_one():
    noisy = torch.from_numpy(WAVE)
    assert matching_gain(-0.5 * noisy, noisy) == pytest.approx(-2) and matching_gain(0 * noisy, noisy) == 1
    assert matching_gain(1e-9 * noisy, noisy) == pytest.approx(1e9)
    assert torch.equal(add_observation(noisy, 0 * noisy, torch.tensor([[1.0], [0.5]])), torch.stack([noisy, noisy / 2]))


TOLD = {
    ("jt", 0.5): "",
    ("bn", 1): "",
    (
        "bn",
        0.5,
    ): "bn_alpha0.5_seed0 does not read the enhanced wave alone: what it classifies is the same at any strength\n",
    ("classifier_clean", 0.5): "classifier_clean_seed0 does not enhance: no wav is written\n",
}


@pytest.mark.parametrize(("strategy", "strength"), TOLD)
def test_what_a_run_does_not_do_is_told_once(strategy, strength, tiny_runs, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    for name in ("a", "b"):
        soundfile.write(tmp_path / f"in/{name}.wav", WAVE, 16_000)
    given = [str(tiny_runs[strategy]), str(tmp_path / "in"), str(tmp_path / "out"), "--strength", str(strength)]
    main(given)
    told = "".join(
        line for line in capsys.readouterr().err.splitlines(keepends=True) if not line.startswith("Enhancing")
    )
    assert told == TOLD[strategy, strength]
    assert len(list((tmp_path / "out").glob("*.wav"))) == (0 if "no wav" in told else 2)


def test_the_readmes_example_runs(tiny_runs, tmp_path, monkeypatch, capsys):
    (block,) = re.findall(r"^```python\n(.*?)^```$", README.read_text(), re.M | re.S)
    shutil.copytree(tiny_runs["bn"], tmp_path / "results/quick/runs/bn_alpha0.5_seed0")
    soundfile.write(tmp_path / "command.wav", np.stack([WAVE, WAVE], axis=1), 8000)
    monkeypatch.chdir(tmp_path)
    exec(block, {})
    enhanced, sample_rate = soundfile.read("enhanced.wav")
    assert enhanced.shape == WAVE.shape and sample_rate == 8000 and enhanced.any()
    assert " / " in capsys.readouterr().out
