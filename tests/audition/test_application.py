"""The wiring of both applications, without a browser."""

import re

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from jointlib import audition, panels
from jointlib.audition.application import Audition
from jointlib.audition.sounds import Reading
from jointlib.audition.vote import BlindVote
from jointlib.config import load_config


@pytest.fixture
def config(tiny_profile, tiny_runs):
    return load_config(tiny_profile)


@pytest.fixture
def app(config):
    app = Audition(config, "jt_alpha0.5_seed0", "bn_alpha0.5_seed0")
    yield app
    app.rest.stop()


def channel(app: Audition, name: str) -> np.ndarray:
    """What the player plays as one channel, as it arrives in the browser."""
    sound = app.controls.player.sound
    samples = np.frombuffer(sound["audio"], np.int16).reshape(len(sound["names"]), -1)
    return samples[sound["names"].index(name)] * sound["peak"] / 32767


def problem(app) -> str:
    found = re.search(r'jl-problem" role="status">(.*)</span>', app.status.value)
    return found.group(1) if found else ""


def test_it_opens_with_a_planned_utterance(app, config):
    assert app.controls.player.sound["names"] == ["clean", "noisy", "enhanced A", "enhanced B", "residual"]
    plan = app.data.plan("test").iloc[0]
    assert app.controls.noise.value == plan.noise_type and app.controls.utterance.value == plan.utterance
    assert (app.noise.file, app.noise.offset) == (plan.noise_file, plan.offset)
    assert app.controls.utterance.label in app.controls.sound.value
    assert app.controls.runs["A"].label == "JT, α = 0.5, seed 0 · tiny" and app.status.value.count("jl-problem") == 0
    assert panels.short(app.truth) in app.controls.readings.value


def test_each_control_changes_what_it_should(app):
    controls = app.controls
    before = {name: channel(app, name) for name in controls.player.sound["names"]}
    controls.snr_db.value = 20
    after = {name: channel(app, name) for name in before}
    assert np.allclose(after["clean"], before["clean"], atol=1e-4)
    assert np.abs(after["noisy"] - after["clean"]).max() < 0.3 * np.abs(before["noisy"] - before["clean"]).max()
    controls.strength.value = 0
    assert np.allclose(channel(app, "enhanced A"), channel(app, "noisy"), atol=1e-4)
    assert np.abs(channel(app, "residual")).max() < 1e-4
    controls.noise.value = ""
    assert np.allclose(channel(app, "noisy"), channel(app, "clean"), atol=1e-4)
    controls.runs["B"].value = ""
    controls.removed_by.value = "B"
    assert controls.player.sound["names"] == ["clean", "noisy", "enhanced A", "residual"]
    assert controls.player.captions["residual"] == "residual of A"  # there is no B
    controls.runs["A"].value = ""
    assert controls.player.sound["names"] == ["clean", "noisy"] and problem(app) == ""


def test_another_excerpt_is_another_noise(app):
    before = channel(app, "noisy")
    for _ in range(5):
        app.controls.another.click()
    assert not np.allclose(channel(app, "noisy"), before, atol=1e-3)


def test_utterances_by_intent_and_speaker(app):
    controls, manifest = app.controls, app.data.corpus.manifest
    controls.intent.value, controls.speaker.value = "bring / shoes / none", "eve"
    rows = manifest.loc[[row for _, row in controls.utterance.options]]
    assert set(rows.intent) == {"bring / shoes / none"} and set(rows.speaker) == {"eve"} and set(rows.split) == {"test"}
    assert app.truth == "bring / shoes / none" and app.name == rows.path.iloc[0]
    controls.random.click()
    assert app.name in set(rows.path)
    controls.utterance.options = [("the only one", rows.index[0])]
    app._receive("recording", "The recording", np.full(8000, 0.1, np.float32).tobytes())
    assert controls.utterance.value is None and "0.50 s: The recording" in controls.sound.value
    controls.random.click()
    assert app.name == rows.path.iloc[0]


def test_filters_keep_the_utterance_and_never_offer_nothing(app):
    controls, manifest = app.controls, app.data.corpus.manifest
    controls.speaker.value = "eve"
    chosen = controls.utterance.options[3][1]
    controls.utterance.value = chosen
    revision = controls.player.sound["revision"]
    controls.speaker.value = ""
    assert controls.utterance.value == chosen and controls.player.sound["revision"] == revision
    rows = (manifest.speaker == "dan") & (manifest.intent == "bring / shoes / none")
    app.data.corpus.manifest = manifest[~rows]
    controls.intent.value = "bring / shoes / none"
    controls.speaker.value = "dan"
    assert problem(app).startswith("dan and bring shoes do not go together") and controls.intent.value == ""
    assert all("dan" in label for label, _ in controls.utterance.options)


def test_a_typed_value_is_the_sliders(app):
    number = app.controls.cards[0].children[1].children[2].children[1]
    number.value = 17
    assert app.controls.snr_db.value == 17
    app.controls.snr_db.value = 3
    assert number.value == 3


def test_quality_and_strips_follow_at_rest(app):
    app.controls.quality.value = app.controls.strips.value = ""
    app.rest.work()
    assert "jl-stale" not in app.controls.quality._dom_classes
    assert app.controls.quality.value.count("<tr>") == 4 and "SI-SDR" in app.controls.quality.value
    assert app.controls.strips.value.count("<i ") == 42  # 21 strengths of two runs
    app.controls.strength.value = 0.5
    assert app.controls.strips.value.count("jl-now") == 2 and "jl-now" in app.controls.strips.value.split("<i ")[11]
    app.controls.snr_db.value = 1
    assert app.controls.strips.value == "" and "jl-stale" in app.controls.quality._dom_classes  # of another sound


def test_what_changes_meanwhile_is_given_up(app, monkeypatch):
    app.controls.quality.value = "of before"
    judged = []

    def judge(_clean, wave):
        judged.append(wave)
        app.rest.stop()
        return {}

    monkeypatch.setattr("jointlib.application.judge", judge)
    app.rest.work()
    assert len(judged) == 1 and app.controls.quality.value == "of before"


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"text", "cannot be read as audio"), (b"", "cannot be read as audio"), ("silence", "is silent")],
)
def test_a_bad_upload_is_one_line_and_leaves_the_sound(app, tmp_path, content, words):
    if content == "silence":
        soundfile.write(tmp_path / "a.wav", np.zeros(8000), 16_000)
        content = (tmp_path / "a.wav").read_bytes()
    revision = app.controls.player.sound["revision"]
    app._receive("file", "a.wav", content)
    assert problem(app).startswith(f"a.wav {words}") and app.controls.player.sound["revision"] == revision
    app.controls.snr_db.value = 3
    assert problem(app) == "" and app.controls.player.sound["revision"] == revision + 1


def test_a_recording_has_no_true_intent(app):
    app.controls.noise.value = ""
    app._receive("recording", "The recording", np.full(8000, 0.1, np.float32).tobytes())
    assert "not known" in app.controls.readings.value and "jl-right" not in app.controls.readings.value
    app.rest.work()
    assert "no clean one" in app.controls.quality.value and "as at strength 1" in app.controls.strips.value


def test_an_unexpected_error_is_one_line_too(app, monkeypatch):
    def fail(*_arguments):
        raise RuntimeError("out of memory\nsecond line")

    monkeypatch.setattr(audition, "take", fail)
    app.controls.snr_db.value = 9
    assert problem(app) == "That did not work: RuntimeError, out of memory"


def test_an_utterance_that_is_not_there(config):
    app = Audition(config, utterance=9999)
    assert "out-of-bounds" in problem(app)
    app.controls.random.click()
    assert app.controls.player.sound["names"][:2] == ["clean", "noisy"] and problem(app) == ""


def test_nothing_is_printed(config, capfd):
    BlindVote(config, "jt_alpha0.5_seed0", "bn_alpha0.5_seed0", count=1000)
    Audition(config, utterance=9999).rest.stop()
    captured = capfd.readouterr()
    assert captured.out == "" and "Traceback" not in captured.err


def test_without_a_run_it_plays_clean_and_noisy(tiny_profile, tmp_path):
    app = Audition(load_config(tiny_profile, results=str(tmp_path)), "jt_alpha0.5_seed0")
    assert app.controls.player.sound["names"] == ["clean", "noisy"] and problem(app).startswith("No finished run in")


def test_without_a_corpus_it_takes_uploads(tmp_path):
    app = Audition(load_config("fsc", corpus=str(tmp_path / "none"), results=str(tmp_path)))
    assert problem(app)
    for control in (app.controls.random, app.controls.another, app.controls.export):
        control.click()
    assert "There is no sound yet" in problem(app)
    soundfile.write(tmp_path / "a.wav", 0.1 * np.random.default_rng(0).normal(size=8000), 16_000)
    app._receive("file", "a.wav", (tmp_path / "a.wav").read_bytes())
    assert app.controls.player.sound["names"] == ["clean", "noisy"] and problem(app) == ""


def test_export_writes_what_is_heard(app):
    app.controls.export.click()
    folder = re.search("Written to (.*)</span>", app.status.value).group(1)
    stored, _ = soundfile.read(f"{folder}/enhanced_A.wav")
    assert np.allclose(stored, channel(app, "enhanced A"), atol=1e-3)


def test_panels_escape_and_mark():
    found = [Reading("noisy", "<b>", torch.tensor([0.7, 0.3]), ["<i> / none / none", "lamp / on / none"])]
    html = panels.readings(found, "lamp / on / none")
    assert "&lt;b&gt;" in html and "<i> /" not in html and "✗ &lt;i&gt;" in html and "✓ lamp on" in html
    strip = panels.strength_strip("A", np.array([0, 0.5, 1]), torch.eye(2)[[0, 1, 1]], ["x", "y"], "y", now=0.6)
    assert re.findall("jl-(right|wrong)", strip) == ["wrong", "right", "right"] and strip.count("jl-now") == 1


def listen(vote: BlindVote) -> None:
    """As the browser reports that every channel was played."""
    vote.player.heard = {"revision": vote.player.sound["revision"], "names": vote.player.sound["names"]}


@pytest.mark.parametrize("kind", ["preference", "abx"])
def test_a_blind_vote_goes_on_and_ends_with_names(config, kind):
    (config.summary / "votes.csv").unlink(missing_ok=True)
    names = ("jt_alpha0.5_seed0", "bn_alpha0.5_seed0")
    first = BlindVote(config, *names, voter="ann", count=4, kind=kind)
    assert list(first.player.sound["names"]) == ["1", "2", "X"][: 3 if kind == "abx" else 2]
    trials = first.trials
    for trial in range(2):
        listen(first)
        first.buttons[1].click()
        first.buttons[1].click()  # a second click must not vote on the next trial
        assert problem(first).startswith("Listen to 1")
        stored = pd.read_csv(config.summary / "votes.csv")
        assert stored.vote.iloc[-1] == trials["first"][trial] and len(stored) == trial + 1
    again = BlindVote(config, *names, voter="ann", count=4, kind=kind)
    assert "trial 3 of 4" in again.question.value and "jt" not in again.question.value
    other = BlindVote(config, *names, voter=7, count=4, kind=kind)
    assert "trial 1 of 4" in other.question.value
    listen(other)
    other.buttons[1].click()
    assert "trial 2 of 4" in other.question.value
    other.name.value = "ann"
    assert "trial 3 of 4" in other.question.value
    for _ in range(2):
        listen(again)
        again.buttons[2].click()
    stored = pd.read_csv(config.summary / "votes.csv")
    stored = stored[stored.voter == "ann"].reset_index()
    assert (stored.vote[2:] != trials["first"][2:]).all() and len(stored) == 4
    right = (stored.vote == (stored.x if kind == "abx" else "A")).sum()
    assert (
        f"in {right} of 4 trials" in again.result.value
        and "A was JT, α = 0.5, seed 0 · tiny; B was BN" in again.result.value
    )
    assert bytes(again.figure.value).startswith(b"\x89PNG")
    done = BlindVote(config, *names, voter="ann", count=4, kind=kind)
    assert "4 trials" in done.result.value


def test_x_is_the_wave_that_it_names(config):
    vote = BlindVote(config, "jt_alpha0.5_seed0", "bn_alpha0.5_seed0", count=6, kind="abx", voter="x")
    for trial in vote.trials.itertuples():
        sound = vote.sound(vote.trials.iloc[trial.Index])
        waves = np.frombuffer(sound["audio"], np.int16).reshape(3, -1)
        same = 0 if trial.first == trial.x else 1
        assert np.array_equal(waves[2], waves[same]) and not np.array_equal(waves[2], waves[1 - same])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"run_a": "jt_alpha9_seed0"}, "not a finished run"),
        ({"kind": "mushra"}, "unknown kind of vote"),
        ({"count": 1000}, "1000 trials asked for"),
    ],
)
def test_a_vote_that_cannot_be_says_why(config, change, words):
    given = {"run_a": "jt_alpha0.5_seed0", "run_b": "bn_alpha0.5_seed0"} | change
    assert words in problem(BlindVote(config, **given))
