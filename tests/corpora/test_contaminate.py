import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from jointlib.corpora.contaminate import Contaminator, draw_plan, mix
from jointlib.corpora.corpus import Corpus, CorpusError
from jointlib.corpora.noises import Noises
from jointlib.corpora.packed import PackedAudio


def snr(clean: torch.Tensor, noisy: torch.Tensor, length: int) -> float:
    clean, noise = clean[:length].double(), (noisy - clean)[:length].double()
    return (10 * torch.log10(clean.square().sum() / noise.square().sum())).item()


@pytest.fixture
def waves():
    generator = torch.Generator().manual_seed(0)
    lengths = torch.tensor([4000, 3001, 2500])
    speech = 0.2 * torch.randn(3, 4000, generator=generator)
    speech *= torch.arange(4000) < lengths[:, None]
    return speech, 0.01 * torch.randn(3, 4000, generator=generator), lengths


@pytest.mark.parametrize(("mixer", "factor"), [("exact", 1.0), ("ms_snsd", 0.5)])
def test_realised_snr(waves, mixer, factor):
    speech, noise, lengths = waves
    wanted = torch.tensor([-5.0, 10.0, 20.0])
    mixture = mix(speech, noise, lengths, wanted, mixer)
    measured = [snr(*pair) for pair in zip(mixture.clean, mixture.noisy, lengths.tolist(), strict=True)]
    assert measured == pytest.approx((factor * wanted).tolist(), abs=1e-3)
    assert mixture.realised_snr_db.tolist() == pytest.approx(measured, abs=1e-3)


def test_ms_snsd_gain_agrees_with_its_scripts_formula(waves):
    """noise scalar = sqrt(rms_clean / 10 ** (snr / 20) / rms_noise), both at -25 dBFS before."""
    speech, noise, lengths = waves
    mixture = mix(speech, noise, lengths, torch.full((3,), 12.0), "ms_snsd")
    rms = noise[0].square().mean().sqrt()
    level = 10 ** (-25 / 20)
    assert mixture.noise_gain[0].item() == pytest.approx(
        (level / rms * np.sqrt(level / 10 ** (12 / 20) / level)).item()
    )


def test_levels_padding_and_gains(waves):
    speech, noise, lengths = waves
    mixture = mix(speech, noise, lengths, torch.full((3,), 20.0))
    for clean, noisy, length in zip(mixture.clean, mixture.noisy, lengths.tolist(), strict=True):
        assert 20 * clean[:length].square().mean().sqrt().log10().item() == pytest.approx(-25, abs=1e-3)
        assert noisy[length:].abs().sum() == 0
    torch.testing.assert_close(mixture.clean, speech * mixture.speech_gain[:, None])
    added = noise[0] * mixture.noise_gain[0]
    torch.testing.assert_close(mixture.noisy[0], mixture.clean[0] + added)


def test_clipping_rescales_the_pair_and_keeps_the_snr():
    speech = torch.zeros(1, 4000)
    speech[0, 100] = 1.0  # at -25 dBFS RMS this peak is 3.6
    mixture = mix(speech, torch.randn(1, 4000), torch.tensor([4000]), torch.tensor([5.0]))
    assert mixture.noisy.abs().max().item() == pytest.approx(0.99)
    assert snr(mixture.clean[0], mixture.noisy[0], 4000) == pytest.approx(5, abs=1e-3)


def test_loops_start_over_at_the_end():
    samples = torch.arange(10, dtype=torch.int16)
    packed = PackedAudio(samples, torch.tensor([0, 4]), torch.tensor([4, 6]), ["a", "b"])
    looped = packed.loops(torch.tensor([0, 1]), torch.tensor([2, 5]), 5) * 32768
    assert looped.tolist() == [[2, 3, 0, 1, 2], [9, 4, 5, 6, 7]]


def test_clips_are_cut_and_padded():
    samples = torch.arange(1, 11, dtype=torch.int16)
    packed = PackedAudio(samples, torch.tensor([0, 4]), torch.tensor([4, 6]), ["a", "b"])
    clips, lengths = packed.clips(torch.tensor([0, 1]), 5)
    assert (clips * 32768).tolist() == [[1, 2, 3, 4, 0], [5, 6, 7, 8, 9]]
    assert lengths.tolist() == [4, 5]


@pytest.fixture
def drawn(corpus_root, noise_root):
    return Corpus.read(corpus_root), Noises.read(noise_root / "noise_train")


def test_plan_is_fixed_by_seed_split_and_epoch(drawn):
    first, again = (draw_plan(*drawn[:1], "train", drawn[1], [0, 10], seed=3) for _ in range(2))
    pd.testing.assert_frame_equal(first, again)
    for other in (
        draw_plan(drawn[0], "train", drawn[1], [0, 10], seed=4),
        draw_plan(drawn[0], "train", drawn[1], [0, 10], seed=3, epoch=1),
    ):
        assert not first.offset.equals(other.offset)
    assert set(first.snr_db) <= {0.0, 10.0}


def test_stretches_begin_where_the_recording_sounds(corpus_root, noise_root):
    barks = np.zeros(32_000)
    barks[8000:9600] = 0.3 * np.random.default_rng(0).normal(size=1600)
    soundfile.write(noise_root / "noise_train" / "Dog_1.wav", barks, 16_000)
    noises = Noises.read(noise_root / "noise_train", ["Dog"])
    plan = draw_plan(Corpus.read(corpus_root), "train", noises, [0.0])
    assert set(plan.offset) == {8000}
    soundfile.write(noise_root / "noise_train" / "Dog_2.wav", np.zeros(3200), 16_000)
    with pytest.raises(CorpusError, match=r"Dog_2.wav: silent throughout"):
        Noises.read(noise_root / "noise_train", ["Dog"])


def test_plan_with_gains_rebuilds_the_mixture(drawn):
    corpus, noises = drawn
    plan = draw_plan(corpus, "test", noises, [5.0], seed=0)
    contaminator = Contaminator(plan, corpus.audio, noises.audio, 8000, "exact")
    realised = contaminator.realise(plan, batch_size=5)
    assert realised.realised_snr_db.to_numpy() == pytest.approx(5.0, abs=1e-3)
    row = realised.iloc[2]
    speech, _ = corpus.audio.clips(torch.tensor([row.utterance]), 8000)
    noise = noises.audio.loops(torch.tensor([row.noise]), torch.tensor([row.offset]), 8000)
    noisy = contaminator.mix(torch.tensor([2])).noisy
    torch.testing.assert_close(noisy, speech * row.speech_gain + noise * row.noise_gain, check_dtype=False)
