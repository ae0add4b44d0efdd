import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from jointlib import audio
from jointlib.corpora.audio import read_audio, resample
from jointlib.corpora.corpus import Corpus, CorpusError
from jointlib.corpora.noises import Noises, check_disjoint


def edit(root, split, change):
    file = root / "data" / f"{split}_data.csv"
    table = pd.read_csv(file, index_col=0, keep_default_na=False)
    change(table)
    table.to_csv(file)


def test_reads_the_layout(corpus_root):
    corpus = Corpus.read(corpus_root)
    assert len(corpus.manifest) == len(corpus.audio.lengths) == 30
    assert corpus.intents == ["activate / lamp / none", "bring / shoes / none", "deactivate / lamp / none"]
    row = corpus.split("test").iloc[1]
    assert row.transcription == "switch it, please"  # a comma inside a field
    assert corpus.intents[row.label] == row.intent == "deactivate / lamp / none"
    expected, _ = soundfile.read(corpus_root / row.path, dtype="int16")
    clip, length = corpus.audio.clips(torch.tensor([row.name]), 8000)
    assert length == 8000
    np.testing.assert_array_equal((clip[0] * 32768).numpy(), expected)


@pytest.mark.parametrize(
    ("ending", "sample_rate", "channels"), [("flac", 8000, 2), ("ogg", 44_100, 1), ("wav", 22_050, 3)]
)
def test_any_format_rate_and_channel_count(tmp_path, ending, sample_rate, channels):
    time = np.arange(sample_rate) / sample_rate
    tone = 0.4 * np.sin(2 * np.pi * 440 * time)
    file = tmp_path / f"tone.{ending}"
    soundfile.write(file, np.tile(tone[:, None], channels), sample_rate)
    wave = resample(*read_audio(file))
    assert wave.shape == (16_000,)
    expected = 0.4 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
    assert np.abs(wave.numpy() - expected)[500:-500].max() < 0.02


def test_second_start_reads_no_audio(corpus_root, monkeypatch):
    first = Corpus.read(corpus_root)
    monkeypatch.setattr(audio, "_decode", lambda path: pytest.fail(f"read {path} again"))
    again = Corpus.read(corpus_root)
    assert torch.equal(first.audio.samples, again.audio.samples)
    for file in corpus_root.rglob("*.wav"):  # newer, but the same contents: found by content
        file.touch()
    assert torch.equal(first.audio.samples, Corpus.read(corpus_root).audio.samples)


def test_changed_audio_is_read_again(corpus_root):
    before = Corpus.read(corpus_root).audio.digests[0]
    soundfile.write(corpus_root / "wavs/speakers/ann/0.wav", np.zeros(8000) + 0.1, 16_000)
    assert Corpus.read(corpus_root).audio.digests[0] != before


def test_every_problem_is_listed_at_once(corpus_root, tmp_path):
    (corpus_root / "wavs/speakers/ann/0.wav").write_bytes(b"not audio")
    soundfile.write(corpus_root / "wavs/speakers/bob/1.wav", np.zeros(0), 16_000)
    soundfile.write(tmp_path / "outside.wav", np.zeros(10), 16_000)
    edit(corpus_root, "valid", lambda table: table.__setitem__("speakerId", "ann"))

    def spoil(table):
        table.loc[0, "path"] = "../outside.wav"
        table.loc[1, "path"] = "wavs/nowhere.wav"
        table.loc[2, "object"] = "trousers"

    edit(corpus_root, "test", spoil)
    with pytest.raises(CorpusError) as caught:
        Corpus.read(corpus_root)
    text = str(caught.value)
    for part in (
        "ann/0.wav: not readable as audio",
        "bob/1.wav: holds no samples",
        "test_data.csv, row 2: path '../outside.wav' leaves the corpus folder",
        "test_data.csv, row 3: path 'wavs/nowhere.wav' names no file",
        "speaker 'ann' is in train and valid",
        "'bring / trousers / none' (1 utterances) is not in the train split",
    ):
        assert part in text


def test_a_recording_in_two_splits_is_found(corpus_root):
    shared = (corpus_root / "wavs/speakers/ann/0.wav").read_bytes()
    (corpus_root / "wavs/speakers/dan/0.wav").write_bytes(shared)
    with pytest.raises(CorpusError, match=r"ann/0.wav and in data/test_data.csv, row 2: wavs/speakers/dan/0.wav"):
        Corpus.read(corpus_root)


def test_the_wrong_folder(tmp_path):
    with pytest.raises(CorpusError, match=r"train_data.csv: missing"):
        Corpus.read(tmp_path / "nowhere")


def test_missing_file_and_column(corpus_root):
    (corpus_root / "data/valid_data.csv").unlink()
    edit(corpus_root, "train", lambda table: table.pop("action"))
    with pytest.raises(CorpusError, match=r"valid_data.csv: missing") as caught:
        Corpus.read(corpus_root)
    assert "lacks ['action']" in str(caught.value)


def test_noise_types(noise_root):
    noises = Noises.read(noise_root / "noise_train")
    assert noises.manifest.type.tolist() == ["Babble", "Typing", "Typing"]
    assert len(Noises.read(noise_root / "noise_train", ["Typing"]).audio.lengths) == 2
    with pytest.raises(CorpusError, match="no noise of type"):
        Noises.read(noise_root / "noise_train", ["Thunder"])
    with pytest.raises(CorpusError, match="missing or without noises"):
        Noises.read(noise_root / "nowhere")


def test_a_noise_in_both_folders_is_found_under_another_name(noise_root):
    shared = (noise_root / "noise_train/Typing_1.wav").read_bytes()
    (noise_root / "noise_test/Munching_9.wav").write_bytes(shared)
    with pytest.raises(CorpusError, match=r"Munching_9.wav: the same recording as .*Typing_1.wav"):
        check_disjoint(Noises.read(noise_root / "noise_train"), Noises.read(noise_root / "noise_test"))
