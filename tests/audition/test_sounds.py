import io
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
import torchaudio.functional as AF

from jointlib.audition import sounds
from jointlib.corpora.audio import read_audio
from jointlib.corpora.noises import Noises
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


FILES = [("WAV", 8000), ("FLAC", 44_100), ("WAV", 44_099), ("OGG", 16_000), ("MP3", 16_000)]


@pytest.mark.parametrize(("ending", "sample_rate"), FILES)
def test_any_file_becomes_16_khz_mono(ending, sample_rate):  # 44,099 and 16,000 have no common divisor
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(sample_rate) / sample_rate)
    decoded = sounds.decode(written(np.stack([tone, tone], axis=1), sample_rate, format=ending), "tone").numpy()
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
    if ending == "MP3":  # has a silence before and behind
        assert 16_000 <= len(decoded) < 18_000
    else:
        assert np.abs(decoded - expected)[500:-500].max() < 0.02


BAD = {
    b"not a sound" * 100: "cannot be read as audio",
    b"": "cannot be read as audio",
    written(wave(8000).numpy(), 16_000)[:30]: "cannot be read as audio",
    written(np.full(8000, np.nan), 16_000, subtype="FLOAT"): "cannot be read as audio",
    written(np.zeros(8000), 16_000): "is silent",
    written(np.zeros(0), 16_000): "lasts 0.00 s",
    written(wave(100).numpy(), 16_000): "lasts 0.01 s",
    written(wave(600 * 800).numpy(), 800): "lasts 600.00 s",
}


@pytest.mark.parametrize(("content", "words"), BAD.items(), ids=range(8))
def test_bad_sounds_in_plain_words(content, words):
    with pytest.raises(sounds.SoundError, match=f"^x.wav {words}[^\n]*$"):
        sounds.decode(content, "x.wav")


def test_excerpts_are_of_the_type_and_repeat(noise_root):
    noises = Noises.read(noise_root / "noise_test")
    first, again = (sounds.draw_excerpt(noises, "Typing", np.random.default_rng(3)) for _ in range(2))
    assert first == again and first["noise_file"].startswith("Typing_")
    assert noises.manifest.file[first["noise"]].name == first["noise_file"]


def test_snr_and_no_noise():
    clean, noisy = sounds.contaminate(wave(), wave(), 7.0)
    assert 10 * torch.log10(clean.square().sum() / (noisy - clean).square().sum()) == pytest.approx(7.0, abs=1e-3)
    assert torch.equal(*sounds.contaminate(wave(), None, 7.0))


def test_strength_goes_from_the_noisy_wave_to_the_runs_own_classification(runs):
    noisy, intents = wave(), runs["jt"].intents
    made = sounds.enhance(runs["jt"], noisy, runs["classifier_clean"])
    assert torch.allclose(made.wave / made.gain, runs["jt"].process(noisy, level_db=None)[0], atol=1e-6)
    assert abs(float((noisy - made.wave) @ made.wave)) < 1e-4 * float(made.wave @ made.wave)  # the gain fits best
    dry, wet = made.at(0.0), made.at(1.0)
    assert torch.equal(dry, noisy) and torch.allclose(wet, made.wave)
    probabilities = made.classify(torch.stack([dry, wet]))
    assert torch.allclose(probabilities[0], runs["jt"].classify(noisy[None] / made.gain)[0], atol=1e-6)
    assert torch.allclose(probabilities[1], made.probabilities, atol=1e-5)
    strengths, named, likely = zip(*sounds.sweep(made, torch.tensor([0.0, 1.0])), strict=True)
    assert strengths == (0, 1) and list(named) == [intents[label] for label in probabilities.argmax(dim=1)]
    assert likely == pytest.approx(probabilities.max(dim=1).values.tolist(), abs=1e-5)


def test_a_listener_classifies_for_a_run_that_classifies_no_wave(runs):
    noisy, listener = wave(), runs["classifier_clean"]
    assert sounds.enhance(runs["bn"], noisy).classifier is None
    made = sounds.enhance(runs["bn"], noisy, listener)
    assert torch.allclose(made.classify(made.at(0.5)[None]), listener.classify(made.at(0.5)[None]))
    made = sounds.enhance(listener, noisy)  # a run without a front-end
    assert torch.equal(made.wave, noisy) and made.gain == 1
    assert torch.allclose(made.classify(noisy[None])[0], made.probabilities, atol=1e-6)


def test_an_enhancer_of_others_has_the_listener(runs):
    noisy, listener = wave(), runs["classifier_clean"]
    made = sounds.enhance(lambda samples: -samples.astype(float) / 2, noisy, listener)
    assert torch.allclose(made.wave, noisy) and made.gain == pytest.approx(-2) and made.probabilities is None
    assert made.classifier is listener and sounds.enhance(lambda samples: samples, noisy).classifier is None


def copied(folder: Path, target: Path, correct: list[int]) -> Path:
    """A run that understands what it is told to."""
    shutil.copytree(folder, target)
    pd.read_csv(target / "per_utterance.csv").assign(correct=correct).to_csv(target / "per_utterance.csv", index=False)
    metrics = json.loads((target / "metrics.json").read_text())
    metrics["mean"]["correct"] = float(np.mean(correct))
    (target / "metrics.json").write_text(json.dumps(metrics))
    return target


def test_the_row_that_tells_two_runs_apart(tiny_runs, tmp_path):
    plan = pd.read_csv(tiny_runs["jt"] / "per_utterance.csv")
    loud = np.flatnonzero(plan.snr_db.between(0, 5))
    wanted, all_right = int(loud[len(loud) // 2]), [1] * len(plan)
    wrong = [int(row < wanted and row in loud) for row in range(len(plan))]  # at other SNRs nothing counts
    poor, good = copied(tiny_runs["jt"], tmp_path / "a", wrong), copied(tiny_runs["bn"], tmp_path / "b", all_right)
    assert sounds.telling_row(plan, poor, good) == wanted > 0
    assert sounds.telling_row(plan, good, poor) == 0  # there is none
    assert sounds.telling_row(plan, poor, tmp_path / "none") == 0
    assert sounds.telling_row(plan.assign(snr_db=plan.snr_db + 0.5), poor, good) == 0  # tested at other SNRs


def test_classifications_name_who_classifies_what(runs):
    clean, noisy = sounds.contaminate(wave(), wave(), 5.0)
    listener = runs["classifier_clean"]
    enhanced = {"A": sounds.enhance(runs["jt"], noisy, listener), "B": sounds.enhance(runs["bn"], noisy, listener)}
    waves = sounds.channels(clean, noisy, {lane: made.wave for lane, made in enhanced.items()}, "B")
    assert list(waves) == ["clean", "noisy", "enhanced A", "enhanced B", "residual"]
    assert torch.equal(waves["residual"], noisy - enhanced["B"].wave)
    found = sounds.classify_all(waves, enhanced, listener, "listener")
    assert [entry[0] for entry in found] == ["clean", "noisy", "enhanced A", "B: the bottleneck", "enhanced B"]
    own = ["its own classifier", "its own classifier, at any strength"]
    assert [entry[1] for entry in found] == ["listener", "listener", *own, "listener"]
    assert found[2][2] == sounds.likeliest(enhanced["A"].classify(waves["enhanced A"][None])[0], runs["jt"].intents)
    enhanced = {"A": sounds.enhance(runs["jt"], noisy), "B": sounds.enhance(runs["bn"], noisy)}
    assert [entry[0] for entry in sounds.classify_all(waves, enhanced, None, "")] == ["enhanced A", "B: the bottleneck"]


def test_channels_are_brought_to_one_loudness():
    waves = {"clean": wave(level=0.01), "noisy": wave(level=0.05), "enhanced A": wave(level=0.2), "residual": wave()}
    gains = sounds.loudness_gains(waves)
    loud = [float(AF.loudness((gains[name] * waves[name])[None], 16_000)) for name in ("clean", "noisy")]
    assert loud[0] == pytest.approx(loud[1], abs=0.01) and gains["residual"] == gains["noisy"]
    assert gains["clean"] == pytest.approx(5 * gains["noisy"], rel=0.03)
    assert max(float((gains[name] * wave).abs().max()) for name, wave in waves.items()) <= 0.9901
    gains = sounds.loudness_gains({"1": torch.zeros(3000), "2": wave(3000, 0.01)})  # silent, and short
    assert gains["1"] > 0 and gains["2"] > 1


def test_the_player_gets_the_waves_and_one_colour_scale():
    waves = {"clean": wave(), "noisy": 2 * wave()}
    sound = sounds.player_sound(waves)
    samples = np.frombuffer(sound["audio"], np.int16).reshape(2, -1) * sound["peak"] / 32767
    assert np.abs(samples - torch.stack(list(waves.values())).numpy()).max() < sound["peak"] / 32767
    assert sound["gains"] == list(sounds.loudness_gains(waves).values())
    shades = np.frombuffer(sound["mels"], np.uint8).reshape(2, -1, 64)
    assert shades.max() == 255 and shades[1].mean() - shades[0].mean() == pytest.approx(6.02 / 70 * 255, abs=2)


def test_export(tmp_path):
    waves = {"clean": wave(), "enhanced A": 30 * wave()}
    sounds.export(tmp_path / "new", waves, {"snr_db": 5})
    about = json.loads((tmp_path / "new/about.json").read_text())
    stored, sample_rate = soundfile.read(tmp_path / "new/enhanced_A.wav")
    assert sample_rate == 16_000 and about["snr_db"] == 5 and (tmp_path / "new/spectrograms.png").exists()
    assert np.allclose(stored / about["scale"], waves["enhanced A"], atol=1e-3 / about["scale"])


def test_a_run_that_was_trained_anew_is_another(tiny_runs, tmp_path):
    shutil.copytree(tiny_runs["jt"], tmp_path / "jt")
    first = sounds.open_run(tmp_path / "jt", "cpu")
    assert sounds.open_run(tmp_path / "jt", "cpu") is first
    shutil.rmtree(tmp_path / "jt")
    shutil.copytree(tiny_runs["bn"], tmp_path / "jt")
    os.utime(tmp_path / "jt/weights.safetensors", ns=(1, 1))
    assert sounds.open_run(tmp_path / "jt", "cpu").config.strategy == "bn"


def test_flac_from_a_pipe_tells_no_length():
    content = bytearray(written(wave(8000).numpy(), 16_000, format="FLAC"))
    content[21] &= 0xF0  # the number of samples: 36 bits of STREAMINFO
    content[22:26] = bytes(4)
    with pytest.raises(sounds.SoundError, match=r"^x\.flac does not tell how long it is"):
        sounds.decode(bytes(content), "x.flac")
    with pytest.raises(ValueError, match="does not tell how long it is"):
        read_audio(io.BytesIO(content))
