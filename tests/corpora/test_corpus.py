import os
import re
import shutil
import sys
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from jointlib.corpora import cache
from jointlib.corpora.audio import read_audio, resample
from jointlib.corpora.corpus import Corpus, CorpusError
from jointlib.corpora.doctor import examine
from jointlib.corpora.doctor import main as doctor
from jointlib.corpora.noises import Noises


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


@pytest.mark.parametrize("opened", [False, True])
@pytest.mark.parametrize(
    ("ending", "sample_rate", "channels"), [("flac", 8000, 2), ("ogg", 44_100, 1), ("wav", 22_050, 3)]
)
def test_any_format_rate_and_channel_count(tmp_path, ending, sample_rate, channels, opened):
    tone = 0.4 * np.sin(2 * np.pi * 440 * np.arange(sample_rate) / sample_rate)
    file = tmp_path / f"tone.{ending}"
    soundfile.write(file, np.tile(tone[:, None], channels), sample_rate)
    with file.open("rb") as stream:
        wave = resample(*read_audio(stream if opened else file))
    assert wave.shape == (16_000,)
    expected = 0.4 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
    assert np.abs(wave.numpy() - expected)[500:-500].max() < 0.02


def test_a_second_start_reads_no_audio(corpus_root, monkeypatch):
    first = Corpus.read(corpus_root).audio.samples
    monkeypatch.setattr(soundfile, "SoundFile", lambda path: pytest.fail(f"decoded {path} again"))
    with monkeypatch.context() as unread:
        unread.setattr(cache, "_content", lambda path: pytest.fail(f"read {path} again"))
        assert torch.equal(Corpus.read(corpus_root).audio.samples, first)
    for file in sorted(corpus_root.rglob("*.wav")):  # newer, but the same contents
        os.utime(file, ns=(0, 0))
    assert torch.equal(Corpus.read(corpus_root).audio.samples, first)


@pytest.mark.parametrize("error", [MemoryError("none left"), OSError(5, "Input/output error")], ids=repr)
def test_what_could_not_be_read_for_a_moment_is_read_the_next_time(error, noise_root, tmp_path, monkeypatch):
    folder = noise_root / "noise_train"
    with monkeypatch.context() as short:
        short.setattr(soundfile.SoundFile, "read", Mock(side_effect=error))
        with pytest.raises(CorpusError, match="not readable as audio"):
            Noises.read(folder, cache=tmp_path)
    assert torch.equal(Noises.read(folder, cache=tmp_path).audio.samples, Noises.read(folder).audio.samples)


def test_other_content_of_the_same_size_and_time_is_noticed(corpus_root):
    Corpus.read(corpus_root)
    file = corpus_root / "wavs/speakers/ann/0.wav"
    time, content = file.stat().st_mtime_ns, file.read_bytes()
    file.write_bytes(bytes(len(content)))
    os.utime(file, ns=(time, time))
    with pytest.raises(CorpusError, match=r"ann/0.wav: not readable as audio"):
        Corpus.read(corpus_root)


DAMAGE = {
    "removed": lambda content, other: None,
    "emptied": lambda content, other: b"",
    "cut": lambda content, other: content[:-2],
    "halved": lambda content, other: content[: len(content) // 4 * 2],
    "longer": lambda content, other: content + bytes(2),
    "a bit in the middle": lambda content, other: (
        content[: len(content) // 4] + bytes([content[len(content) // 4] ^ 1]) + content[len(content) // 4 + 1 :]
    ),
    "another's": lambda content, other: other,
}


@pytest.mark.parametrize("part", ["seen/*", "*.json", "*.int16"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_cache_heals(tmp_path, part, damage):
    for name, pitch in (("this", 300), ("other", 400)):
        soundfile.write(tmp_path / f"{name}.wav", 0.3 * np.sin(pitch * np.arange(8000)), 16_000)
        cache.pack([tmp_path / f"{name}.wav"], tmp_path / f"cache_{name}", "Packing")
    first = cache.pack([tmp_path / "this.wav"], tmp_path / "cache_this", "Packing")
    expected = first.samples.clone(), first.sources.copy()
    (file,), (other,) = (sorted((tmp_path / f"cache_{name}").glob(part)) for name in ("this", "other"))
    for second in sorted((tmp_path / "cache_other").glob("*.*")):  # so that another's key leads somewhere
        shutil.copy(second, tmp_path / "cache_this")
    content = DAMAGE[damage](file.read_bytes(), other.read_bytes())
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    healed = cache.pack([tmp_path / "this.wav"], tmp_path / "cache_this", "Packing")
    assert torch.equal(healed.samples, expected[0])
    pd.testing.assert_frame_equal(healed.sources, expected[1])


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lists a process's mappings")
def test_a_corpus_may_be_larger_than_memory(corpus_root, tmp_path):
    """Linux refuses to map more than there is memory, unless it is only read."""
    corpus = Corpus.read(corpus_root, tmp_path)
    place = corpus.audio.samples.data_ptr()
    for line in Path("/proc/self/maps").read_text().splitlines():
        span, permissions, *_ = line.split()
        first, last = (int(end, 16) for end in span.split("-"))
        if first <= place < last:
            assert permissions.startswith("r--") and line.endswith(".int16")
            break
    else:
        pytest.fail("the samples are nowhere")


def test_changed_audio_is_read_again(corpus_root):
    before = Corpus.read(corpus_root).audio.wave(0)
    soundfile.write(corpus_root / "wavs/speakers/ann/0.wav", np.zeros(8000) + 0.1, 16_000)
    assert not torch.equal(Corpus.read(corpus_root).audio.wave(0), before)


def test_every_problem_is_listed_at_once(corpus_root, tmp_path):
    (corpus_root / "wavs/speakers/ann/0.wav").write_bytes(b"not audio")
    soundfile.write(corpus_root / "wavs/speakers/bob/1.wav", np.zeros(0), 16_000)
    soundfile.write(tmp_path / "outside.wav", np.zeros(10), 16_000)
    (corpus_root / "data/valid_data.csv").unlink()

    def spoil(table):
        table.loc[0, "path"] = "../outside.wav"
        table.loc[1, "path"] = "wavs/nowhere.wav"
        table.loc[2, "object"] = "trousers"
        table.loc[3, "speakerId"] = "ann"

    edit(corpus_root, "test", spoil)
    with pytest.raises(CorpusError, match="7 problem") as caught:
        Corpus.read(corpus_root)
    text = str(caught.value)
    for part in (
        "data/valid_data.csv: missing",
        "data/train_data.csv, row 2: wavs/speakers/ann/0.wav: not readable as audio",
        "data/train_data.csv, row 9: wavs/speakers/bob/1.wav: holds no samples",
        "data/test_data.csv, row 2: ../outside.wav: this path leaves the corpus folder",
        "data/test_data.csv, row 3: wavs/nowhere.wav: this path names no file",
        "data/test_data.csv, row 4: wavs/speakers/dan/2.wav: intent 'bring / trousers / none' is not in the train",
        "speaker 'ann' is in data/train_data.csv, row 2: ",
    ):
        assert part in text


def test_the_wrong_folder(tmp_path):
    with pytest.raises(CorpusError, match=r"train_data.csv: missing"):
        Corpus.read(tmp_path / "nowhere")


def test_the_doctor_counts(corpus_root, noise_root):
    (speech,), (noise,) = examine(corpus_root), examine(noise_root)
    counts = ["utterances", "speakers", "intents", "wordings", "of those, in train", "clipped"]
    assert speech.facts.loc[counts, "train"].tolist() == [12, 2, 3, 1, 1, 0]
    assert speech.facts.test["seconds, shortest to longest"] == "0.50 to 0.50"
    assert noise.facts.loc[["files", "types", "sample rates (Hz)"], "noise_test"].tolist() == [3, 2, "16000"]
    assert str(speech.facts.valid["hours"]) in str(speech) and not noise.warnings


def test_the_doctor_examines_what_a_profile_is_trained_on(profile, corpus_root, capsys):
    with pytest.raises(SystemExit) as ended:
        doctor(["--profile", str(profile)])
    assert ended.value.code == 0
    assert capsys.readouterr().out.endswith("3 warning(s): 30 utterance(s), 6 noise(s)\n")
    objecting = profile.with_name("objecting.yaml")
    objecting.write_text(profile.read_text() + "noise_types_test: Thunder\n")
    with pytest.raises(SystemExit) as ended:
        doctor(["--profile", str(objecting)])
    assert ended.value.code == 1 and "error: no noise of type ['Thunder']" in capsys.readouterr().out
    (corpus_root / "data/test_data.csv").unlink()
    with pytest.raises(SystemExit) as ended:
        doctor(["--profile", str(profile)])
    told = capsys.readouterr().out
    assert ended.value.code == 1 and "error: " in told and re.search(r"\n1 error\(s\).*: \d+ utterance", told)


def test_the_doctor_says_that_all_is_well(noise_root, capsys):
    with pytest.raises(SystemExit) as ended:
        doctor([str(noise_root)])
    assert ended.value.code == 0 and capsys.readouterr().out.endswith("\n\nno problem found: 6 noise(s)\n")


def test_noise_types(noise_root):
    noises = Noises.read(noise_root / "noise_train")
    assert noises.manifest.type.tolist() == ["Babble", "Typing", "Typing"]
    assert len(Noises.read(noise_root / "noise_train", ["Typing"]).audio.lengths) == 2
    with pytest.raises(CorpusError, match="no noise of type"):
        Noises.read(noise_root / "noise_train", ["Thunder"])
    with pytest.raises(CorpusError, match="missing or without noises"):
        Noises.read(noise_root / "nowhere")
