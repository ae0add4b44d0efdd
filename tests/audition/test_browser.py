"""The audition as a researcher meets it: JupyterLab in a real browser, and Voila. Needs Chromium."""

import json
import os
import platform
import re
import secrets
import shutil
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pandas as pd
import papermill
import pytest
import soundfile
import yaml
from papermill.parameterize import parameterize_notebook

from jointlib.config import ROOT
from jointlib.config import load_config
from jointlib.runs.fit import fit

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
playwright = pytest.importorskip("playwright.sync_api", reason="no browser tests: playwright is not installed")
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no browser tests: there is no chromium, apt-get install chromium")
FLAGS = ("no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking", "disable-sync")
FLAGS += ("disable-component-update", "use-fake-device-for-media-stream", "use-fake-ui-for-media-stream")

# Whatever goes to the loudspeaker also goes to window.heard, and every latency from a key to new sound to latencies.
TAP = """
window.heard = []; window.latencies = []; let pressed = 0;
const module = `registerProcessor("test-tap", class extends AudioWorkletProcessor {
  process([input]) { this.port.postMessage(input[0] ? input[0].slice() : new Float32Array(128)); return true; }
});`;
const connect = AudioNode.prototype.connect;
const taps = new Map();
AudioNode.prototype.connect = function (target, ...rest) {
  if (target instanceof AudioDestinationNode && this.context instanceof AudioContext) {
    if (!taps.has(this.context)) {
      window.rate = this.context.sampleRate;
      const url = URL.createObjectURL(new Blob([module], { type: "text/javascript" }));
      taps.set(this.context, this.context.audioWorklet.addModule(url).then(() => {
        const tap = new AudioWorkletNode(this.context, "test-tap", { numberOfOutputs: 0 });
        tap.port.onmessage = ({ data }) => window.heard.push(...data);
        return tap;
      }));
    }
    taps.get(this.context).then((tap) => connect.call(this, tap));
  }
  return connect.call(this, target, ...rest);
};
document.addEventListener("keydown", () => (pressed = performance.now()), true);
document.addEventListener("soundchange", () => window.latencies.push(performance.now() - pressed));
"""


@pytest.fixture(scope="module")
def profile(request, tmp_path_factory) -> str:
    """Three runs of the sizes of quick, trained for one epoch on the corpus of smoke; or what --audition names."""
    if request.config.getoption("--audition"):
        return request.config.getoption("--audition")
    folder = tmp_path_factory.mktemp("runs")
    sizes = ("frontend_layers", "frontend_channels", "stem", "mix_channels")
    quick = load_config("quick")
    values = {name: getattr(quick, name) for name in sizes} | {"tcn_channels": 64, "tcn_hidden": 128, "epochs": 1}
    values |= {"base": "smoke", "init": "scratch", "results": str(folder / "results")}
    file = folder / "audition.yaml"
    file.write_text(yaml.safe_dump({name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}))
    for strategy in ("classifier_clean", "jt", "bn"):
        fit(load_config(file, strategy=strategy))
    return str(file)


@pytest.fixture(scope="module")
def notebooks(profile, tmp_path_factory):
    """The notebook with the profile, and with listeners of its own; once more with a profile that has no runs."""
    folder = tmp_path_factory.mktemp("notebooks")
    notebook = papermill.iorw.load_notebook_node(str(ROOT / "notebooks/06_audition.ipynb"))
    voter, votes = f"test-{secrets.token_hex(4)}", load_config(profile).summary / "votes.csv"
    real = votes.read_bytes() if votes.exists() else None
    empty = {"PROFILE": "smoke", "RESULTS": str(folder / "empty")}
    for name, parameters in {"audition": {"PROFILE": profile}, "empty": empty}.items():
        values = parameters | {"VOTER": voter, "VOTES": 3}
        papermill.iorw.write_ipynb(parameterize_notebook(notebook, values), str(folder / f"{name}.ipynb"))
    yield folder
    votes.unlink(missing_ok=True)  # those of the tests
    if real is not None:
        votes.write_bytes(real)


def _serve(command: list[str], folder: Path, address: str, port: int):
    with (folder / f"{port}.log").open("w") as log:
        server = subprocess.Popen([sys.executable, "-m", *command], cwd=folder, stdout=log, stderr=log)
    try:
        for _ in range(120):
            assert server.poll() is None, (folder / f"{port}.log").read_text()[-3000:]
            try:
                urllib.request.urlopen(f"http://localhost:{port}{address}", timeout=5).close()
                break
            except OSError:
                time.sleep(0.5)
        yield
    finally:
        server.terminate()
        server.wait(timeout=20)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("localhost", 0))
        return found.getsockname()[1]


@pytest.fixture(scope="module")
def lab(notebooks):
    """Address of a JupyterLab with a token, and that token."""
    port, token = _free_port(), secrets.token_hex(16)
    settings = notebooks / "settings"
    settings.mkdir()
    quiet = {"@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False}}
    (settings / "overrides.json").write_text(json.dumps(quiet))
    command = ["jupyter", "lab", "--no-browser", "--allow-root", f"--port={port}", f"--IdentityProvider.token={token}"]
    command += [f"--LabApp.app_settings_dir={settings}"]
    for _ in _serve(command, notebooks, f"/api?token={token}", port):
        yield f"http://localhost:{port}", token


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        yield driver.chromium.launch(executable_path=CHROMIUM, args=[f"--{flag}" for flag in FLAGS])


def _open(browser, lab, name: str):
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.problems = []
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.add_init_script(TAP)
    address, token = lab
    page.goto(f"{address}/lab/tree/{name}.ipynb?token={token}&reset")
    page.wait_for_selector('.jp-Notebook-ExecutionIndicator[data-status="idle"]', timeout=90_000)
    return page


def _run_all(page) -> None:
    page.click("text=Edit >> nth=0")
    page.click("text=Clear Outputs of All Cells")
    page.click("text=Run >> nth=0")
    page.click("text=Restart Kernel and Run All Cells")
    page.click('.jp-Dialog button:has-text("Restart")')
    page.wait_for_selector("text=What to try next >> visible=true", timeout=90_000)


@pytest.fixture(scope="module")
def page(browser, lab):
    """The notebook in JupyterLab, all cells run."""
    page = _open(browser, lab, "audition")
    _run_all(page)
    page.wait_for_selector(".jl-player[data-revision]", timeout=90_000)
    yield page
    assert _problems(page) == []


def _problems(page) -> list[str]:
    """What went wrong in the page, but for the words in which JupyterLab itself greets a restarted kernel."""
    return [problem for problem in page.problems if "Canceled future" not in problem]


def _player(page):
    return page.locator(".jl-player").first


def _state(page, name: str) -> str:
    return _player(page).get_attribute(f"data-{name}")


def _slide(page, label: str, key: str) -> None:
    """One step of a slider, as a key makes it, and wait for the new sound."""
    before = _state(page, "revision")
    handle = page.locator(f'.widget-slider:has-text("{label}") .noUi-handle').first
    handle.focus()
    page.keyboard.press(key)
    page.wait_for_function(f"document.querySelector('.jl-player').dataset.revision !== '{before}'", timeout=20_000)


def _status(page) -> str:
    return page.locator(".jl-status").first.inner_text().strip()


def _wait_for_status(page, words: str) -> None:
    page.wait_for_function(
        "words => document.querySelector('.jl-status').innerText.includes(words)", arg=words, timeout=30_000
    )


def _upload(page, path: Path, seconds: str = "") -> None:
    page.set_input_files(".jl-sound-input input[type=file]", path)
    if seconds:
        words = "words => document.querySelector('.jl-clock').innerText.includes(words)"
        page.wait_for_function(words, arg=f"/ {seconds} s", timeout=60_000)


def _key(page, key: str) -> None:
    _player(page).focus()
    page.keyboard.press(key)


def _play(page) -> None:
    if _state(page, "playing") == "false":
        _key(page, " ")
    page.wait_for_function("document.querySelector('.jl-player').dataset.playing === 'true'")


def _stop(page) -> None:
    if _state(page, "playing") == "true":
        _key(page, " ")


@pytest.fixture
def tone(tmp_path) -> Path:
    """Two seconds of 250 Hz, stereo, 44.1 kHz: whole periods, so that a loop has no seam."""
    file = tmp_path / "tone.wav"
    wave = 0.3 * np.sin(2 * np.pi * 250 * np.arange(2 * 44_100) / 44_100)
    soundfile.write(file, np.stack([wave, wave], axis=1), 44_100)
    return file


@pytest.fixture
def speech(tmp_path, profile) -> Path:
    """Test utterances one after the other, 3 s."""
    from jointlib.corpora.corpus import Corpus

    config = load_config(profile)
    audio = Corpus.read(ROOT / config.corpus, ROOT / "data/cache").audio
    wave = np.concatenate([audio.wave(row).numpy() for row in range(len(audio.lengths))[-8:]])[:48_000]
    soundfile.write(tmp_path / "speech.flac", wave, 16_000)
    return tmp_path / "speech.flac"


def test_channels_switch_while_it_plays(page):
    _play(page)
    for key, name in zip("12345", ("clean", "noisy", "enhanced A", "enhanced B", "residual"), strict=True):
        before = page.evaluate("window.heard.length")
        _key(page, key)
        page.wait_for_function("from => window.heard.length > from + 8000", arg=before)
        assert _state(page, "channel") == name and _state(page, "playing") == "true"
        assert np.sqrt(np.mean(np.square(page.evaluate("from => window.heard.slice(from + 4000)", before)))) > 1e-4
    assert not page.locator(".jp-RenderedHTMLCommon h5").count(), "digits must not turn cells into headings"
    _stop(page)
    assert _state(page, "playing") == "false"
    page.locator(".jl-options input").first.focus()  # a control that the keyboard chose keeps its keys
    page.keyboard.press("Tab")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press(" ")
    assert not page.locator(".jl-options input").first.is_checked() and _state(page, "playing") == "false"
    page.keyboard.press(" ")
    assert page.locator(".jl-options input").first.is_checked()


def test_switching_has_no_gap_and_no_click(page, tone):
    page.select_option('.widget-dropdown:has-text("Type") select', "none")
    _upload(page, tone, "2.00")
    _key(page, "1")
    _play(page)
    time.sleep(0.5)
    start, position = page.evaluate("window.heard.length"), float(_state(page, "position"))
    for key in "2121212":  # without noise the two are the same wave, so that a change can only come from the switch
        _key(page, key)
        time.sleep(0.15)
    for key in ("ArrowRight", "ArrowLeft", "ArrowRight"):  # and so is what a slider makes of it
        _slide(page, "SNR", key)
    moved = float(_state(page, "position")) - position
    played = (page.evaluate("window.heard.length") - start) / page.evaluate("window.rate")
    assert abs((moved - played + 1) % 2 - 1) < 0.2, "it must go on where it was"
    time.sleep(0.3)
    wave = np.array(page.evaluate("from => window.heard.slice(from)", start))
    _stop(page)
    rate = page.evaluate("window.rate")
    window = rate // 50  # 20 ms, five periods
    level = np.sqrt(np.square(wave[: len(wave) // window * window].reshape(-1, window)).mean(axis=1))
    assert level.min() > 0.95 * level.max()
    steepest = 2 * np.pi * 250 / rate * np.abs(wave).max()
    assert np.abs(np.diff(wave)).max() < 1.1 * steepest


def test_a_slider_changes_the_sound_in_time_while_it_plays(page, speech, request, capsys):
    page.select_option('.widget-dropdown:has-text("Type") select', index=1)
    _upload(page, speech, "3.00")
    _play(page)
    measured, moves = {}, 20 if request.config.getoption("--record") else 8
    for label in ("SNR", "Strength"):
        for pace, pause in (("one by one", 0.8), ("in a row", 0.0)):
            page.evaluate("window.latencies.length = 0")
            for step in range(moves):
                began, position = time.monotonic(), float(_state(page, "position"))
                _slide(page, label, "ArrowLeft" if step % 2 == 0 else "ArrowRight")
                passed = (float(_state(page, "position")) - position) % 3
                assert passed < time.monotonic() - began + 0.3, "it must play on where it was"
                assert _state(page, "playing") == "true"
                time.sleep(pause)
            latencies = page.evaluate("window.latencies")
            measured[f"{label}, {pace}"] = {
                "median_ms": round(statistics.median(latencies)),
                "longest_ms": round(max(latencies)),
                "moves": len(latencies),
            }
    _stop(page)
    record = {"clip_seconds": 3.0, "profile": load_config(request.getfixturevalue("profile")).profile}
    record |= {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Chromium {page.context.browser.version}",
        "from_key_to_new_sound": measured,
    }
    with capsys.disabled():
        print(f"\nfrom slider to sound: {json.dumps(record)}")
    if request.config.getoption("--record"):
        (request.config.getoption("--record") / "audition.json").write_text(json.dumps(record, indent=2) + "\n")
    assert all(entry["moves"] == moves for entry in measured.values())


def test_readings_and_quality_follow(page):
    page.wait_for_function("document.querySelectorAll('.jl-cells').length === 2", timeout=20_000)
    assert page.locator(".jl-reading").count() == 5  # clean, noisy, enhanced A, B's bottleneck, enhanced B
    page.wait_for_function("document.querySelectorAll('.jl-table td').length === 9", timeout=20_000)
    assert page.locator(".jl-cells i").count() == 42


def test_bad_sounds_get_a_line_of_plain_words(page, tmp_path):
    (tmp_path / "notes.txt").write_text("not a sound\n" * 100)
    soundfile.write(tmp_path / "silence.wav", np.zeros(16_000), 16_000)
    soundfile.write(tmp_path / "long.flac", 0.1 * np.random.default_rng(0).normal(size=600 * 8000), 8000)
    soundfile.write(tmp_path / "tiny.wav", np.ones(100), 16_000)
    (tmp_path / "huge.wav").write_bytes(bytes(80_000_000))
    revision = _state(page, "revision")
    for name, words in {
        "notes.txt": "cannot be read as audio",
        "silence.wav": "is silent",
        "long.flac": "lasts 600.00 s",
        "tiny.wav": "lasts 0.01 s",
        "huge.wav": "has 80 MB",
    }.items():
        _upload(page, tmp_path / name)
        _wait_for_status(page, f"{name} {words}")
    assert _state(page, "revision") == revision
    _slide(page, "SNR", "ArrowRight")  # alive
    assert _status(page) == ""


def test_a_long_upload_travels_in_parts(page, tmp_path):
    rng = np.random.default_rng(0)
    soundfile.write(tmp_path / "wide.wav", 0.1 * rng.normal(size=(20 * 96_000, 2)), 96_000, subtype="PCM_24")
    assert (tmp_path / "wide.wav").stat().st_size > 10_485_760  # more than a server takes at once
    _upload(page, tmp_path / "wide.wav", "20.00")


def test_the_microphone(page):
    page.click(".jl-sound-input button:has-text('Record')")
    page.wait_for_selector(".jl-sound-input button:has-text('Stop')")
    time.sleep(2)
    page.click(".jl-sound-input button:has-text('Stop')")
    page.wait_for_function("/\\/ [12]\\.\\d\\d s/.test(document.querySelector('.jl-clock').innerText)", timeout=20_000)
    assert _status(page) == ""
    page.evaluate(
        "() => { navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('', 'NotFoundError') } }"
    )
    page.click(".jl-sound-input button:has-text('Record')")
    _wait_for_status(page, "there is no microphone")


def test_export(page):
    page.click("button:has-text('Export')")
    _wait_for_status(page, "Written to ")
    folder = Path(_status(page).removeprefix("Written to "))
    assert {"clean.wav", "enhanced_A.wav", "residual.wav", "about.json", "spectrograms.png"} <= {
        file.name for file in folder.iterdir()
    }
    shutil.rmtree(folder)


def _listen(page) -> None:
    player = page.locator(".jl-vote .jl-player")
    player.focus()
    if player.get_attribute("data-playing") == "false":
        page.keyboard.press(" ")
    for key in "12":
        page.keyboard.press(key)
        time.sleep(0.3)


def test_votes_outlive_the_kernel(page, profile):
    question = page.locator(".jl-vote .jl-question")
    page.evaluate("document.querySelector('.jl-vote').scrollIntoView()")
    assert "trial 1 of 3" in question.inner_text()
    text = page.locator(".jl-vote").inner_text().lower()
    assert not re.search(r"\b(jt|bn|alpha)", text), "a blind vote names nobody"
    page.click("button:has-text('1 is better')")
    page.wait_for_selector(".jl-vote .jl-status:has-text('Listen to 1 and 2 first')")
    page.keyboard.press(" ")  # what the mouse chose must not take the space: it plays, and casts no vote
    page.keyboard.press(" ")
    _listen(page)
    assert "trial 1 of 3" in question.inner_text()
    page.dblclick("button:has-text('1 is better')")  # the second click must not vote on the next trial
    page.wait_for_selector("text=trial 2 of 3")
    _run_all(page)
    page.wait_for_selector("text=trial 2 of 3", timeout=60_000)
    _listen(page)
    page.click("button:has-text('2 is better')")
    page.wait_for_selector("text=trial 3 of 3")
    _listen(page)
    page.click("button:has-text('2 is better')")
    page.wait_for_selector(".jl-vote .jl-question:has-text('95 % interval')")
    assert "A was JT, α = 0.5, seed 0" in question.inner_text() and "B was BN, α = 0.5" in question.inner_text()
    assert page.locator(".jl-vote .jl-options:has-text('loudness')").count() == 0
    votes = pd.read_csv(load_config(profile).summary / "votes.csv")
    assert len(votes[votes.voter == votes.voter.iloc[-1]]) == 3


def test_both_themes_at_1280_pixels(page, request):
    page.wait_for_selector(".jl-player[data-revision]", timeout=90_000)
    page.set_viewport_size({"width": 1280, "height": 1700})
    colours = []
    for theme in ("Light", "Dark"):
        page.click("text=Settings >> nth=0")
        page.hover(".lm-Menu >> text=Theme")
        page.click(f"text=JupyterLab {theme}")
        page.wait_for_function(f"document.body.dataset.jpThemeLight === '{str(theme == 'Light').lower()}'")
        page.evaluate("document.querySelector('.jl-application').scrollIntoView()")
        page.wait_for_selector(".jl-cells")
        page.wait_for_selector(".jl-table td")
        time.sleep(1)
        colours.append(page.evaluate("getComputedStyle(document.querySelector('.jl-application')).color"))
        if request.config.getoption("--record"):
            shown = page.locator(".jl-application").first
            shown.screenshot(path=request.config.getoption("--record") / f"audition_{theme.lower()}.png")
    assert colours[0] != colours[1]
    cards = "[...document.querySelectorAll('.jl-application, .jl-card')]"
    assert page.evaluate(f"{cards}.filter(card => card.scrollWidth > card.clientWidth + 1).length") == 0


def test_without_a_finished_run(browser, lab):
    page = _open(browser, lab, "empty")
    _run_all(page)
    page.wait_for_selector(".jl-player[data-revision]", timeout=90_000)
    assert "No finished run" in _status(page)
    assert page.locator(".jp-RenderedText[data-mime-type='application/vnd.jupyter.stderr']").count() == 0
    _slide(page, "SNR", "ArrowRight")
    assert _problems(page) == []
    page.close()


def test_voila(browser, notebooks):
    port = _free_port()
    for _ in _serve(
        ["voila", "audition.ipynb", "--no-browser", f"--port={port}"], notebooks, "/voila/static/favicon.ico", port
    ):
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.add_init_script(TAP)
        page.goto(f"http://localhost:{port}/", timeout=90_000)
        page.wait_for_selector(".jl-player[data-revision]", timeout=90_000)
        _play(page)
        _slide(page, "SNR", "ArrowRight")
        assert _state(page, "playing") == "true"
        page.close()
