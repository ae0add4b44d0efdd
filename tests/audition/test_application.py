"""What follows from the audition's controls, without a browser."""

import asyncio
import re
import shutil

import numpy as np
import pytest
import soundfile

from jointlib import OUTSIDE
from jointlib.audition.application import Audition
from jointlib.audition.widgets import html, short
from jointlib.config import load_config
from jointlib.corpora.contaminate import LEVEL_DB
from jointlib.runs.run import loudest


@pytest.fixture
def config(tiny_profile, tiny_runs):
    return load_config(tiny_profile)


@pytest.fixture
def app(config):
    return Audition(config, "jt_alpha0.5_seed0", "bn_alpha0.5_seed0", 0, others={"Half": lambda wave: wave / 2})


@pytest.fixture
def recording(tmp_path) -> bytes:
    soundfile.write(tmp_path / "a.wav", 0.1 * np.random.default_rng(0).normal(size=8000), 16_000)
    return (tmp_path / "a.wav").read_bytes()


def channel(app: Audition, name: str) -> np.ndarray:
    sound = app.player.sound
    samples = np.frombuffer(sound["audio"], np.int16).reshape(len(sound["names"]), -1)
    return samples[sound["names"].index(name)] * sound["peak"] / 32767


def send(app: Audition, content: bytes, name: str = "The recording") -> None:
    """As if the browser had sent a sound."""
    app.receive(app.sound_input, {"name": name}, [memoryview(content)])


def test_it_opens_with_a_planned_utterance(app):
    plan = app.data.plan("test").iloc[0]
    assert app.player.sound["names"] == ["clean", "noisy", "enhanced A", "enhanced B", "residual"]
    assert (app.utterance.value, app.noise.value, app.snr_db.value) == (plan.utterance, plan.noise_type, plan.snr_db)
    assert np.allclose(channel(app, "noisy"), app.data.example(0)[1], atol=1e-4)
    assert short(app.truth.value) in app.classifications.value and app.truth.disabled
    titles = [label for label, _ in app.runs["A"].options]
    assert titles[-1] == "Half"
    own = [label for label in titles if label.endswith("tiny")]  # the others are shipped
    assert own == [f"{run}, seed 0 · tiny" for run in ("BN, α = 0.5", "Classifier, clean-trained", "JT, α = 0.5")]
    assert app.runs["A"].label.startswith("JT") and app.listener.label.startswith("Classifier")
    assert app.status.value.strip() == ""


def test_each_control_changes_what_it_should(app):
    app.snr_db.value = 5
    before = channel(app, "noisy")
    for _ in range(5):
        app.another.click()
    assert not np.allclose(channel(app, "noisy"), before, atol=1e-3)
    before = {name: channel(app, name) for name in app.player.sound["names"]}
    app.snr_db.value = 20
    after = {name: channel(app, name) for name in before}
    assert np.allclose(after["clean"], before["clean"], atol=1e-4)
    assert np.abs(after["noisy"] - after["clean"]).max() < 0.3 * np.abs(before["noisy"] - before["clean"]).max()
    app.strength.value = 0
    assert np.allclose(channel(app, "enhanced A"), channel(app, "noisy"), atol=1e-4)
    assert np.abs(channel(app, "residual")).max() < 1e-4
    app.noise.value = ""
    assert np.allclose(channel(app, "noisy"), channel(app, "clean"), atol=1e-4)
    app.runs["B"].value, app.player.residual_of = "", "B"
    assert app.player.sound["names"] == ["clean", "noisy", "enhanced A", "residual"]
    assert app.player.captions["residual"] == "residual of A"  # there is no B
    app.runs["A"].value = ""
    assert app.player.sound["names"] == ["clean", "noisy"] and app.status.value.strip() == ""


def test_an_utterance_is_drawn_after_a_recording(app, recording):
    send(app, recording)
    assert app.utterance.value is None and "0.50 s: The recording" in app.sound.value
    app.random.click()
    row = app.data.corpus.manifest.loc[app.utterance.value]
    assert row.split == "test" and app.truth.value == row.intent and row.path.rpartition("/")[2] in app.sound.value


def test_strips_and_quality_are_measured(app):
    asyncio.run(app.measure())
    assert app.quality.value.count("<tr>") == 4 and "SI-SDR" in app.quality.value
    assert app.strips.value.count("<i ") == 42  # 21 strengths of two runs
    app.strength.value = 0.5
    assert app.strips.value.count("jl-now") == 2 and "jl-now" in app.strips.value.split("<i ")[11]
    app.snr_db.value = 1
    assert app.strips.value.strip() == ""  # they were those of another sound


def test_only_the_last_change_is_measured(config):
    async def change_twice() -> tuple[Audition, list[str]]:
        app, shown = Audition(config, "jt_alpha0.5_seed0"), []
        app.quality.observe(lambda change: shown.append(change.new), "value")
        app.snr_db.value = 20
        while not shown:
            await asyncio.sleep(0.05)
        return app, shown

    app, shown = asyncio.run(asyncio.wait_for(change_twice(), 60))
    asyncio.run(app.measure())  # at the present settings: the same once more
    assert shown == [app.quality.value]


def test_a_recording_has_the_true_intent_that_is_chosen(app, recording):
    words = r"true intent: bring / shoes / none,\s+rank [123] of 3, 0\.\d\d"
    app.noise.value = ""
    send(app, recording)
    assert "not known" in app.classifications.value and "jl-right" not in app.classifications.value
    asyncio.run(app.measure())
    assert "no clean reference" in app.quality.value and "as at strength 1" in app.strips.value
    assert app.strength.value == OUTSIDE
    clip = app.clean[loudest(app.clean, app.config.clip_samples)]
    assert 20 * clip.square().mean().sqrt().log10() == pytest.approx(LEVEL_DB, abs=0.1)
    revision = app.player.sound["revision"]
    app.truth.value = "bring / shoes / none"
    assert len(re.findall(words, app.classifications.value)) == 5  # clean, noisy, A, B and its bottleneck
    assert "■ correct" in app.strips.value and app.player.sound["revision"] == revision
    app.utterance.index = 0
    assert app.truth.disabled and app.strength.value == 1
    send(app, recording)
    assert app.truth.value == "" and not app.truth.disabled


def test_errors_leave_the_sound_and_unexpected_ones_show_their_traceback(app):
    revision = app.player.sound["revision"]
    send(app, b"text", "a.wav")
    assert "a.wav cannot be read as audio" in app.status.value and "Traceback" not in app.status.value
    app.runs["B"].options = [("broken", 1.5)]  # not a path
    assert "TypeError" in app.status.value and "<summary>traceback</summary><pre>Traceback" in app.status.value
    assert app.player.sound["revision"] == revision
    app.runs["B"].options = [("none", "")]
    assert app.status.value.strip() == "" and app.player.sound["revision"] == revision + 1


def test_an_utterance_that_is_not_there_is_refused(config):
    with pytest.raises(IndexError):
        Audition(config, utterance=9999)


def test_runs_that_cannot_be_used_are_named(config, tiny_runs, tmp_path):
    shutil.copytree(tiny_runs["jt"], tmp_path / "old/runs/jt")
    (tmp_path / "old/runs/jt/config.json").write_text('{"strategy": "jt"}')
    app = Audition(config.replace(results=str(tmp_path)), "jt_alpha0.5_seed0")
    assert "old/runs/jt/config.json" in app.status.value  # made by another version
    assert "runs/jt_alpha0.5_seed0 is not a finished run" in app.status.value
    assert app.player.sound["names"] == ["clean", "noisy"]
    shutil.copytree(config.folder, tmp_path / "tiny")
    (damaged := tmp_path / "tiny/runs/jt_alpha0.5_seed0/weights.safetensors").write_bytes(b"{")
    app = Audition(config.replace(results=str(tmp_path)), "jt_alpha0.5_seed0", "bn_alpha0.5_seed0")
    assert str(damaged) in app.status.value
    app.runs["A"].value = ""
    assert app.player.sound["names"] == ["clean", "noisy", "enhanced B", "residual"]


def test_another_enhancer_is_classified_by_the_listener(app):
    app.runs["B"].label = "Half"
    assert app.player.captions["enhanced B"] == "B: Half" and app.enhanced["B"].gain == pytest.approx(2, rel=1e-5)
    assert np.allclose(channel(app, "enhanced B"), channel(app, "noisy"), atol=1e-4)
    assert app.found[-1][:2] == ("enhanced B", "listener")


def test_panels_escape_and_mark():
    intents = {"<i> / none / none": 0.7, "lamp / on / none": 0.3}
    panel = html.classifications([("noisy", "<b>", intents)], "lamp / on / none")
    assert "&lt;b&gt;" in panel and "<i> /" not in panel and "✗ &lt;i&gt;" in panel and "✓ lamp on" in panel
    assert re.search(r"true intent: lamp / on / none,\s+rank 2 of 2, 0.30", panel)
    assert "not among the 2 intents" in html.classifications([("noisy", "listener", intents)], "shoes")
    strip = html.strengths({"A": [("x", 0.5), ("y", 0.5), ("y", 0.5)]}, "y", 0.6)
    assert re.findall("jl-(right|wrong)", strip) == ["wrong", "right", "right"] and strip.count("jl-now") == 1
    table = html.quality({"noisy": {"pesq_wb": 1.25, "stoi": np.nan, "si_sdr": 3.0, "failed": "stoi: <short>"}})
    assert "1.25" in table and ">–</td>" in table and "stoi: &lt;short&gt;" in table
