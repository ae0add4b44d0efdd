"""The audition as a researcher meets it: JupyterLab in a real browser, and Voila. Needs Chromium."""

import json
import os
import platform
import re
import secrets
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import papermill
import pytest
import soundfile
import yaml

from jointlib.audition.application import Audition
from jointlib.audition.votes import read_votes
from jointlib.config import ROOT, load_config
from jointlib.runs.fit import fit

pytestmark = pytest.mark.browser

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
    """Three hardly trained runs on the corpus of smoke; or what --audition names."""
    if request.config.getoption("--audition"):
        return request.config.getoption("--audition")
    folder = tmp_path_factory.mktemp("runs")
    values = {"base": "smoke", "init": "scratch", "steps": 8, "results": str(folder / "results")}
    (folder / "audition.yaml").write_text(yaml.safe_dump(values))
    for strategy in ("classifier_clean", "jt", "protected"):
        fit(load_config(folder / "audition.yaml", strategy=strategy))
    return str(folder / "audition.yaml")


@pytest.fixture(scope="module")
def folder(profile, tmp_path_factory):
    """Where JupyterLab and Voila run: the notebook with the profile, and with a voter of its own."""
    folder = tmp_path_factory.mktemp("notebooks")
    values = {"PROFILE": profile, "VOTER": f"test-{secrets.token_hex(4)}", "VOTES": 3}
    source, target = str(ROOT / "notebooks/06_audition.ipynb"), str(folder / "audition.ipynb")
    papermill.execute_notebook(source, target, values, prepare_only=True)
    yield folder
    votes = read_votes(file := load_config(profile).summary / "votes.csv")
    votes[votes.voter != values["VOTER"]].to_csv(file, index=False)


@contextmanager
def _served(command: list[str], folder: Path, address: str):
    """The address of a server on a free port, ready when `address` is there."""
    with socket.socket() as found:
        found.bind(("localhost", 0))
        port = found.getsockname()[1]
    command = [sys.executable, "-m", *command, "--no-browser", f"--port={port}"]
    server = subprocess.Popen(command, cwd=folder)
    try:
        for _ in range(120):
            time.sleep(0.5)
            assert server.poll() is None
            with suppress(OSError):
                urllib.request.urlopen(f"http://localhost:{port}{address}", timeout=5).close()
                break
        yield f"http://localhost:{port}"
    finally:
        server.terminate()
        server.wait(timeout=20)


@pytest.fixture(scope="module")
def page(browser, folder):
    """The notebook in JupyterLab, all cells run."""
    token = secrets.token_hex(16)
    quiet = {"@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False}}
    (folder / "overrides.json").write_text(json.dumps(quiet))
    command = ["jupyter", "lab", "--allow-root", f"--LabApp.app_settings_dir={folder}"]
    command += [f"--IdentityProvider.token={token}"]
    with _served(command, folder, f"/api?token={token}") as address:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(180_000)  # a busy machine needs it
        problems = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.add_init_script(TAP)
        page.goto(f"{address}/lab/tree/audition.ipynb?token={token}&reset")
        page.wait_for_selector('.jp-Notebook-ExecutionIndicator[data-status="idle"]', timeout=180_000)
        time.sleep(2)  # JupyterLab may lose a kernel that is restarted while it still connects to it
        _run_all(page)
        page.wait_for_selector(".jl-player[data-revision]", timeout=180_000)
        yield page
        assert [text for text in problems if "Canceled future" not in text] == []  # JupyterLab's own, at a restart
        assert page.locator(".jp-RenderedText[data-mime-type='application/vnd.jupyter.stderr']").count() == 0


def _run_all(page) -> None:
    page.click("text=Edit >> nth=0")
    page.click("text=Clear Outputs of All Cells")
    page.click("text=Run >> nth=0")
    page.click("text=Restart Kernel and Run All Cells")
    page.click('.jp-Dialog button:has-text("Restart")')
    page.wait_for_selector(".jl-vote .jl-question", state="attached", timeout=180_000)


def _state(page, name: str) -> str:
    return page.locator(".jl-player").first.get_attribute(f"data-{name}")


def _slide(page, label: str, key: str) -> None:
    """One step of a slider, as a key makes it, and wait for the new sound."""
    before = _state(page, "revision")
    page.locator(f'.widget-slider:has-text("{label}") .noUi-handle').first.focus()
    page.keyboard.press(key)
    page.wait_for_function(f"document.querySelector('.jl-player').dataset.revision !== '{before}'", timeout=20_000)


def _wait_for_words(page, selector: str, words: str) -> None:
    found = "([selector, words]) => document.querySelector(selector).innerText.includes(words)"
    page.wait_for_function(found, arg=[selector, words], timeout=60_000)


def _upload(page, file: Path, wave: np.ndarray, sample_rate: int, **how) -> None:
    """Write a sound, hand it to the page, and wait until it is there."""
    soundfile.write(file, wave, sample_rate, **how)
    page.set_input_files(".jl-sound-input input[type=file]", file)
    _wait_for_words(page, ".jl-clock", f"/ {len(wave) / sample_rate:.2f} s")


def _play(page, playing: str = "true") -> None:
    if _state(page, "playing") != playing:
        page.press(".jl-player", " ")
    page.wait_for_function(f"document.querySelector('.jl-player').dataset.playing === '{playing}'")


def _likeness(heard: np.ndarray, wave: np.ndarray) -> float:
    """Of one turn of a loop, wherever it began, and a wave: 1 where they are the same but for the level."""
    product = np.fft.ifft(np.fft.fft(heard) * np.fft.fft(wave).conj()).real
    return product.max() / np.linalg.norm(heard) / np.linalg.norm(wave)


def test_the_first_comparison_takes_two_actions(page, profile):
    """After Run All, without a scroll: play where it is on the screen, then a key; and both are what is heard."""
    sound = Audition(load_config(profile), "jt_alpha0.5_seed0", "protected_seed0").controls.player.sound
    waves = np.frombuffer(sound["audio"], np.int16).astype(float).reshape(len(sound["names"]), -1)
    place = page.locator(".jl-play").first.bounding_box()
    actions = [lambda: page.mouse.click(place["x"] + 20, place["y"] + 15), lambda: page.keyboard.press("4")]
    for action, name in zip(actions, ("enhanced A", "enhanced B"), strict=True):
        action()  # neither looks for its target
        page.wait_for_function("name => document.querySelector('.jl-player').dataset.channel === name", arg=name)
        assert _state(page, "playing") == "true"
        start = page.evaluate("window.heard.length + 4000")  # after the fades
        page.wait_for_function("end => window.heard.length > end", arg=start + waves.shape[1], timeout=60_000)
        heard = np.array(page.evaluate("([from, to]) => window.heard.slice(from, to)", [start, start + waves.shape[1]]))
        alike = {known: _likeness(heard, wave) for known, wave in zip(sound["names"], waves, strict=True)}
        assert max(alike, key=alike.get) == name and alike[name] > 0.99, alike
    assert len(actions) <= 2 and page.viewport_size == {"width": 1280, "height": 900}
    _play(page, "false")


def test_channels_switch_while_it_plays(page):
    _play(page)
    for key, name in zip("12345", ("clean", "noisy", "enhanced A", "enhanced B", "residual"), strict=True):
        before = page.evaluate("window.heard.length")
        page.press(".jl-player", key)
        page.wait_for_function("from => window.heard.length > from + 8000", arg=before)
        assert _state(page, "channel") == name and _state(page, "playing") == "true"
        assert np.sqrt(np.mean(np.square(page.evaluate("from => window.heard.slice(from + 4000)", before)))) > 1e-4
    assert not page.locator(".jp-RenderedHTMLCommon h5").count(), "digits must not turn cells into headings"
    _play(page, "false")
    loop = page.locator(".jl-options input").first
    loop.focus()  # a control that the keyboard chose keeps its keys
    for key in ("Tab", "Shift+Tab", " "):
        page.keyboard.press(key)
    assert not loop.is_checked() and _state(page, "playing") == "false"
    page.keyboard.press(" ")
    assert loop.is_checked()


def test_switching_has_no_gap_and_no_click(page, tmp_path):
    page.select_option('.widget-dropdown:has-text("Type") select', "none")
    tone = 0.3 * np.sin(2 * np.pi * 250 * np.arange(2 * 44_100) / 44_100)  # whole periods: a loop has no seam
    _upload(page, tmp_path / "tone.wav", np.stack([tone, tone], axis=1), 44_100)
    page.press(".jl-player", "1")
    _play(page)
    time.sleep(0.5)
    start, position = page.evaluate("[window.heard.length, document.querySelector('.jl-player').dataset.position]")
    for key in "2121212":  # without noise the two are the same wave, so that a change can only come from the switch
        page.press(".jl-player", key)
        time.sleep(0.15)
    for key in ("ArrowRight", "ArrowLeft", "ArrowRight"):  # and so is what a slider makes of it
        _slide(page, "SNR", key)
    moved, rate = float(_state(page, "position")) - float(position), page.evaluate("window.rate")
    played = (page.evaluate("window.heard.length") - start) / rate
    assert abs((moved - played + 1) % 2 - 1) < 0.2, "it must go on where it was"
    time.sleep(0.3)
    wave = np.array(page.evaluate("from => window.heard.slice(from)", start))
    _play(page, "false")
    window = rate // 50  # 20 ms, five periods
    level = np.sqrt(np.square(wave[: len(wave) // window * window].reshape(-1, window)).mean(axis=1))
    assert level.min() > 0.95 * level.max()
    assert np.abs(np.diff(wave)).max() < 1.1 * 2 * np.pi * 250 / rate * np.abs(wave).max()  # the tone's steepest slope


def test_a_slider_changes_the_sound_in_time_while_it_plays(page, tmp_path, profile, request, capsys):
    page.select_option('.widget-dropdown:has-text("Type") select', index=1)
    syllables = np.abs(np.sin(4 * np.pi * np.arange(48_000) / 16_000)) ** 2
    _upload(page, tmp_path / "bursts.flac", 0.1 * syllables * np.random.default_rng(0).normal(size=48_000), 16_000)
    _play(page)
    measured, moves = {}, 20 if request.config.getoption("--record") else 8
    for label in ("SNR", "Strength"):
        for pace, pause in (("one by one", 0.8), ("in a row", 0.0)):
            page.evaluate("window.latencies.length = 0")
            for step in range(moves):
                _slide(page, label, "ArrowLeft" if step % 2 == 0 else "ArrowRight")
                assert _state(page, "playing") == "true"
                time.sleep(pause)
            found = page.evaluate("window.latencies")
            assert len(found) == moves
            about = {"median_ms": round(statistics.median(found)), "longest_ms": round(max(found)), "moves": moves}
            measured[f"{label}, {pace}"] = about
    _play(page, "false")
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Chromium {page.context.browser.version}"
    record = {"clip_seconds": 3.0, "profile": load_config(profile).profile, "machine": machine}
    record = json.dumps(record | {"from_key_to_new_sound": measured}, indent=2)
    with capsys.disabled():
        print(f"\nfrom slider to sound: {record}")
    if folder := request.config.getoption("--record"):
        (folder / "audition.json").write_text(record + "\n")


def test_classifications_and_quality_follow(page):
    page.wait_for_function("document.querySelectorAll('.jl-cells').length === 2", timeout=20_000)
    assert page.locator(".jl-reading").count() == 4  # clean, noisy, enhanced A, enhanced B
    page.wait_for_function("document.querySelectorAll('.jl-table td').length === 9", timeout=20_000)
    page.wait_for_function("!document.querySelector('.jl-stale')", timeout=20_000)


def test_a_number_that_is_typed_moves_the_slider(page):
    page.locator(".jl-typed input[type=number]").first.fill("17")
    page.keyboard.press("Tab")
    page.wait_for_selector('.widget-slider:has-text("SNR") .noUi-handle[aria-valuenow="17.0"]')


def test_a_long_upload_travels_in_parts_and_one_that_is_too_long_does_not(page, tmp_path):
    (tmp_path / "huge.wav").write_bytes(bytes(80_000_000))
    page.set_input_files(".jl-sound-input input[type=file]", tmp_path / "huge.wav")
    _wait_for_words(page, ".jl-status", "huge.wav has 80 MB")
    wave = 0.1 * np.random.default_rng(0).normal(size=(20 * 96_000, 2))
    _upload(page, tmp_path / "wide.wav", wave, 96_000, subtype="PCM_24")
    assert (tmp_path / "wide.wav").stat().st_size > 10_485_760  # more than a server takes at once
    assert page.locator(".jl-status").first.inner_text().strip() == ""


def test_the_microphone(page):
    page.click(".jl-sound-input button:has-text('Record')")
    page.wait_for_selector(".jl-sound-input button:has-text('Stop')")
    time.sleep(2)
    page.click(".jl-sound-input button:has-text('Stop')")
    page.wait_for_function("/\\/ [12]\\.\\d\\d s/.test(document.querySelector('.jl-clock').innerText)", timeout=20_000)
    assert page.locator(".jl-status").first.inner_text().strip() == ""
    none = "async () => { throw new DOMException('', 'NotFoundError') }"
    page.evaluate(f"void (navigator.mediaDevices.getUserMedia = {none})")
    page.click(".jl-sound-input button:has-text('Record')")
    _wait_for_words(page, ".jl-status", "there is no microphone")


def _listen(page) -> None:
    player = page.locator(".jl-vote .jl-player")
    for key in " 12" if player.get_attribute("data-playing") == "false" else "12":
        player.press(key)
        time.sleep(0.3)


def test_votes_outlive_the_kernel(page):
    question = page.locator(".jl-vote .jl-question")
    page.evaluate("document.querySelector('.jl-vote').scrollIntoView()")
    assert not re.search(r"\b(JT|BN|α)", page.locator(".jl-vote").inner_text()), "a blind vote names nobody"
    assert page.locator(".jl-vote .jl-options:has-text('loudness')").count() == 0
    page.click("button:has-text('1 is better')")
    page.wait_for_selector(".jl-vote .jl-status:has-text('Listen to 1 and 2 first')")
    page.keyboard.type("  ")  # what the mouse chose must not take the space: it plays, and casts no vote
    _listen(page)
    assert "trial 1 of 3" in question.inner_text()
    page.dblclick("button:has-text('1 is better')")  # the second click must not vote on the next trial
    page.wait_for_selector("text=trial 2 of 3")
    _run_all(page)
    page.wait_for_selector("text=trial 2 of 3", timeout=60_000)
    for following in ("text=trial 3 of 3", ".jl-vote .jl-question:has-text('95 % interval')"):
        _listen(page)
        page.click("button:has-text('2 is better')")
        page.wait_for_selector(following)
    assert (
        "A was JT, α = 0.5, seed 0" in question.inner_text() and "B was Protected JT, seed 0" in question.inner_text()
    )


def test_both_themes_at_1280_pixels(page, request):
    page.set_viewport_size({"width": 1280, "height": 1700})
    colours = set()
    for theme, light in (("Light", "true"), ("Dark", "false")):
        page.click("text=Settings >> nth=0")
        page.hover(".lm-Menu >> text=Theme")
        page.click(f"text=JupyterLab {theme}")
        page.wait_for_selector(f"body[data-jp-theme-light={light}]", state="attached")
        page.wait_for_selector(".jl-table td")
        time.sleep(1)
        colours.add(page.evaluate("getComputedStyle(document.querySelector('.jl-application')).color"))
        if folder := request.config.getoption("--record"):
            page.locator(".jl-application").first.screenshot(path=folder / f"audition_{theme.lower()}.png")
    assert len(colours) == 2
    cards = "[...document.querySelectorAll('.jl-application, .jl-card')]"
    assert page.evaluate(f"{cards}.filter(card => card.scrollWidth > card.clientWidth + 1).length") == 0


def test_voila(browser, folder):
    with _served(["voila", "audition.ipynb"], folder, "/voila/static/favicon.ico") as address:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(address, timeout=180_000)
        page.wait_for_selector(".jl-player[data-revision]", timeout=180_000)
        _play(page)
        _slide(page, "SNR", "ArrowRight")
        assert _state(page, "playing") == "true"
