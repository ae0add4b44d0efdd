"""Folders that are not as a run left them: nothing is deleted, and nothing foreign is taken for a run."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import soundfile
from kills import numbers

from jointlib.config import load_config, parent_of
from jointlib.corpora.batches import load_data
from jointlib.runs import fit as fit_module
from jointlib.runs import folder as folder_module
from jointlib.runs.fit import fit
from jointlib.runs.folder import FILES, changes, check_place, environment, list_runs, run_folder, titled_runs
from jointlib.support.checkpoint import CHECKPOINT
from jointlib.support.files import UnusableFile, write_json

pytestmark = pytest.mark.trust


def edited(folder: Path, **values) -> None:
    write_json(folder / "config.json", json.loads((folder / "config.json").read_text()) | values)


def put(folder: Path, name: str = "config.json", content: str = "mine") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(content)


IN_THE_WAY = {
    "a run that lacks a file": (lambda run, work: (run / "history.csv").unlink(), "not a finished run, but not empty"),
    "a run of another configuration": (lambda run, work: edited(run, clip_norm=7.0), "clip_norm: 7.0 there, 5.0 now"),
    "a run whose config is cut": (lambda run, work: put(run, content="{"), "config.json: not readable"),
    "notes alone": (lambda run, work: (shutil.rmtree(run), put(run, "notes.txt")), "not a finished run, but not empty"),
    "a partial run of another seed": (
        lambda run, work: (run.rename(work), edited(work, seed=7)),
        "partial was made .*seed: 7 there, 0 now",
    ),
    "a checkpoint without a configuration": (
        lambda run, work: (shutil.rmtree(run), put(work, CHECKPOINT)),
        "config.json is missing",
    ),
    "a partial run whose config is cut": (lambda run, work: (run.rename(work), put(work, content="")), "not readable"),
}


@pytest.fixture
def own(tiny_profile, tiny_runs, tmp_path):
    """A configuration whose finished runs lie below this test's own folder."""
    shutil.copytree(tiny_runs["jt"].parents[1], tmp_path / "own/tiny")
    return load_config(tiny_profile, results=str(tmp_path / "own"))


@pytest.mark.parametrize("name", IN_THE_WAY)
def test_what_is_no_run_of_this_configuration_is_named_and_left_alone(name, own):
    spoil, message = IN_THE_WAY[name]
    folder = run_folder(own)
    spoil(folder, Path(f"{folder}.partial"))
    before = numbers(own.folder)
    for check in (check_place, fit):
        with pytest.raises((FileExistsError, UnusableFile), match=message) as caught:
            check(own)
        assert str(folder) in str(caught.value)
    assert numbers(own.folder) == before


def rewritten(old: str, new: str, *splits: str):
    """Change the CSVs of a corpus."""

    def change(root, noise):
        for split in splits:
            file = root / f"data/{split}_data.csv"
            file.write_text(file.read_text().replace(old, new))

    return change


def louder(file: Path) -> None:
    wave, sample_rate = soundfile.read(file)
    soundfile.write(file, 0.9 * wave, sample_rate)


def reversed_rows(root: Path, noise: Path) -> None:
    file = root / "data/train_data.csv"
    header, *rows = file.read_text().splitlines()
    file.write_text("\n".join([header, *reversed(rows)]) + "\n")


TRAIN, VALID, TEST = (f"speech of {split} has changed" for split in ("train", "valid", "test"))
OTHER_DATA = {
    "a recording": (lambda root, noise: louder(root / "wavs/speakers/ann/0.wav"), [TRAIN]),
    "a recording of test": (lambda root, noise: louder(root / "wavs/speakers/eve/5.wav"), [TEST]),
    "a speaker": (rewritten(",eve,", ",eva,", "test"), [TEST]),
    "a word": (rewritten("please", "now", "valid"), [VALID]),
    "whose is which": (rewritten("bring,shoes", "activate,lamp", "test"), [TEST]),
    "an intent": (
        rewritten("bring,shoes", "bring,boots", "train", "valid", "test"),
        ["intent 'bring / boots / none' is new", "intent 'bring / shoes / none' is gone", TRAIN, VALID, TEST],
    ),
    "the order": (reversed_rows, [TRAIN]),
    "a noise": (lambda root, noise: louder(noise / "noise_train/Typing_1.wav"), ["noise of train has changed"]),
    "a noise's type": (
        lambda root, noise: (noise / "noise_test/Babble_1.wav").rename(noise / "noise_test/Cafe_1.wav"),
        ["noise of test has changed"],
    ),
    "nothing": (lambda root, noise: None, []),
    "the place": (lambda root, noise: root.rename(root.with_name("moved")), []),
}


@pytest.mark.parametrize("name", OTHER_DATA)
def test_the_identity_of_speech_labels_and_noise_names_what_has_changed(name, profile, corpus_root, noise_root):
    before = load_data(load_config(profile)).identity
    change, expected = OTHER_DATA[name]
    change(corpus_root, noise_root)
    corpus = corpus_root if corpus_root.exists() else corpus_root.with_name("moved")
    assert changes(before, load_data(load_config(profile, corpus=str(corpus))).identity) == expected


def test_a_run_of_other_data_is_refused_and_stays_finished_half_or_a_part(cheap_metrics, profile, corpus_root):
    whole = load_config(profile, steps=2, init="pretrained")
    half, parent = load_config(profile, steps=2, seed=1), parent_of(whole, "classifier_clean")
    fit(whole)
    fit(half).rename(Path(f"{run_folder(half)}.partial"))
    louder(corpus_root / "wavs/speakers/ann/0.wav")
    before = numbers(whole.folder)
    for config in (whole, half, parent):
        with pytest.raises(
            FileExistsError, match=rf"{config.run_name}.* was made with .*{TRAIN}.*: undo the change, mov"
        ):
            fit(config)
    assert numbers(whole.folder) == before
    shutil.rmtree(run_folder(whole))  # what it starts from is still there
    with pytest.raises(FileExistsError, match=f"{parent.run_name} was made with .*{TRAIN}"):
        fit(whole)


def test_a_users_files_beside_a_run_are_kept(cheap_metrics, profile):
    config = load_config(profile, strategy="classifier_noisy", steps=2)
    kept = ("notes.txt", "thesis.partial")
    for name in kept:
        put(Path(f"{run_folder(config)}.partial"), name)
    folder = fit(config)
    assert {path.name for path in folder.iterdir()} == {*FILES, *kept}
    assert all((folder / name).read_text() == "mine" for name in kept)


def test_two_that_want_the_same_run_at_once_train_it_once(cheap_metrics, profile, monkeypatch):
    config, train, trained = load_config(profile, strategy="classifier_noisy", steps=2), fit_module.train, []
    monkeypatch.setattr(fit_module, "train", lambda *given: trained.append(1) or train(*given))
    with ThreadPoolExecutor(2) as pool:
        assert len(set(pool.map(fit, [config, config]))) == 1
    assert trained == [1]


@pytest.mark.parametrize("moment", ["train", "evaluate"])
def test_a_results_folder_that_vanishes_is_an_error_that_names_it(moment, profile, tmp_path, monkeypatch):
    work = getattr(fit_module, moment)
    monkeypatch.setattr(fit_module, moment, lambda *given: shutil.rmtree(tmp_path / "results") or work(*given))
    with pytest.raises(OSError, match="results/tiny"):
        fit(load_config(profile, strategy="classifier_noisy", steps=1))


def test_without_a_checkout_or_git_there_is_no_commit(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert environment(load_config("smoke", device="cpu"))["commit"] is None
    monkeypatch.undo()
    monkeypatch.setattr(folder_module, "CHECKOUT", tmp_path)
    assert environment(load_config("smoke", device="cpu"))["commit"] is None


FOREIGN = {
    "a copy": (lambda run: shutil.copytree(run, f"{run} copy"), "jt_alpha0.5_seed0 copy: holds jt_alpha0.5_seed0;"),
    "another seed than its name says": (lambda run: edited(run, seed=3), "jt_alpha0.5_seed0: holds jt_alpha0.5_seed3;"),
    "no record of its cost": (lambda run: put(run, "record.json", "{}"), "record.json: lacks trainings, parameters"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_run_that_would_be_counted_wrongly_is_named(name, own):
    spoil, message = FOREIGN[name]
    spoil(run_folder(own))
    with pytest.raises(UnusableFile, match=message):
        list_runs(own.folder)


def test_a_users_own_folders_among_the_runs_are_passed_over(own):
    before = list_runs(own.folder)
    assert before.strategy.tolist() == ["bn", "classifier_clean", "jt"] and before.passes.gt(0).all()
    put(own.folder / "runs/old", "notes.txt")
    shutil.copytree(run_folder(own), own.folder / "runs/old/jt_alpha0.5_seed0")
    shutil.copytree(run_folder(own), own.folder / "runs/jt_alpha0.9_seed0.partial")
    assert list_runs(own.folder).equals(before)


def test_titles_tell_a_copy_from_its_run_and_say_what_cannot_be_used(own):
    copy = run_folder(own).with_name("a copy")
    shutil.copytree(run_folder(own), copy)
    shutil.copytree(run_folder(own), foreign := own.folder.parent / "old/runs/jt")
    edited(foreign, train_input="clean")  # a parameter of another version
    titles, (problem,) = titled_runs(own.folder.parent)
    assert "train_input" in problem and "was it written by another version" in problem
    assert problem.startswith(f"{foreign}/config.json: ") and foreign not in titles.values()
    assert titles["JT, α = 0.5, seed 0 · tiny"] == run_folder(own)
    assert titles["JT, α = 0.5, seed 0 · tiny · a copy"] == copy
