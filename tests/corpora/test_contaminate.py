import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from jointlib.config import load_config
from jointlib.corpora.batches import export_wavs, load_data
from jointlib.corpora.contaminate import Contaminator, draw_plan, mix
from jointlib.corpora.corpus import Corpus, CorpusError
from jointlib.corpora.noises import Noises


def test_ms_snsd_gain_agrees_with_its_scripts_formula():
    """noise scalar = sqrt(rms_clean / 10 ** (snr / 20) / rms_noise), both at -25 dBFS before."""
    generator = torch.Generator().manual_seed(0)
    speech, noise = (scale * torch.randn(1, 4000, generator=generator) for scale in (0.2, 0.01))
    mixture = mix(speech, noise, torch.tensor([4000]), torch.tensor([12.0]), "ms_snsd")
    level = 10 ** (-25 / 20)
    scalar = np.sqrt(level / 10 ** (12 / 20) / level)
    assert mixture.noise_gain.item() == pytest.approx(scalar * level / noise.square().mean().sqrt().item())


@pytest.fixture
def drawn(corpus_root, noise_root):
    return Corpus.read(corpus_root), Noises.read(noise_root / "noise_train")


def test_plan_is_fixed_by_seed_split_and_number(drawn):
    corpus, noises = drawn
    first, again = (draw_plan(corpus, "train", noises, [0, 10], seed=3) for _ in range(2))
    pd.testing.assert_frame_equal(first, again)
    for other in ({"seed": 4}, {"seed": 3, "number": 1}):
        assert not first.offset.equals(draw_plan(corpus, "train", noises, [0, 10], **other).offset)
    assert set(first.snr_db) == {0.0, 10.0}


def test_noise_begins_where_the_recording_sounds(corpus_root, noise_root):
    barks = np.zeros(32_000)
    barks[8000:9600] = 0.3 * np.random.default_rng(0).normal(size=1600)
    soundfile.write(noise_root / "noise_train" / "Dog_1.wav", barks, 16_000)
    noises = Noises.read(noise_root / "noise_train", ["Dog"])
    plan = draw_plan(Corpus.read(corpus_root), "train", noises, [0.0])
    assert set(plan.offset) == {8000}


def test_plan_with_gains_rebuilds_the_mixture(drawn):
    corpus, noises = drawn
    plan = draw_plan(corpus, "test", noises, [5.0], seed=0)
    contaminator = Contaminator(plan, corpus.audio, noises.audio, 8000, "exact")
    realised = contaminator.realise(plan, batch_size=5)
    assert realised.realised_snr_db.to_numpy() == pytest.approx(5.0, abs=1e-3)
    row = realised.iloc[2]
    speech, _ = corpus.audio.clips(torch.tensor([row.utterance]), 8000)
    noise = noises.stretch(row.noise, row.offset, 8000)
    noisy = contaminator.mix(torch.tensor([2])).noisy
    torch.testing.assert_close(noisy, speech * row.speech_gain + noise * row.noise_gain, check_dtype=False)


def test_a_clip_without_a_sound_is_named(profile, corpus_root):
    """The first clip_seconds of an utterance are what is mixed."""
    late = np.append(np.zeros(4000), 0.3 * np.sin(np.arange(4000)))
    soundfile.write(corpus_root / "wavs/speakers/dan/1.wav", late, 16_000)
    load_data(load_config(profile, clip_seconds=0.3))
    with pytest.raises(
        CorpusError, match=r"test_data.csv, row 3: .*dan/1.wav: silent for 0.25 s, so that a clip of 0.2"
    ):
        load_data(load_config(profile, clip_seconds=0.2))


def test_the_exported_corpus_is_the_mixed_one(profile, tmp_path):
    data = load_data(load_config(profile, clip_seconds=0.25))
    plans = {split: data.plan(split) for split in ("train", "valid", "test")}
    exported = Corpus.read(export_wavs(data, plans, tmp_path / "exported"))
    columns = ["path", "speaker", "transcription", "intent", "label", "split"]
    pd.testing.assert_frame_equal(exported.manifest[columns], data.corpus.manifest[columns])
    whole = load_data(load_config(profile, clip_seconds=0.5))  # the utterances' length
    noisy = torch.cat([batch.noisy[:, 0] for batch in whole.batches("test", plans["test"])])
    clips, _ = exported.audio.clips(torch.tensor(plans["test"].utterance), 8000)
    torch.testing.assert_close(clips, noisy, atol=1 / 32768, rtol=0)
    described = data.described("test")
    assert described.columns.tolist() == ["path", "noise_type", "snr_db", "speaker", "intent", "transcription"]
    assert described.speaker.tolist() == exported.split("test").speaker.tolist()
