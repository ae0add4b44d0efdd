"""What follows from the audition's controls, without a browser."""

import asyncio
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from jointlib.audition.application import Audition
from jointlib.audition.widgets import html, ordinal, short
from jointlib.config import load_config


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
    sound = app.controls.player.sound
    samples = np.frombuffer(sound["audio"], np.int16).reshape(len(sound["names"]), -1)
    return samples[sound["names"].index(name)] * sound["peak"] / 32767


def problem(app: Audition) -> str:
    return "".join(re.findall(r'jl-problem" role="status">(.*)</span>', app.status.value))


def test_it_opens_with_a_planned_utterance(app):
    controls, plan = app.controls, app.data.plan("test").iloc[0]
    assert controls.player.sound["names"] == ["clean", "noisy", "enhanced A", "enhanced B", "residual"]
    assert controls.noise.value == plan.noise_type and controls.utterance.value == plan.utterance
    assert controls.snr_db.value == plan.snr_db
    assert app.excerpt == {"noise": plan.noise, "noise_file": plan.noise_file, "offset": plan.offset}
    assert (
        controls.utterance.label in controls.sound.value
        and short(controls.truth.value) in controls.classifications.value
    )
    titles = [label for label, _ in controls.runs["A"].options]
    assert titles[-1] == "Half"
    assert titles[1:-1] == [f"{run}, seed 0 · tiny" for run in ("BN, α = 0.5", "Classifier, clean", "JT, α = 0.5")]
    assert controls.runs["A"].label.startswith("JT") and controls.listener.label.startswith("Classifier")
    assert problem(app) == ""


def test_each_control_changes_what_it_should(app):
    controls = app.controls
    controls.snr_db.value = 5
    before = channel(app, "noisy")
    for _ in range(5):
        controls.another.click()
    assert not np.allclose(channel(app, "noisy"), before, atol=1e-3)
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
    controls.runs["B"].value, controls.player.residual_of = "", "B"
    assert controls.player.sound["names"] == ["clean", "noisy", "enhanced A", "residual"]
    assert controls.player.captions["residual"] == "residual of A"  # there is no B
    controls.runs["A"].value = ""
    assert controls.player.sound["names"] == ["clean", "noisy"] and problem(app) == ""


def test_utterances_by_intent_and_speaker(app, recording):
    controls, manifest = app.controls, app.data.corpus.manifest
    controls.intent.value, controls.speaker.value = "bring / shoes / none", "eve"
    rows = manifest.loc[[row for _, row in controls.utterance.options]]
    assert set(rows.intent) == {"bring / shoes / none"} and set(rows.speaker) == {"eve"} and set(rows.split) == {"test"}
    assert controls.truth.value == "bring / shoes / none" and controls.truth.disabled and app.name == rows.path.iloc[0]
    controls.random.click()
    assert app.name in set(rows.path)
    controls.utterance.options = [("the only one", rows.index[0])]
    app.receive("The recording", recording)
    assert controls.utterance.value is None and "0.50 s: The recording" in controls.sound.value
    controls.random.click()
    assert app.name == rows.path.iloc[0]


def test_filters_keep_the_utterance_and_never_offer_nothing(app):
    controls, manifest = app.controls, app.data.corpus.manifest
    controls.speaker.value = "eve"
    chosen = controls.utterance.value = controls.utterance.options[3][1]
    revision = controls.player.sound["revision"]
    controls.speaker.value = ""
    assert controls.utterance.value == chosen and controls.player.sound["revision"] == revision
    app.data.corpus.manifest = manifest[~((manifest.speaker == "dan") & manifest.intent.str.startswith("bring"))]
    controls.intent.value, controls.speaker.value = "bring / shoes / none", "dan"
    assert problem(app).startswith("dan and bring shoes do not go together") and controls.intent.value == ""
    assert all("dan" in label for label, _ in controls.utterance.options)


def test_strips_and_quality_are_measured(app):
    controls = app.controls
    asyncio.run(app.measure())
    assert controls.quality.value.count("<tr>") == 4 and "SI-SDR" in controls.quality.value
    assert controls.strips.value.count("<i ") == 42  # 21 strengths of two runs
    controls.strength.value = 0.5
    assert controls.strips.value.count("jl-now") == 2 and "jl-now" in controls.strips.value.split("<i ")[11]
    controls.snr_db.value = 1
    assert controls.strips.value.strip() == ""  # they were of another sound


def test_only_the_last_change_is_measured(config):
    async def change_twice() -> tuple[Audition, list[str]]:
        app, shown = Audition(config, "jt_alpha0.5_seed0", snr_db=0), []
        app.controls.quality.observe(lambda change: shown.append(change.new), "value")
        app.controls.snr_db.value = 20
        while not shown:
            await asyncio.sleep(0.05)
        return app, shown

    app, shown = asyncio.run(asyncio.wait_for(change_twice(), 60))
    asyncio.run(app.measure())  # of what is set now: the same once more
    assert shown == [app.controls.quality.value] and problem(app) == ""


def test_a_recording_has_the_true_intent_that_it_is_given(app, recording):
    controls, words = app.controls, r"true intent: bring / shoes / none,\s+(1st|2nd|3rd) of 3, 0\.\d\d"
    controls.noise.value = ""
    app.receive("The recording", recording)
    assert "not known" in controls.classifications.value and "jl-right" not in controls.classifications.value
    asyncio.run(app.measure())
    assert "no clean one" in controls.quality.value and "as at strength 1" in controls.strips.value
    revision = controls.player.sound["revision"]
    controls.truth.value = "bring / shoes / none"
    assert len(re.findall(words, controls.classifications.value)) == 5  # readings
    assert "understood rightly" in controls.strips.value and controls.player.sound["revision"] == revision
    asyncio.run(app.measure())
    assert "no clean one" in controls.quality.value
    controls.utterance.index = 0
    assert controls.truth.disabled and re.search(
        words.replace("bring / shoes", ".* / .*"), controls.classifications.value
    )
    app.receive("The recording", recording)
    assert controls.truth.value == "" and not controls.truth.disabled


def test_an_error_is_one_line_and_leaves_the_sound(app, caplog):
    revision = app.controls.player.sound["revision"]
    app.receive("a.wav", b"text")
    assert problem(app).startswith("a.wav cannot be read as audio") and caplog.text == ""
    app.controls.runs["B"].options = [("broken", 1.5)]  # no path, which nobody foresaw
    assert problem(app).startswith("That did not work: TypeError, ") and "Traceback" in caplog.text
    assert app.controls.player.sound["revision"] == revision
    app.controls.runs["B"].options = [("none", "")]
    assert problem(app) == "" and app.controls.player.sound["revision"] == revision + 1


@pytest.mark.parametrize("utterance", [-1, 9999])
def test_an_utterance_that_is_not_there(config, utterance, capfd):
    app = Audition(config, utterance=utterance)
    assert problem(app) == f"There is no utterance {utterance}: the test split has 0 to 11."
    app.controls.strength.value = 0.5
    app.controls.random.click()
    assert app.controls.player.sound["names"][:2] == ["clean", "noisy"] and problem(app) == ""
    assert "Traceback" not in "".join(capfd.readouterr())


def test_without_runs_and_without_a_corpus_it_takes_uploads(tiny_profile, tmp_path, recording):
    app = Audition(load_config(tiny_profile, results=str(tmp_path)), "jt_alpha0.5_seed0")
    assert app.controls.player.sound["names"] == ["clean", "noisy"] and problem(app).startswith("No finished run in")
    app = Audition(load_config("fsc", corpus=str(tmp_path / "none"), results=str(tmp_path)))
    for control in (app.controls.random, app.controls.another, app.controls.export):
        control.click()
    assert "There is no sound yet" in problem(app)
    app.receive("a.wav", recording)
    assert app.controls.player.sound["names"] == ["clean", "noisy"] and problem(app) == ""


def test_a_run_of_another_version_is_left_out_and_told(config, tiny_runs, tmp_path):
    results = tmp_path / "results"
    shutil.copytree(config.folder, results / "tiny")
    shutil.copytree(tiny_runs["jt"], results / "old/runs/jt")
    (results / "old/runs/jt/config.json").write_text('{"strategy": "jt"}')
    opened = [
        Audition(config.replace(results=str(results)), "jt_alpha0.5_seed0", "bn_alpha0.5_seed0", place)
        for place in (0, 999)
    ]
    assert problem(opened[0]).startswith("1 run(s) left out; ") and "old/runs/jt/config.json" in problem(opened[0])
    assert opened[0].controls.player.sound["names"][:2] == ["clean", "noisy"]
    assert problem(opened[1]).startswith("There is no utterance 999")


def test_another_enhancer_is_heard_and_read_by_the_listener(app):
    controls = app.controls
    controls.runs["B"].label = "Half"
    assert controls.player.captions["enhanced B"] == "B: Half" and app.enhanced["B"].gain == pytest.approx(2, rel=1e-5)
    assert np.allclose(channel(app, "enhanced B"), channel(app, "noisy"), atol=1e-4)
    assert [(name, by[:8]) for name, by, _ in app.found][-1] == ("enhanced B", "listener")
    controls.export.click()
    folder = Path(re.search("Written to (.*)</span>", app.status.value).group(1))
    assert json.loads((folder / "about.json").read_text())["runs"]["B"] == "Half"


def test_it_opens_on_what_b_understands_and_a_does_not(config, monkeypatch):
    monkeypatch.setattr("jointlib.audition.sounds.telling_row", lambda plan, *folders: len(plan) - 1)
    app = Audition(config, "jt_alpha0.5_seed0", "bn_alpha0.5_seed0")
    planned = app.data.plan("test").iloc[-1]
    assert (app.controls.utterance.value, app.controls.snr_db.value) == (planned.utterance, planned.snr_db)


def test_export_writes_what_is_played(app):
    app.controls.export.click()
    folder = re.search("Written to (.*)</span>", app.status.value).group(1)
    stored, _ = soundfile.read(f"{folder}/enhanced_A.wav")
    assert np.allclose(stored, channel(app, "enhanced A"), atol=1e-3)


def test_panels_escape_and_mark():
    intents = [("<i> / none / none", 0.7), ("lamp / on / none", 0.3)]
    panel = html.classifications([("noisy", "<b>", intents)], "lamp / on / none")
    assert "&lt;b&gt;" in panel and "<i> /" not in panel and "✗ &lt;i&gt;" in panel and "✓ lamp on" in panel
    assert re.search(r"true intent: lamp / on / none,\s+2nd of 2, 0.30", panel)
    unknown = html.classifications([("noisy", "listener", intents)], "shoes")
    assert re.search(r"true intent: shoes,\s+not among the 2 that are known here", unknown)
    ranks = [ordinal(rank) for rank in (1, 2, 3, 4, 11, 12, 13, 21, 112)]
    assert ranks == ["1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "112th"]
    strip = html.strengths({"A": [(0.0, "x", 0.5), (0.5, "y", 0.5), (1.0, "y", 0.5)]}, "y", 0.6)
    assert re.findall("jl-(right|wrong)", strip) == ["wrong", "right", "right"] and strip.count("jl-now") == 1
    table = html.quality({"noisy": {"pesq_wb": 1.25, "stoi": np.nan, "si_sdr": 3.0, "failed": "stoi: <short>"}})
    assert "1.25" in table and ">–</td>" in table and "stoi: &lt;short&gt;" in table
