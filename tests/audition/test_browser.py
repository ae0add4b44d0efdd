"""The audition in a real browser, in JupyterLab and Voila. Needs Chromium."""

import json
import re
import secrets
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

import numpy as np
import papermill
import pytest
import soundfile
from conftest import unused_port

from jointlib.audition.application import Audition
from jointlib.audition.votes import read_votes
from jointlib.config import CHECKOUT, load_config

pytestmark = pytest.mark.browser
RUNS = ("jt_alpha0.5_seed0", "bn_alpha0.5_seed0")

# Copies the output of the player to window.heard.
TAP = """
window.heard = [];
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
"""


@pytest.fixture(scope="module")
def profile(request, tiny_profile, tiny_runs) -> str:
    """The tiny runs of all tests, or the profile that --audition names."""
    return request.config.getoption("--audition") or str(tiny_profile)


@pytest.fixture(scope="module")
def server(profile, tmp_path_factory):
    """Address and token of a Jupyter server, with JupyterLab and Voila, in a folder with notebook 6."""
    folder, token, voter = tmp_path_factory.mktemp("notebooks"), secrets.token_hex(16), f"test-{secrets.token_hex(4)}"
    values = {"PROFILE": profile, "RUN_A": RUNS[0], "RUN_B": RUNS[1], "UTTERANCE": 0, "VOTER": voter, "VOTES": 3}
    source, target = str(CHECKOUT / "notebooks/06_audition.ipynb"), str(folder / "audition.ipynb")
    papermill.execute_notebook(source, target, values, prepare_only=True)
    quiet = {"@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False}}
    (folder / "overrides.json").write_text(json.dumps(quiet))
    port = unused_port()
    address = f"http://localhost:{port}"
    command = [sys.executable, "-m", "jupyter", "lab", "--allow-root", "--no-browser", f"--port={port}"]
    command += [f"--LabApp.app_settings_dir={folder}", f"--IdentityProvider.token={token}"]
    process = subprocess.Popen(command, cwd=folder)
    try:
        for _ in range(240):
            time.sleep(0.25)
            assert process.poll() is None
            with suppress(OSError):
                urllib.request.urlopen(f"{address}/api?token={token}", timeout=5).close()
                break
        yield address, token
    finally:
        process.terminate()
        process.wait(timeout=20)
    votes = read_votes(file := load_config(profile).summary / "votes.csv")
    votes[votes.voter != voter].to_csv(file, index=False)


@pytest.fixture(scope="module")
def page(browser, server):
    """The notebook in JupyterLab, all cells run."""
    address, token = server
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(120_000)  # a busy machine needs it
    problems = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.add_init_script(TAP)
    with page.expect_websocket(lambda socket: "/channels" in socket.url, timeout=120_000) as kernel:
        page.goto(f"{address}/lab/tree/audition.ipynb?token={token}&reset")
    kernel.value.wait_for_event("framereceived", timeout=120_000)  # JupyterLab loses what is run before
    page.wait_for_selector('.jp-Notebook-ExecutionIndicator[data-status="idle"]')
    time.sleep(1)
    page.click("text=Run >> nth=0")
    page.click('text="Run All Cells"')
    page.wait_for_selector(".jl-vote .jl-player[data-revision]", state="attached")
    yield page
    assert problems == []
    assert page.locator(".jp-RenderedText[data-mime-type='application/vnd.jupyter.stderr']").count() == 0


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
    """After "Run all cells", without scrolling: press play, then a key; and both sounds are those computed."""
    sound = Audition(load_config(profile), *RUNS).player.sound
    waves = np.frombuffer(sound["audio"], np.int16).astype(float).reshape(len(sound["names"]), -1)
    place = page.locator(".jl-play").first.bounding_box()
    actions = [lambda: page.mouse.click(place["x"] + 20, place["y"] + 15), lambda: page.keyboard.press("4")]
    for action, name in zip(actions, ("enhanced A", "enhanced B"), strict=True):
        action()
        page.wait_for_function("name => document.querySelector('.jl-player').dataset.channel === name", arg=name)
        assert _state(page, "playing") == "true"
        start = page.evaluate("window.heard.length + 4000")  # after the fades
        page.wait_for_function("end => window.heard.length > end", arg=start + waves.shape[1])
        heard = np.array(page.evaluate("([from, to]) => window.heard.slice(from, to)", [start, start + waves.shape[1]]))
        alike = {known: _likeness(heard, wave) for known, wave in zip(sound["names"], waves, strict=True)}
        assert max(alike, key=alike.get) == name and alike[name] > 0.99, alike
    _play(page, "false")


def _overflowing(page) -> int:
    cards = "[...document.querySelectorAll('.jl-application, .jl-card')]"
    return page.evaluate(f"{cards}.filter(card => card.scrollWidth > card.clientWidth + 1).length")


def test_light_and_dark_theme(page, request):
    page.set_viewport_size({"width": 1280, "height": 1500})
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
    assert len(colours) == 2 and _overflowing(page) == 0
    page.set_viewport_size({"width": 1280, "height": 900})


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
    loop.focus()  # a control that the Tab key focused takes the space
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
    both = "[window.heard.length, Number(document.querySelector('.jl-player').dataset.position)]"
    start, position = page.evaluate(both)
    for key in "2121212":  # without noise the two are the same, so that only the switch could be heard
        page.press(".jl-player", key)
        time.sleep(0.15)
    for key in ("ArrowRight", "ArrowLeft", "ArrowRight"):  # nor does the SNR change the sound
        _slide(page, "SNR", key)
    (heard, moved_to), rate = page.evaluate(both), page.evaluate("window.rate")
    played = (heard - start) / rate
    assert abs((moved_to - position - played + 1) % 2 - 1) < 0.3, "it must go on where it was"
    time.sleep(0.3)
    wave = np.array(page.evaluate("from => window.heard.slice(from)", start))
    _play(page, "false")
    window = rate // 50  # 20 ms, five periods
    level = np.sqrt(np.square(wave[: len(wave) // window * window].reshape(-1, window)).mean(axis=1))
    assert level.min() > 0.95 * level.max()
    assert np.abs(np.diff(wave)).max() < 1.1 * 2 * np.pi * 250 / rate * np.abs(wave).max()  # the tone's steepest slope


def test_a_slider_changes_the_sound_while_it_plays(page, tmp_path):
    page.select_option('.widget-dropdown:has-text("Type") select', index=1)
    syllables = np.abs(np.sin(4 * np.pi * np.arange(48_000) / 16_000)) ** 2
    _upload(page, tmp_path / "bursts.flac", 0.1 * syllables * np.random.default_rng(0).normal(size=48_000), 16_000)
    _play(page)
    for label in ("SNR", "Strength"):
        for key in ("ArrowLeft", "ArrowRight", "ArrowLeft"):
            _slide(page, label, key)
            assert _state(page, "playing") == "true"
    _play(page, "false")
    page.wait_for_function("document.querySelectorAll('.jl-cells').length === 2")
    page.wait_for_function("document.querySelectorAll('.jl-table td').length === 9")
    page.wait_for_function("!document.querySelector('.jl-stale')")


def test_a_large_file_and_the_microphone(page, tmp_path):
    (tmp_path / "huge.wav").write_bytes(bytes(11_000_000))
    page.set_input_files(".jl-sound-input input[type=file]", tmp_path / "huge.wav")
    _wait_for_words(page, ".jl-status", "huge.wav has 11 MB")
    wave = 0.1 * np.random.default_rng(0).normal(size=(15 * 96_000, 2))
    _upload(page, tmp_path / "large.wav", wave, 96_000, subtype="PCM_24")  # 8.6 MB
    page.click(".jl-sound-input button:has-text('Record')")
    page.wait_for_selector(".jl-sound-input button:has-text('Stop')")
    time.sleep(1.5)
    page.click(".jl-sound-input button:has-text('Stop')")
    page.wait_for_function("/\\/ [12]\\.\\d\\d s/.test(document.querySelector('.jl-clock').innerText)")
    assert page.locator(".jl-status").first.inner_text().strip() == ""
    none = "async () => { throw new DOMException('', 'NotFoundError') }"
    page.evaluate(f"void (navigator.mediaDevices.getUserMedia = {none})")
    page.click(".jl-sound-input button:has-text('Record')")
    _wait_for_words(page, ".jl-status", "there is no microphone")


def _vote(page, button: str, following: str) -> None:
    player = page.locator(".jl-vote .jl-player")
    for key in " 12" if player.get_attribute("data-playing") == "false" else "12":
        player.press(key)
        time.sleep(0.3)
    page.dblclick(f"button:has-text('{button}')")  # the second click must not vote on the next trial
    page.wait_for_selector(f".jl-vote .jl-question:has-text('{following}')")


def test_a_blind_vote_names_no_run_and_wants_both_sounds_played(page):
    page.evaluate("document.querySelector('.jl-vote').scrollIntoView()")
    assert not re.search("jt|bn", page.locator(".jl-vote").inner_text(), re.I)
    assert page.locator(".jl-vote .jl-options:has-text('loudness')").count() == 0
    page.click("button:has-text('1 is better')")
    page.wait_for_selector(".jl-vote .jl-status:has-text('Listen to 1 and 2 first')")
    page.keyboard.type("  ")  # space plays and pauses; it must not press the button that the mouse focused
    assert "trial 1 of 3" in page.locator(".jl-vote .jl-question").inner_text()
    _vote(page, "1 is better", "trial 2 of 3")


@pytest.fixture(scope="module")
def voila(browser, server):
    """The notebook in Voila, in a narrow window of a browser that prefers dark pages."""
    address, token = server
    page = browser.new_page(viewport={"width": 420, "height": 2200}, color_scheme="dark")
    page.set_default_timeout(120_000)
    page.goto(f"{address}/voila/render/audition.ipynb?token={token}")
    page.wait_for_selector(".jl-vote .jl-player[data-revision]")
    return page


def test_voila_in_a_narrow_dark_window(voila, request):
    _play(voila)
    _slide(voila, "SNR", "ArrowRight")
    assert _state(voila, "playing") == "true"
    voila.wait_for_selector(".jl-table td")
    assert _overflowing(voila) == 0
    assert voila.evaluate("getComputedStyle(document.querySelector('.jl-application')).colorScheme") == "dark"
    if folder := request.config.getoption("--record"):
        voila.locator(".jl-application").first.screenshot(path=folder / "audition_narrow.png")


def test_votes_outlive_the_kernel(voila):
    assert "trial 2 of 3" in voila.locator(".jl-vote .jl-question").inner_text()  # the first was cast in JupyterLab
    _vote(voila, "2 is better", "trial 3 of 3")
    _vote(voila, "2 is better", f"A was {RUNS[0]}; B was {RUNS[1]}")
