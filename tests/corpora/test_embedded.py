import hashlib
from pathlib import Path

import pytest
import soundfile

from jointlib.config import ConfigError, EmbeddedCorpus, load_config
from jointlib.corpora.corpus import Corpus
from jointlib.corpora.embedded.noise import RECIPES
from jointlib.corpora.embedded.speech import COMMANDS, intents, phrasings, speakers
from jointlib.corpora.embedded.write import ensure_embedded
from jointlib.corpora.noises import Noises, check_disjoint

SMALL = EmbeddedCorpus(
    utterances={"train": 62, "valid": 31, "test": 31},
    speakers={"train": 2, "valid": 1, "test": 1},
    phrasings=1,
    noise_files={"train": 1, "test": 1},
    noise_seconds=1.0,
)


def test_the_31_intents_and_248_wordings():
    assert len(set(intents())) == 31
    actions, things, rooms = (set(column) for column in zip(*intents(), strict=True))
    assert (len(actions), len(things), len(rooms)) == (6, 14, 4)
    wordings = [text for intent in intents() for text in phrasings(intent)]
    assert len(wordings) == len(set(wordings)) == 248
    sentences = COMMANDS["neighbours"]
    assert not set(wordings) & {*sentences["train"], *sentences["test"]}
    assert not set(sentences["train"]) & set(sentences["test"])
    voices = COMMANDS["neighbour_variants"]
    assert not {*voices["train"], *voices["test"]} & set(COMMANDS["variants"])
    assert not set(voices["train"]) & set(voices["test"])


def test_full_size_is_that_of_fluent_speech_commands():
    settings = EmbeddedCorpus()
    assert sum(settings.utterances.values()) == 30_043
    people = speakers(settings)
    assert [len(people[split]) for split in ("train", "valid", "test")] == [77, 10, 10]
    shapes = [{person["voice"].partition("+")[2] for person in group} for group in people.values()]
    assert len(set.union(*shapes)) == sum(map(len, shapes))  # no voice is in two splits


def digests(folder: Path) -> dict[str, str]:
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@pytest.fixture(scope="module")
def embedded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("embedded") / "one"
    ensure_embedded(folder, SMALL)
    return folder


def test_same_seed_same_bytes(embedded, tmp_path):
    ensure_embedded(tmp_path / "two", SMALL)
    assert digests(embedded) == digests(tmp_path / "two")


def test_it_is_read_as_any_corpus(embedded):
    corpus = Corpus.read(embedded / "fluent_speech_commands_dataset")
    assert corpus.manifest.split.value_counts().to_dict() == SMALL.utterances
    assert len(corpus.intents) == 31
    assert {soundfile.info(file).samplerate for file in embedded.rglob("*.wav")} == {16_000}
    noises = {split: Noises.read(embedded / "MS-SNSD" / f"noise_{split}") for split in ("train", "test")}
    assert set(noises["test"].manifest.type) == set(RECIPES)
    check_disjoint(noises["train"], noises["test"])


def test_noise_is_never_silent(embedded):
    for file in embedded.glob("MS-SNSD/*/*.wav"):
        wave, _ = soundfile.read(file)
        quietest = min((wave[start : start + 1600] ** 2).mean() for start in range(0, 14_400, 1600))
        assert quietest > 0, file


def test_other_settings_are_refused(embedded):
    ensure_embedded(embedded, SMALL)
    with pytest.raises(FileExistsError, match="other settings"):
        ensure_embedded(embedded, EmbeddedCorpus())


def test_some_wordings_are_in_test_only(tmp_path):
    settings = SMALL.model_copy(update={"phrasings_of_test_only": 1, "utterances": SMALL.utterances | {"test": 62}})
    ensure_embedded(tmp_path / "small", settings)
    manifest = Corpus.read(tmp_path / "small/fluent_speech_commands_dataset", tmp_path / "cache").manifest
    spoken = manifest.groupby("split").transcription.agg(set)
    assert len(spoken["train"]) == 31 and len(spoken["test"] - spoken["train"]) == 31
    with pytest.raises(ConfigError, match="9 wordings asked for, there are 8"):
        load_config("unseen", embedded=settings.model_dump() | {"phrasings": 8})


def test_what_an_interrupted_start_left_goes_and_a_users_folder_stays(tmp_path, embedded):
    partial = tmp_path / "one.partial"
    partial.mkdir()
    (partial / "thesis.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"one\.partial is not what an interrupted start leaves"):
        ensure_embedded(tmp_path / "one", SMALL)
    assert (partial / "thesis.txt").read_text() == "mine"
    (partial / "embedded.json.partial").write_text("{}")  # what such a start writes first
    ensure_embedded(tmp_path / "one", SMALL)
    assert not partial.exists()
    assert digests(tmp_path / "one").keys() <= digests(embedded).keys()


def test_a_whole_corpus_is_found_where_nothing_can_be_written(embedded, monkeypatch):
    monkeypatch.setattr(
        "jointlib.corpora.embedded.write.FileLock", lambda path: pytest.fail(f"{path} was to be locked")
    )
    ensure_embedded(embedded, SMALL)


def test_what_was_whole_but_for_its_name_is_made_again(tmp_path):
    partial = tmp_path / "one.partial"
    partial.mkdir()
    (partial / "embedded.json").write_text("{}")  # killed between the last two renames
    ensure_embedded(tmp_path / "one", SMALL)
    assert not partial.exists() and (tmp_path / "one/embedded.json").is_file()
