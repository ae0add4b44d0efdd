"""The cache of waveforms, and the clips that are cut from it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st

from jointlib.corpora import audio
from jointlib.corpora.audio import PackedAudio, pack
from jointlib.corpora.corpus import CorpusError, Noises


@pytest.fixture
def files(noise_root) -> list[Path]:
    return sorted((noise_root / "noise_train").iterdir())


def test_a_second_start_decodes_nothing(files, monkeypatch):
    first = pack(files, "Reading")
    monkeypatch.setattr(soundfile, "SoundFile", lambda path: pytest.fail(f"decoded {path} again"))
    again = pack(files, "Reading")
    assert torch.equal(again.samples, first.samples) and again.sources.equals(first.sources)


def test_what_has_changed_is_read_again(files):
    before = pack(files, "Reading")
    soundfile.write(files[0], np.zeros(6400) + 0.1, 16_000)
    os.utime(files[0], ns=(0, 0))
    after = pack(files, "Reading")
    assert after.wave(0).numpy() == pytest.approx(0.1, abs=1e-4)
    assert torch.equal(after.wave(1), before.wave(1))


@pytest.mark.parametrize("error", [MemoryError("none left"), OSError(5, "Input/output error")], ids=repr)
def test_what_could_not_be_read_for_a_moment_is_read_the_next_time(error, files, monkeypatch):
    with monkeypatch.context() as short:
        short.setattr(soundfile.SoundFile, "read", Mock(side_effect=error))
        with pytest.raises(CorpusError, match=r"Babble_1.wav: not readable as audio"):
            Noises.read(files[0].parent)
    assert len(Noises.read(files[0].parent).manifest) == 3


def test_the_doctor_of_an_installed_package_writes_nothing_beside_the_speech(corpus_root, tmp_path):
    shutil.copytree(Path(audio.__file__).parents[1], tmp_path / "site/jointlib")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site"), "HOME": str(tmp_path / "home")}
    environment.pop("JOINTLIB_HOME", None)
    before = sorted(corpus_root.rglob("*"))
    subprocess.run([sys.executable, "-m", "jointlib", "doctor", "."], cwd=corpus_root, env=environment, check=True)
    assert sorted(corpus_root.rglob("*")) == before
    assert len(list(tmp_path.glob("home/.cache/jointlib/*.int16"))) == 1


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="only Linux lists a process's mappings")
def test_a_corpus_may_be_larger_than_memory(files, tmp_path, monkeypatch):
    """Linux refuses to map more than there is memory, unless it is only read."""
    monkeypatch.setattr(audio, "CACHE", tmp_path)
    found = pack(files, "Reading")
    maps = Path("/proc/self/maps").read_text().splitlines()
    permissions = [line.split()[1] for line in maps if line.endswith(".int16") and str(tmp_path) in line]
    assert permissions == ["r--p"] or permissions == ["r--s"], found


@st.composite
def packs(draw):
    """Packed files of random 16-bit samples, the same as a list of arrays, and some of their indices."""
    lengths = draw(st.lists(st.integers(1, 60), min_size=1, max_size=6))
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    files = [rng.integers(-32768, 32768, size=length, dtype=np.int16) for length in lengths]
    ends = torch.tensor(lengths).cumsum(0)
    samples = torch.from_numpy(np.concatenate([*files, np.zeros(1, np.int16)]))
    packed = PackedAudio(samples, ends - torch.tensor(lengths), torch.tensor(lengths))
    return packed, files, draw(st.lists(st.integers(0, len(files) - 1), min_size=1, max_size=5))


@given(packs(), st.integers(1, 150))
def test_clips_are_what_a_loop_over_samples_gives(pack, length):
    packed, files, chosen = pack
    expected = np.zeros((len(chosen), length))
    for row, index in enumerate(chosen):
        for sample in range(min(length, len(files[index]))):
            expected[row, sample] = files[index][sample] / 32768
    clips, lengths = packed.clips(torch.tensor(chosen), length)
    np.testing.assert_array_equal(clips.numpy(), expected)
    assert lengths.tolist() == [min(length, len(files[index])) for index in chosen]
    for index, file in enumerate(files):
        np.testing.assert_array_equal(packed.wave(index).numpy(), file / 32768)


@given(packs(), st.integers(1, 150), st.data())
def test_loops_are_what_a_loop_over_samples_gives(pack, length, data):
    packed, files, chosen = pack
    offsets = data.draw(st.lists(st.integers(0, 200), min_size=len(chosen), max_size=len(chosen)))
    expected = np.empty((len(chosen), length))
    for row, (index, offset) in enumerate(zip(chosen, offsets, strict=True)):
        for sample in range(length):
            expected[row, sample] = files[index][(offset + sample) % len(files[index])] / 32768
    looped = packed.loops(torch.tensor(chosen), torch.tensor(offsets), length)
    np.testing.assert_array_equal(looped.numpy(), expected)
