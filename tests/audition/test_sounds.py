"""Computations of the audition, against independent ones."""

import io

import numpy as np
import pytest
import soundfile
import torch
import torchaudio.functional as AF

from jointlib.audition import sounds
from jointlib.runs.run import load_run

RNG = np.random.default_rng(0)


def wave(samples: int = 8000, level: float = 0.1) -> torch.Tensor:
    return torch.from_numpy(RNG.normal(scale=level, size=samples)).float()


def written(samples: np.ndarray, sample_rate: int, **how) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, sample_rate, **{"format": "WAV", **how})
    return file.getvalue()


@pytest.fixture(scope="module")
def runs(tiny_runs):
    return {name: load_run(folder) for name, folder in tiny_runs.items()}


BAD = {
    b"not a sound" * 100: "cannot be read as audio",
    written(np.full(8000, np.nan), 16_000, subtype="FLOAT"): "cannot be read as audio",
    written(np.zeros(8000), 16_000): "is silent",
    written(wave(100).numpy(), 16_000): "lasts 0.01 s",
    written(wave(31 * 8000).numpy(), 8000): "lasts 31.00 s",
}


@pytest.mark.parametrize(("content", "words"), BAD.items(), ids=range(len(BAD)))
def test_bad_sounds_in_plain_words(content, words):
    with pytest.raises(sounds.SoundError, match=f"^x.wav {words}[^\n]*$"):
        sounds.decode(content, "x.wav")


def test_strength_goes_from_the_noisy_speech_to_the_runs_own_classification(runs):
    noisy, intents = wave(), runs["jt"].intents
    made = sounds.enhance(runs["jt"], noisy, runs["classifier_clean"])
    dry, wet = made.at(0.0), made.at(1.0)
    assert torch.equal(dry, noisy) and torch.allclose(wet, made.wave)
    probabilities = runs["jt"].classify(noisy[None] / made.gain)[0].tolist()
    assert made.classify(dry) == pytest.approx(dict(zip(intents, probabilities, strict=True)), abs=1e-6)
    assert made.classify(wet) == pytest.approx(made.intents, abs=1e-5)


def test_a_listener_classifies_for_a_run_that_classifies_no_waveform(runs):
    noisy, listener = wave(), runs["classifier_clean"]
    assert sounds.enhance(runs["bn"], noisy).classifier is None
    made = sounds.enhance(runs["bn"], noisy, listener)
    assert made.classify(made.at(0.5)) == sounds.classify(listener, made.at(0.5))
    made = sounds.enhance(listener, noisy)  # a run without a front-end
    assert torch.equal(made.wave, noisy) and made.gain == 1
    assert made.classify(noisy) == pytest.approx(made.intents, abs=1e-6)


def test_classifications_name_channel_and_classifier(runs):
    clean, listener = wave(), runs["classifier_clean"]
    noisy = clean + wave()
    enhanced = {"A": sounds.enhance(runs["jt"], noisy, listener), "B": sounds.enhance(runs["bn"], noisy, listener)}
    waves = sounds.channels(clean, noisy, enhanced, residual_of="B")
    assert list(waves) == ["clean", "noisy", "enhanced A", "enhanced B", "residual"]
    assert torch.equal(waves["residual"], noisy - enhanced["B"].wave)
    found = sounds.classify_all(waves, enhanced, listener)
    assert [entry[0] for entry in found] == ["clean", "noisy", "enhanced A", "B: the bottleneck", "enhanced B"]
    own = ["its own classifier", "its own classifier, at any strength"]
    assert [entry[1] for entry in found] == ["listener", "listener", *own, "listener"]
    assert found[2][2] == enhanced["A"].classify(waves["enhanced A"]) and found[3][2] == enhanced["B"].intents


def test_channels_are_brought_to_one_loudness():
    waves = {"clean": wave(level=0.01), "noisy": wave(level=0.05), "enhanced A": wave(level=0.2), "residual": wave()}
    gains = sounds.loudness_gains(waves)
    loud = [float(AF.loudness((gains[name] * waves[name])[None], 16_000)) for name in ("clean", "noisy")]
    assert loud[0] == pytest.approx(loud[1], abs=0.01) and gains["residual"] == gains["noisy"]
    assert gains["clean"] == pytest.approx(5 * gains["noisy"], rel=0.03)
    assert max(float((gains[name] * wave).abs().max()) for name, wave in waves.items()) <= 0.9901
    gains = sounds.loudness_gains({"1": torch.zeros(3000), "2": wave(3000, 0.01)})  # silent, and short
    assert gains["1"] > 0 and gains["2"] > 1


def test_the_player_gets_the_waveforms_and_one_colour_scale():
    waves = {"clean": wave(), "noisy": 2 * wave()}
    sound = sounds.player_sound(waves)
    samples = np.frombuffer(sound["audio"], np.int16).reshape(2, -1) * sound["peak"] / 32767
    assert np.abs(samples - torch.stack(list(waves.values())).numpy()).max() < sound["peak"] / 32767
    assert sound["gains"] == list(sounds.loudness_gains(waves).values())
    shades = np.frombuffer(sound["mels"], np.uint8).reshape(2, -1, 64)
    assert shades.max() == 255 and shades[1].mean() - shades[0].mean() == pytest.approx(6.02 / 70 * 255, abs=2)
