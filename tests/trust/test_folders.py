"""Folders that are not as a run left them: nothing is deleted, nothing damaged or foreign is averaged in."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import psutil
import pytest
import soundfile
import torch
import yaml
from conftest import batch, network
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from jointlib import metrics
from jointlib.config import CHECKOUT, ROOT, ConfigError, load_config, parent_of
from jointlib.corpora.batches import load_data
from jointlib.corpora.cache import pack
from jointlib.runs import fit as fit_module
from jointlib.runs.fit import fit, main
from jointlib.runs.folder import CHECKPOINT, FILES, environment, list_runs, partial_folder, run_folder, titled_runs
from jointlib.runs.report import write_report
from jointlib.runs.scores import read_passages, read_run, read_scores, score_once
from jointlib.runs.wanted import check_place, stale
from jointlib.support import commit as commit_module
from jointlib.support.checkpoint import Checkpoint
from jointlib.support.files import UnusableFile, read_csv, write_csv, write_json
from jointlib.train import build_optimizer, train_step

pytestmark = pytest.mark.trust
searched = settings(deadline=None, derandomize=True, max_examples=100, database=None)


def everything(folder: Path) -> dict[str, bytes | str]:
    """All files, links and folders below a folder, apart from locks."""
    paths = (path for path in sorted(folder.rglob("*")) if path.suffix != ".lock")
    return {
        str(path): path.read_bytes() if path.is_file() else str(path.readlink()) if path.is_symlink() else ""
        for path in paths
    }


def edited(folder, **changes):
    values = json.loads((folder / "config.json").read_text())
    write_json(folder / "config.json", values | changes)


def put(folder, name="config.json", content="mine"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(content)


IN_THE_WAY = {
    "a run that lacks a file": (lambda run, work: (run / "history.csv").unlink(), "not a finished run, but not empty"),
    "a run of another configuration": (lambda run, work: edited(run, clip_norm=7.0), "clip_norm: 7.0 there, 5.0 now"),
    "a run whose config is cut": (lambda run, work: put(run, content="{"), "config.json: not readable .* move .* away"),
    "notes alone": (lambda run, work: (shutil.rmtree(run), put(run, "notes.txt")), "not a finished run, but not empty"),
    "a file": (lambda run, work: (shutil.rmtree(run), run.write_text("mine")), "not a folder; move it away"),
    "a link to an empty folder": (
        lambda run, work: (shutil.rmtree(run), (run.parent / "else").mkdir(), run.symlink_to("else")),
        "not a finished run",
    ),
    "a link to nothing": (lambda run, work: (shutil.rmtree(run), run.symlink_to("nowhere")), "not a folder; move it"),
    "a partial run of another configuration": (
        lambda run, work: (run.rename(work), edited(work, clip_norm=7.0)),
        "partial was made .*clip_norm: 7.0 there",
    ),
    "a partial run of another seed": (
        lambda run, work: (run.rename(work), edited(work, seed=7)),
        "partial was made .*seed: 7 there, 0 now",
    ),
    "a partial run whose config is cut": (
        lambda run, work: (run.rename(work), put(work, content="")),
        "config.json: not readable .* move .* away",
    ),
    "a checkpoint of nobody knows what": (
        lambda run, work: (shutil.rmtree(run), put(work, CHECKPOINT)),
        "holds checkpoint.safetensors of nobody knows",
    ),
    "weights of nobody knows what": (
        lambda run, work: (run.rename(work), (work / "config.json").unlink()),
        "holds metrics.json, .* move it away",
    ),
    "a file for a partial folder": (
        lambda run, work: (shutil.rmtree(run), work.write_text("mine")),
        "partial: not a folder; move it away",
    ),
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
    spoil(folder, partial_folder(folder))
    before = everything(own.folder)
    for check in (check_place, fit):
        with pytest.raises((FileExistsError, UnusableFile), match=message) as caught:
            check(own)
        assert "\n" not in str(caught.value) and str(folder) in str(caught.value)
    assert everything(own.folder) == before


def rewritten(old, new, split="test"):
    """A change of a CSV of the corpus."""

    def change(root, noise):
        file = root / f"data/{split}_data.csv"
        file.write_text(file.read_text().replace(old, new))

    return change


def louder(file):
    wave, sample_rate = soundfile.read(file)
    soundfile.write(file, 0.9 * wave, sample_rate)


def reversed_rows(root, noise):
    file = root / "data/train_data.csv"
    header, *rows = file.read_text().splitlines()
    file.write_text("\n".join([header, *reversed(rows)]) + "\n")


def renamed_intent(root, noise):
    for split in ("train", "valid", "test"):
        rewritten("bring,shoes", "bring,boots", split)(root, noise)


OTHER_DATA = {
    "a recording": (lambda root, noise: louder(root / "wavs/speakers/ann/0.wav"), "speech of train is not what it was"),
    "a recording of test": (lambda root, noise: louder(root / "wavs/speakers/eve/5.wav"), "speech of test is not"),
    "a speaker": (rewritten(",eve,", ",eva,"), "speech of test is not what it was"),
    "a word": (rewritten("please", "now", "valid"), "speech of valid is not what it was"),
    "whose is which": (rewritten("bring,shoes", "activate,lamp"), "speech of test is not what it was"),
    "an intent": (
        renamed_intent,
        "intent 'bring / boots / none' is new, intent 'bring / shoes / none' is gone, speech of",
    ),
    "the order": (reversed_rows, "speech of train is not what it was"),
    "a noise": (lambda root, noise: louder(noise / "noise_train/Typing_1.wav"), "noise of train is not what it was"),
    "a noise's type": (
        lambda root, noise: (noise / "noise_test/Babble_1.wav").rename(noise / "noise_test/Cafe_1.wav"),
        "noise of test is not what it was",
    ),
    "one noise less": (lambda root, noise: (noise / "noise_test/Typing_2.wav").unlink(), "noise of test is not what"),
}


@pytest.mark.parametrize("name", OTHER_DATA)
def test_a_run_of_other_speech_labels_or_noise_is_not_gone_on_with(name, profile, corpus_root, noise_root, tmp_path):
    change, message = OTHER_DATA[name]
    started, half = (
        load_config(profile, steps=4, seed=seed, init=init) for seed, init in ((0, "pretrained"), (1, "scratch"))
    )
    parent, folder = parent_of(started, "classifier_clean"), fit(started)
    fit(half).rename(partial_folder(run_folder(half)))
    change(corpus_root, noise_root)
    before = everything(tmp_path / "results")
    for config in (started, half, parent):
        with pytest.raises(FileExistsError, match=message) as caught:
            fit(config)
        assert "\n" not in str(caught.value) and config.run_name in str(caught.value)
    assert everything(tmp_path / "results") == before
    shutil.move(folder, tmp_path)  # what it started from is still there
    with pytest.raises(FileExistsError, match=f"{parent.run_name} was made with other data .*{message}"):
        fit(started)
    shutil.move(folder.parent / parent.run_name, tmp_path)
    shutil.move(partial_folder(run_folder(half)), tmp_path)
    fit(started)
    shutil.move(tmp_path / folder.name, run_folder(started.replace(seed=3)))
    edited(run_folder(started.replace(seed=3)), seed=3)
    with pytest.raises(UnusableFile, match=r"seed3_\S+: made with other data than jt_\S+ \(.*; train one of them anew"):
        read_scores(started)


def test_the_same_data_elsewhere_is_the_same_data(profile, corpus_root, noise_root, tmp_path):
    data = load_data(load_config(profile)).identity
    for root in (corpus_root, noise_root):
        shutil.move(root, tmp_path / "moved" / root.name)
    moved = load_config(
        profile, corpus=str(tmp_path / "moved" / corpus_root.name), noise=str(tmp_path / "moved" / noise_root.name)
    )
    assert load_data(moved).identity == data


def test_a_users_files_beside_a_run_are_kept_and_only_leftovers_go(profile):
    config = load_config(profile, strategy="classifier_noisy", steps=2)
    work = partial_folder(run_folder(config))
    kept = ("notes.txt", "thesis.2024.partial", "thesis.partial", "config.json.partial", "weights.pt.7.partial")
    for name in (*kept, "config.json.7.partial", f"{CHECKPOINT}.123.partial"):
        put(work, name)
    (work / "metrics.json.9.partial").mkdir()  # nothing that we write
    put(config.folder / "scores", "mine.csv.7.partial")
    folder = fit(config)
    assert {path.name for path in folder.glob("*")} - {*FILES, "card.md"} == {*kept, "metrics.json.9.partial"}
    assert all((folder / name).read_text() == "mine" for name in kept)
    assert (config.folder / "scores/mine.csv.7.partial").exists()


def test_a_cache_that_lies_in_a_users_folder_is_cleared_of_our_leftovers_alone(noise_root, tmp_path):
    digest = "0123456789abcdef" * 2
    ours = [tmp_path / f"{digest}.{kind}.7.partial" for kind in ("int16", "json")] + [
        tmp_path / f"seen/{digest}.7.partial"
    ]
    kept = [tmp_path / name for name in ("a.partial", "a.7.partial", "seen/a.7.partial", f"{digest}.txt.7.partial")]
    for file in (*ours, *kept):
        put(file.parent, file.name)
    pack(sorted((noise_root / "noise_test").glob("*.wav")), tmp_path, "Reading")
    assert [file.exists() for file in (*ours, *kept)] == [False] * len(ours) + [True] * len(kept)


def alone(answer):
    """A git that does as the shell is told, or none."""

    def make(folder, monkeypatch):
        (folder / "bin").mkdir()
        if answer:
            (folder / "bin/git").write_text(f"#!/bin/sh\n{answer}\n")
            (folder / "bin/git").chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder / 'bin'}:/usr/bin:/bin" if answer else str(folder / "bin"))

    return make


def within_another_repository(folder, monkeypatch):
    git = ["git", "-c", "user.name=x", "-c", "user.email=x", "-C", str(folder)]
    for arguments in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "theirs"]):
        subprocess.run([*git, *arguments], check=True)
    (folder / "inner").mkdir()
    monkeypatch.setattr(commit_module, "CHECKOUT", folder / "inner")


def called_from_a_hook(folder, monkeypatch):
    within_another_repository(folder, monkeypatch)
    monkeypatch.setenv("GIT_DIR", str(folder / ".git"))


GITS = {
    "missing": alone(""),
    "refuses": alone('echo "fatal: detected dubious ownership in repository" >&2; exit 128'),
    "hangs": alone("exec sleep 60"),
    "says nothing": alone("exit 0"),
    "is no program": alone("\0"),
    "knows another repository": within_another_repository,
    "is told of another repository": called_from_a_hook,
}


@pytest.mark.parametrize("name", GITS)
def test_without_an_answer_of_git_there_is_no_commit(name, tmp_path, monkeypatch):
    if "another" in name and shutil.which("git") is None:
        pytest.skip("git makes the other repository")
    GITS[name](tmp_path, monkeypatch)
    monkeypatch.setattr(commit_module, "PATIENCE", 0.5)
    assert environment(load_config("smoke"))["commit"] is None


def test_a_run_is_stale_once_the_code_that_decides_its_numbers_has_changed(tmp_path, monkeypatch):
    if shutil.which("git") is None:
        pytest.skip("git knows what has changed")
    monkeypatch.setattr(commit_module, "CHECKOUT", tmp_path)
    run = tmp_path / "run"
    run.mkdir()

    def git(*arguments):
        who = ["-c", "user.name=x", "-c", "user.email=x"]
        answer = subprocess.run(["git", *who, "-C", tmp_path, *arguments], capture_output=True, text=True, check=True)
        return answer.stdout.strip()

    def reason(commit, **more):
        (run / "record.json").write_text(json.dumps({"commit": commit, **more}))
        commit_module.changed_since.cache_clear()
        return stale(run)

    for file in ("jointlib/train.py", "jointlib/corpora/audio.py", "jointlib/runs/tables.py", "jointlib/__main__.py"):
        put((tmp_path / file).parent, Path(file).name, "first")
    git("init", "-q")
    git("add", "jointlib")
    git("commit", "-q", "-m", "first")
    first = git("describe", "--always", "--abbrev=12")
    assert reason(first) == ""
    for file in ("runs/tables.py", "__main__.py"):
        put(tmp_path / "jointlib" / file.rpartition("/")[0], Path(file).name, "other")
    assert reason(first) == ""
    put(tmp_path / "jointlib/corpora", "audio.py", "other")
    assert reason(first) == f"made before jointlib/corpora/audio.py changed (commit {first})"
    git("commit", "-q", "-a", "-m", "second")
    second = git("describe", "--always", "--abbrev=12")
    assert reason(second) == "" and "audio.py changed" in reason(first)
    assert "audio.py changed" in reason(second, weights_from={"jt_alpha0.5_seed0": first})
    assert reason(f"{second}-dirty") == f"made by code that was never committed, on top of {second}"
    assert reason(None) == reason("--output=planted") == "made by code of no known commit"
    assert reason("0123456789ab") == "made at commit 0123456789ab, which this checkout does not have"


FOREIGN = {
    "a copy": (
        lambda run: shutil.copytree(run, f"{run} copy"),
        "jt_alpha0.5_seed0 copy: holds, by its config.json, jt_a",
    ),
    "a renamed run": (lambda run: run.rename(run.with_name("jt_alpha0.1_seed0")), "jt_alpha0.1_seed0: holds, .* jt_al"),
    "another seed than its name says": (
        lambda run: edited(run, seed=3),
        "holds, by its config.json, jt_alpha0.5_seed3",
    ),
    "a path for a variant": (lambda run: edited(run, variant="../../x"), "variant|holds, by its config.json"),
    "an edited profile": (lambda run: edited(run, learning_rate=0.5), "learning_rate: 0.5, but 0.002 in the profile"),
    "what the first run ignores": (
        lambda run: (shutil.rmtree(run.with_name("bn_alpha0.5_seed0")), edited(run, loss={"mse": 2})),
        r"jt_alpha0.5_seed0: .*loss: {'mse': 2.0}, but None in the profile",
    ),
    "two differences": (
        lambda run: edited(run, clip_norm=1, mixer="ms_snsd"),
        "mixer: .*; clip_norm: |clip_norm: .*; mixer",
    ),
    "a run that lacks a file": (
        lambda run: (run / "history.csv").unlink(),
        "a run that lacks history.csv; move it away",
    ),
    "metrics of something else": (
        lambda run: put(run, "metrics.json", "{}"),
        "metrics.json: lacks utterances, mean, re",
    ),
    "no record of its cost": (lambda run: put(run, "record.json", "{}"), "record.json: lacks trainings, parameters"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_run_that_is_not_the_profiles_is_not_averaged_in(name, own):
    spoil, message = FOREIGN[name]
    fit(own.replace(seed=1))  # of the same cell, so that two could be mixed
    assert set(read_scores(own).seed) == {0, 1}
    folder = run_folder(own)
    spoil(folder)
    before = everything(own.folder)
    for read in (read_scores, read_passages):
        with pytest.raises(UnusableFile, match=message) as caught:
            read(own)
        assert "\n" not in str(caught.value) and str(folder.parent) in str(caught.value)
    assert everything(own.folder) == before


def test_runs_of_a_profile_that_has_been_edited_since_are_not_its_results(own):
    changed = own.replace(learning_rate=0.5)
    for read in (read_scores, read_passages, write_report):
        with pytest.raises(UnusableFile, match=r"learning_rate: 0.002, but 0.5 in the profile"):
            read(changed)


def test_a_users_own_folders_among_the_runs_are_passed_over(own):
    before = len(list_runs(own.folder))
    put(own.folder / "runs/old", "notes.txt")
    (own.folder / "runs/empty").mkdir()
    shutil.copytree(run_folder(own), own.folder / "runs/old/jt_alpha0.5_seed0")
    shutil.copytree(run_folder(own), own.folder / "runs/jt_alpha0.9_seed0.partial")
    assert len(list_runs(own.folder)) == before


def test_a_copy_does_not_take_a_runs_place_in_the_list(own):
    copy = run_folder(own).with_name("a copy")
    shutil.copytree(run_folder(own), copy)
    shutil.copytree(run_folder(own), foreign := own.folder.parent / "old/runs/jt")
    write_json(foreign / "config.json", {"strategy": "jt"})
    titles, (problem,) = titled_runs(own.folder.parent)
    assert problem.startswith(f"{foreign}/config.json: unknown or missing") and foreign not in titles.values()
    assert titles["JT, α = 0.5, seed 0 · tiny"] == run_folder(own)
    assert titles["JT, α = 0.5, seed 0 · tiny · a copy"] == copy


TABLES = ("per_utterance.csv", "per_passage.csv")


def changed(change):
    """Rewrite a CSV, as text throughout."""

    def spoil(file):
        table = pd.read_csv(file, dtype=str, keep_default_na=False)
        change(table).to_csv(file, index=False)

    return spoil


def with_value(column, row, value):
    def change(table):
        table.loc[row, column] = value
        return table

    return changed(change)


DAMAGED = {
    "empty": (lambda file: file.write_bytes(b""), "is empty"),
    "zeros": (lambda file: file.write_bytes(bytes(999)), "row|columns|lacks|readable"),
    "no rows": (changed(lambda table: table[:0]), "has 0 of"),
    "a row too few": (changed(lambda table: table[:-1]), r"has \d+ of \d+ rows"),
    "a row twice": (changed(lambda table: pd.concat([table, table[:1]])), r"has \d+ of \d+ rows"),
    "no speakers": (changed(lambda table: table.drop(columns="speaker")), "lacks speaker"),
    "no PESQ": (changed(lambda table: table.drop(columns="pesq_nb_noisy")), "lacks pesq_nb_noisy"),
    "a speaker without a name": (with_value("speaker", 1, ""), "row 3 has no speaker"),
    "a value less": (with_value("pesq_nb_noisy", 0, ""), "pesq_nb_noisy has mean .* in metrics.json"),
    "another value": (with_value("pesq_nb_enhanced", 0, "3"), "pesq_nb_enhanced has mean .* in metrics.json"),
    "a word for a number": (with_value("pesq_nb_noisy", 0, "high"), "pesq_nb_noisy holds what is no number"),
    "no values": (changed(lambda table: table.assign(pesq_nb_noisy="")), "pesq_nb_noisy has mean nan"),
    "not text": (lambda file: file.write_bytes(file.read_bytes() + b"\xff\n"), "not readable as UTF-8 CSV"),
    "an open quote": (lambda file: file.write_bytes(file.read_bytes() + b'"x\n'), "not readable as UTF-8 CSV"),
    "a value too many": (lambda file: file.write_bytes(file.read_bytes()[:-1] + b",1\n"), r"row \d+ has \d+ of"),
}


@pytest.mark.parametrize("name", DAMAGED)
@pytest.mark.parametrize("table", TABLES)
def test_damaged_scores_are_named(table, name, own):
    spoil, message = DAMAGED[name]
    file = run_folder(own) / table
    spoil(file)
    before = everything(own.folder)
    with pytest.raises(UnusableFile, match=message) as caught:
        (read_scores if table == "per_utterance.csv" else read_passages)(own)
    text = str(caught.value)
    assert text.startswith(str(file)) and text.endswith("copy the run again, or remove it and train anew"), text
    assert everything(own.folder) == before


@pytest.mark.parametrize("table", TABLES)
def test_scores_that_were_cut_anywhere_are_noticed(table, own):
    folder = run_folder(own)
    file = folder / table
    whole = file.read_bytes()
    read = {"per_utterance.csv": read_run, "per_passage.csv": lambda run: read_passages(own)}[table]

    @searched
    @given(st.integers(0, len(whole) - 1))
    def search(length):
        file.write_bytes(whole[:length])
        with pytest.raises(UnusableFile):
            read(folder)

    search()


def test_kept_scores_that_were_damaged_are_named(own, tmp_path):
    pairs = [(torch.randn(2000).numpy(), torch.randn(2000).numpy()) for _ in range(2)]
    whole = score_once(own, pairs, "Scoring", ("si_sdr", "mse"))
    pd.testing.assert_frame_equal(score_once(own, pairs, "Scoring", ("si_sdr", "mse")), whole)
    file = max((own.folder / "scores").glob("*.csv"), key=lambda file: file.stat().st_mtime_ns)
    content = file.read_bytes()
    lines = content.splitlines(keepends=True)
    for damaged in (
        b"",
        *(content[:length] for length in range(1, len(content))),
        b"".join([*lines, lines[-1]]),
        content.replace(b"mse", b"msd"),
        lines[0] + b"1,,\n" + lines[2],
        lines[0] + b"1,x,\n" + lines[2],
    ):
        file.write_bytes(damaged)
        with pytest.raises(UnusableFile, match=f"{file.name}: .*; remove it, and the speech is scored again"):
            score_once(own, pairs, "Scoring", ("si_sdr", "mse"))
        assert file.read_bytes() == damaged


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
TEXT |= st.sampled_from(["NA", "nan", "null", "None", "007", "1e1", "-0", "True", "\r", "\r\n", "\n", '"', ",", "\0"])


@searched
@given(st.lists(st.tuples(TEXT, st.none() | st.floats(-1e9, 1e9), TEXT), min_size=1, max_size=4))
def test_text_in_a_csv_is_text_and_numbers_are_numbers(tmp_path_factory, rows):
    table = pd.DataFrame(rows, columns=["speaker", "value", "failed"]).astype({"value": float})
    file = tmp_path_factory.getbasetemp() / "text.csv"
    write_csv(file, table)
    found = read_csv(file, ("speaker", "failed"))
    assert found.speaker.tolist() == table.speaker.tolist() and found.failed.tolist() == table.failed.tolist()
    pd.testing.assert_series_equal(found.value, table.value)


def test_speakers_and_words_that_look_like_numbers_stay_as_they_are(profile, corpus_root):
    file = corpus_root / "data/test_data.csv"
    table = pd.read_csv(file, dtype=str, index_col=0)
    table["speakerId"] = table.speakerId.map({"dan": "007", "eve": "NA"})
    table["transcription"] = [*("1e1", "null", "", "NaN", "a,b", "0"), *(["x"] * 6)]
    table.to_csv(file, quoting=1)
    config = load_config(profile, strategy="classifier_noisy", steps=1)
    scores = read_run(fit(config))
    assert scores.speaker.tolist() == ["007"] * 6 + ["NA"] * 6
    assert scores.transcription.tolist() == table.transcription.tolist()
    assert set(read_passages(config).speaker) == {"007", "NA"}


def stored(change):
    """Change the tensors of a checkpoint, and keep what is said about them."""

    def spoil(file):
        with safe_open(file, "pt") as opened:
            about = opened.metadata()
        tensors = load_file(file)
        save_file(change(tensors), file, about)

    return spoil


def other_shapes(part):
    return stored(lambda tensors: {k: torch.zeros(3, 3) if k.startswith(part) else v for k, v in tensors.items()})


def without(part):
    return stored(lambda tensors: {k: v for k, v in tensors.items() if not k.startswith(part)})


CHECKPOINTS = {
    "empty": lambda file: file.write_bytes(b""),
    "cut": lambda file: file.write_bytes(file.read_bytes()[:-100]),
    "cut early": lambda file: file.write_bytes(file.read_bytes()[:40]),
    "text": lambda file: file.write_text("mine" * 99),
    "a folder": lambda file: (file.unlink(), file.mkdir()),
    "other weights": other_shapes("model."),
    "other best weights": other_shapes("best."),
    "another optimiser's state": other_shapes("optimizer."),
    "a step of two": stored(lambda tensors: tensors | {"optimizer.0.step": torch.zeros(2)}),
    "a parameter too many": stored(lambda tensors: tensors | {"optimizer.999.step": torch.zeros(())}),
    "a name for a number": stored(lambda tensors: tensors | {"optimizer.x.step": torch.zeros(())}),
    "no weights": without("model."),
    "no best weights": without("best."),
    "nothing said": lambda file: save_file(load_file(file), file),
    "no history": lambda file: save_file(load_file(file), file, {"history": "[]", "core_seconds": "1"}),
    "another history": lambda file: save_file(load_file(file), file, {"history": "[3]", "core_seconds": "1"}),
}


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_a_damaged_checkpoint_is_named_and_kept(name, tmp_path):
    config, model = network("jt")
    optimizer = build_optimizer(model, config)
    train_step(model, batch(), optimizer, config)
    checkpoint = Checkpoint(tmp_path / CHECKPOINT)
    checkpoint.save(
        model, {k: v.clone() for k, v in model.state_dict().items()}, optimizer, [{"step": 1, "valid_loss": 0.5}]
    )
    assert checkpoint.load(model, optimizer)[1][0]["step"] == 1
    CHECKPOINTS[name](checkpoint.file)
    before = everything(tmp_path)
    with pytest.raises(
        UnusableFile, match=r"checkpoint.safetensors: damaged .*; remove it, and the run starts over"
    ) as caught:
        checkpoint.load(model, optimizer)
    assert "\n" not in str(caught.value) and everything(tmp_path) == before


OUTSIDE = {
    "an absolute path": {"results": "/etc"},
    "above the project": {"results": "../.."},
    "through its results": {"results": "results/../.."},
    "the library": {"results": "jointlib"},
    "the project itself": {"results": "."},
    "the data": {"results": "data"},
    "a name that begins alike": {"results": "results2"},
    "a home": {"results": "/root"},
    "a corpus anywhere": {"corpus": "/etc/speech/corpus"},
    "a corpus above": {"corpus": "../speech/corpus"},
    "a corpus in data itself": {"corpus": "data/corpus"},
    "a corpus in the library": {"corpus": "jointlib/speech/corpus"},
    "a corpus among results": {"corpus": "results/speech/corpus"},
}


@pytest.mark.parametrize("through_a_base", [False, True])
@pytest.mark.parametrize("name", OUTSIDE)
def test_a_strangers_profile_writes_below_data_and_results_only(name, through_a_base, tmp_path):
    given = {"base": "smoke", **OUTSIDE[name]}
    if "corpus" in given:
        given["embedded"] = load_config("smoke").embedded.model_dump(mode="json")
    mine = tmp_path / "mine.yaml"
    if through_a_base:
        (tmp_path / "base.yaml").write_text(yaml.safe_dump(given))
        given = {"base": str(tmp_path / "base.yaml")}
    mine.write_text(yaml.safe_dump(given))
    with pytest.raises(ConfigError, match=r"mine.yaml: (results|an embedded corpus) in /.*, which must be below /"):
        load_config(mine)


def test_a_base_has_its_corpus_from_elsewhere(tmp_path):
    (tmp_path / "base.yaml").write_text("base: smoke\ncorpus: /etc/speech/corpus\n")
    assert load_config(tmp_path / "base.yaml").embedded is None  # it is only read
    (tmp_path / "mine.yaml").write_text(f"base: {tmp_path}/base.yaml\nembedded: {{}}\n")
    with pytest.raises(ConfigError, match="an embedded corpus in /etc/speech"):
        load_config(tmp_path / "mine.yaml")


def test_what_a_profile_may_write_and_what_its_user_may(tmp_path):
    mine = tmp_path / "mine.yaml"
    for results in ("results", "results/deep", f"{ROOT}/results/deep", str(tmp_path), str(tmp_path / "x")):
        mine.write_text(yaml.safe_dump({"base": "smoke", "results": results}))
        assert load_config(mine).folder == ROOT / results / "mine"
    (tmp_path / "link").symlink_to("/etc")
    mine.write_text(yaml.safe_dump({"base": "smoke", "results": str(tmp_path / "link")}))
    with pytest.raises(ConfigError, match="results in /etc"):
        load_config(mine)
    assert load_config("smoke", results="/elsewhere").folder == Path("/elsewhere/smoke")
    assert load_config("smoke", corpus="/a/b/c", embedded={}).corpus == "/a/b/c"


def vanish(results):
    shutil.rmtree(results)


def become_a_file(results):
    shutil.rmtree(results)
    results.write_text("mine")


@pytest.mark.parametrize("event", [vanish, become_a_file])
@pytest.mark.parametrize("moment", ["train", "evaluate", "write_csv", "environment"])
def test_results_that_vanish_are_reported_in_one_line(event, moment, profile, tmp_path, monkeypatch):
    work = getattr(fit_module, moment)

    def interrupted(*arguments):
        monkeypatch.setattr(fit_module, moment, work)
        event(tmp_path / "results")
        return work(*arguments)

    monkeypatch.setattr(fit_module, moment, interrupted)
    with pytest.raises(SystemExit, match=r"^\w+Error: .*results") as caught:
        main(["--profile", str(profile), "--strategy", "classifier_noisy", "--set", "steps=1"])
    assert "\n" not in str(caught.value)
    assert event is vanish or (tmp_path / "results").read_text() == "mine"


def test_the_pipeline_names_half_a_run_and_touches_nothing(tmp_path):
    """Snakemake's own marker says that the cell is done; the tables would have shown it as not run."""
    run = tmp_path / "smoke/runs/classifier_clean_seed0"
    put(run, "notebook.done", "")
    put(run, "metrics.json")
    before = everything(tmp_path)
    command = [sys.executable, "-m", "snakemake", "-n", "--cores", "1", "--nolock", "--config", "profile=smoke"]
    ended = subprocess.run([*command, f"results={tmp_path}"], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert ended.returncode == 1 and f"{run}: not a finished run, but not empty; move it away" in ended.stdout
    assert "Traceback" not in ended.stdout + ended.stderr and everything(tmp_path) == before


def test_the_pipeline_names_what_has_changed_in_the_corpus(profile, corpus_root, tmp_path):
    folder = fit(load_config(profile, strategy="classifier_clean", steps=2))
    louder(corpus_root / "wavs/speakers/ann/0.wav")
    before = everything(tmp_path / "results")
    command = [sys.executable, "-m", "snakemake", "-n", "--cores", "1", "--nolock", "--config", f"profile={profile}"]
    ended = subprocess.run([*command, "steps=2"], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert f"{folder} was made with other data (speech of train is not what it was); bring that back" in ended.stdout
    assert ended.returncode == 1 and everything(tmp_path / "results") == before


WORK = """
import sys, time
from jointlib.support.workers import fresh_processes
if __name__ == "__main__":
    with fresh_processes(3) as pool:
        jobs = [pool.submit(time.sleep, 60) for _ in range(int(sys.argv[1]))]
        print(*pool._processes, flush=True)
        time.sleep(60)
"""


@pytest.mark.parametrize("jobs", [1, 30])  # so that some wait for work, and work waits for some
@pytest.mark.parametrize("how", ["SIGTERM", "SIGKILL", "SIGINT", "SIGHUP", "Ctrl-C in its terminal"])
def test_no_worker_outlives_its_parent(how, jobs, tmp_path):
    (tmp_path / "work.py").write_text(WORK)
    command = [sys.executable, str(tmp_path / "work.py"), str(jobs)]
    parent = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    workers = [psutil.Process(int(number)) for number in parent.stdout.readline().split()]
    assert workers
    if how.startswith("Ctrl-C"):
        time.sleep(0.5)  # a terminal tells all of them
        os.killpg(parent.pid, signal.SIGINT)
    else:
        parent.send_signal(getattr(signal, how))
    _, alive = psutil.wait_procs(workers, timeout=150)  # at once, but a busy machine takes its time to start them
    for process in alive:
        process.kill()
    assert alive == []
    told = parent.communicate(timeout=30)[1]
    assert told.count("Traceback") <= 1, told  # the parent's own


def test_scoring_works_in_such_workers(monkeypatch):
    asked = []

    @contextmanager
    def counted(number):
        asked.append(number)
        with ThreadPoolExecutor(number) as pool:
            yield pool

    monkeypatch.setattr(metrics, "fresh_processes", counted)
    pairs = [(torch.randn(999).numpy(), torch.randn(999).numpy())] * 3
    assert len(metrics.score(pairs, 2, "Scoring", ("mse",))) == 3 and asked == [2]


@pytest.mark.parametrize("folder", ["gone", "a file", "file/below"])
def test_a_file_that_cannot_be_written_is_named_by_its_own_name(folder, tmp_path):
    for name in ("a file", "file"):
        put(tmp_path, name)
    with pytest.raises(OSError, match=r"nothing was changed\. It was to be written") as caught:
        write_json(tmp_path / folder / "metrics.json", {})
    assert caught.value.filename == str(tmp_path / folder / "metrics.json")
