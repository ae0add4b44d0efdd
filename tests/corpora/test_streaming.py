"""Speech that stays in its file gives the batches that it gives on the device, to the last bit."""

import threading
from itertools import islice

import pytest
import torch

from jointlib.config import ConfigError, load_config
from jointlib.corpora.batches import load_data
from jointlib.corpora.packed import StreamedAudio
from jointlib.support.workers import ahead


@pytest.fixture
def both(profile):
    """Data of one profile on the device and in the file."""
    config = load_config(profile, batch_size=7)
    return load_data(config), load_data(config.replace(speech_memory_gb=1e-6))


def test_batches_are_the_same_to_the_bit(both):
    resident, streamed = both
    assert isinstance(streamed.corpus.audio, StreamedAudio) and not isinstance(resident.corpus.audio, StreamedAudio)
    for split in ("valid", "test"):
        for one, other in zip(resident.batches(split), streamed.batches(split), strict=True):
            assert one.paths == other.paths
            for name in ("noisy", "clean", "labels", "lengths"):
                assert torch.equal(getattr(one, name), getattr(other, name))
    for one, other in islice(zip(resident.train_batches(3), streamed.train_batches(3), strict=True), 12):
        assert one.paths == other.paths and torch.equal(one.noisy, other.noisy) and torch.equal(one.clean, other.clean)


def test_larger_speech_is_streamed_and_smaller_is_not(profile):
    config = load_config(profile)
    size = 2e-9 * int(load_data(config).corpus.audio.lengths.sum())
    for budget, streamed in ((size, False), (0.99 * size, True)):
        audio = load_data(config.replace(speech_memory_gb=budget)).corpus.audio
        assert isinstance(audio, StreamedAudio) == streamed
    with pytest.raises(ConfigError, match="speech_memory_gb"):
        config.replace(speech_memory_gb=0)


def test_clips_longer_than_the_last_file_end_in_silence(both):
    resident, streamed = (data.corpus.audio for data in both)
    last = torch.tensor([len(resident.lengths) - 1, 0])
    for length in (5, 400_000):
        for one, other in zip(resident.clips(last, length), streamed.clips(last, length), strict=True):
            assert torch.equal(one, other)


def test_a_file_that_was_cut_is_told(both, tmp_path):
    audio = both[1].corpus.audio
    cut = tmp_path / "cut.int16"
    cut.write_bytes(audio.file.read_bytes()[:1000])
    audio.file = cut
    with pytest.raises(OSError, match=r"cut\.int16: was cut"):
        StreamedAudio(audio, "cpu").clips(torch.tensor([len(audio.lengths) - 1]), 8000)


def test_ahead_keeps_order_raises_and_leaves_no_thread():
    def numbers():
        yield from range(5)
        raise ValueError("the end")

    found, before = [], threading.active_count()
    with pytest.raises(ValueError, match="the end"):
        found.extend(ahead(numbers()))
    assert list(ahead(iter(range(3)))) == [0, 1, 2]
    some = ahead(iter(range(100)))
    assert next(some) == 0
    some.close()
    assert threading.active_count() == before
