"""The corpus that is synthesised: intents, wordings, voices; the same bytes from wherever it is started."""

import hashlib
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from jointlib.config import EmbeddedCorpus
from jointlib.corpora.corpus import Corpus, Noises, check_disjoint
from jointlib.corpora.embedded import write
from jointlib.corpora.embedded.noise import RECIPES
from jointlib.corpora.embedded.speech import COMMANDS, commands, speakers, write_split
from jointlib.corpora.embedded.write import ensure_embedded

FULL = EmbeddedCorpus().model_dump(mode="json")
SMALL = FULL | {
    "utterances": {"train": 62, "valid": 31, "test": 31},
    "speakers": {"train": 2, "valid": 1, "test": 1},
    "phrasings": 1,
    "noise_files": {"train": 1, "test": 1},
    "noise_seconds": 1.0,
}
SCRIPT = """
import signal
from pathlib import Path
from jointlib.corpora.embedded import write
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell has its background jobs ignore it
write.PARTS = {parts}
write.ensure_embedded(Path("corpus"), {settings})
"""


def test_the_31_intents_and_248_wordings():
    assert len(commands()) == 31
    actions, things, rooms = (set(column) for column in zip(*commands(), strict=True))
    assert (len(actions), len(things), len(rooms)) == (6, 14, 4)
    wordings = [text for spoken in commands().values() for text in spoken]
    assert len(wordings) == len(set(wordings)) == 248
    sentences, voices = COMMANDS["neighbours"], COMMANDS["neighbour_variants"]
    assert not set(wordings) & {*sentences["train"], *sentences["test"]}
    assert not set(sentences["train"]) & set(sentences["test"])
    assert not {*voices["train"], *voices["test"]} & set(COMMANDS["variants"])
    assert not set(voices["train"]) & set(voices["test"])


def test_full_size_is_that_of_fluent_speech_commands():
    assert sum(FULL["utterances"].values()) == 30_043
    people = speakers(FULL)
    assert [len(people[split]) for split in ("train", "valid", "test")] == [77, 10, 10]
    shapes = [{person["voice"].partition("+")[2] for person in group} for group in people.values()]
    assert len(set.union(*shapes)) == sum(map(len, shapes))  # no voice is in two splits


@pytest.fixture(scope="module")
def embedded(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("embedded") / "one"
    ensure_embedded(folder, SMALL)
    return folder


def digests(folder: Path) -> dict[str, str]:
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def test_a_script_on_standard_input_writes_the_same_bytes(embedded, tmp_path):
    """As a plain script does, without `if __name__ == "__main__"`; what an interrupted start has left is replaced."""
    (tmp_path / "corpus.partial").mkdir()
    (tmp_path / "corpus.partial/embedded.json").write_text("{}")
    script = SCRIPT.format(parts=write.PARTS, settings=SMALL).encode()
    subprocess.run([sys.executable], input=script, cwd=tmp_path, check=True, timeout=120)
    assert digests(embedded) == digests(tmp_path / "corpus")


def test_an_interrupt_ends_the_writers(tmp_path):
    script = SCRIPT.format(parts=["speech train"], settings=FULL)  # of full size, which takes a quarter of an hour
    with subprocess.Popen([sys.executable, "-c", script], cwd=tmp_path, stderr=subprocess.PIPE) as process:
        while process.poll() is None and not list(tmp_path.glob("corpus.partial/*")):
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        assert b"KeyboardInterrupt" in process.communicate(timeout=20)[1]
    before = len(list(tmp_path.rglob("*.wav")))
    time.sleep(0.5)
    assert len(list(tmp_path.rglob("*.wav"))) == before and not (tmp_path / "corpus").exists()


def test_it_is_read_as_any_corpus(embedded):
    corpus = Corpus.read(embedded / "fluent_speech_commands_dataset")
    assert corpus.manifest.split.value_counts().to_dict() == SMALL["utterances"]
    assert len(corpus.intents) == 31 and set(corpus.audio.sources.sample_rate) == {16_000}
    noises = {split: Noises.read(embedded / "MS-SNSD" / f"noise_{split}") for split in ("train", "test")}
    assert set(noises["test"].manifest.type) == set(RECIPES)
    check_disjoint(noises["train"], noises["test"])


def test_noise_is_never_silent(embedded):
    for file in embedded.glob("MS-SNSD/*/*.wav"):
        wave, _ = soundfile.read(file)
        assert (np.reshape(wave[:14_400], (9, 1600)) ** 2).mean(axis=1).min() > 0, file


def test_other_folders_are_refused(embedded, tmp_path):
    ensure_embedded(embedded, SMALL)
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut/embedded.json").write_bytes((embedded / "embedded.json").read_bytes()[:20])
    for folder in (embedded, tmp_path, tmp_path / "cut"):
        with pytest.raises(FileExistsError, match=r"no embedded corpus, or one of other settings than .*; remove it"):
            ensure_embedded(folder, FULL)


def test_an_error_of_a_writer_is_raised(tmp_path, monkeypatch):
    monkeypatch.setattr(write, "PARTS", ["speech nowhere"])
    with pytest.raises(RuntimeError, match=r"speech nowhere could not be written \(status 1\)(.|\n)*ValueError"):
        ensure_embedded(tmp_path / "one", SMALL)


def test_some_wordings_are_in_test_only(tmp_path):
    settings = SMALL | {"phrasings_of_test_only": 1, "utterances": SMALL["utterances"] | {"test": 62}}
    for split in ("valid", "test"):
        write_split(tmp_path, settings, split)
    valid, test = (set(pd.read_csv(tmp_path / f"data/{split}_data.csv").transcription) for split in ("valid", "test"))
    assert len(valid) == 31 and len(test - valid) == 31
