"""Tiny corpora of tones and noise, tiny networks and batches, which the tests run on."""

import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
import yaml
from hypothesis import settings
from torch import nn

from jointlib import metrics
from jointlib.config import Config, load_config
from jointlib.corpora import audio
from jointlib.corpora.batches import Batch
from jointlib.runs.fit import fit
from jointlib.runs.run import build_network
from jointlib.strategies import STRATEGIES, JointOutput, freeze

LONG = bool(os.environ.get("JOINTLIB_LONG"))  # also tests marked long, and 100 examples of each property, not 25
settings.register_profile("jointlib", max_examples=100 if LONG else 25, deadline=None, derandomize=True, database=None)
settings.load_profile("jointlib")
# `pytest -n 2` runs each file in one process. These take longest and start first, side by side.
FIRST = ("test_notebooks.py", "test_browser.py")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--audition", metavar="PROFILE", help="browser tests on this profile's own finished runs")
    parser.addoption(
        "--record", type=Path, metavar="FOLDER", help="where tests in Chromium and through Slurm leave what they found"
    )
    parser.addoption("--slurm", action="store_true", help="run the grid through Slurm, started on this machine")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip long tests unless they are asked for, and sort the files."""
    for item in items:
        if item.get_closest_marker("long") and not LONG:
            item.add_marker(pytest.mark.skip(reason="long: JOINTLIB_LONG=1"))
    items.sort(key=lambda item: FIRST.index(item.path.name) if item.path.name in FIRST else len(FIRST))


@pytest.fixture(scope="module")  # as long as it is open, its event loop keeps asyncio.run from working
def browser():
    """Chromium; without one the tests that want it are left out, and say so."""
    playwright = pytest.importorskip("playwright.sync_api", reason="no browser tests: playwright is not installed")
    names = ("chromium", "chromium-browser", "google-chrome")
    if not (chromium := next(filter(None, map(shutil.which, names)), None)):
        pytest.skip("no browser tests: there is no chromium, apt-get install chromium")
    flags = ["--disable-gpu", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    with playwright.sync_playwright() as driver:
        yield driver.chromium.launch(executable_path=chromium, args=flags)


INTENTS = [("activate", "lamp", "none"), ("deactivate", "lamp", "none"), ("bring", "shoes", "none")]
SPEAKERS = {"train": ["ann", "bob"], "valid": ["cat"], "test": ["dan", "eve"]}


def write_corpus(root: Path, sample_rate: int = 16_000, per_intent: int = 2) -> Path:
    """Half-second tones, a pitch per intent."""
    rng = np.random.default_rng(0)
    (root / "data").mkdir(parents=True)
    for split, speakers in SPEAKERS.items():
        rows = []
        for speaker in speakers:
            for label, intent in enumerate(INTENTS * per_intent):
                path = Path("wavs/speakers", speaker, f"{label}.wav")
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                time = np.arange(sample_rate // 2) / sample_rate
                pitch = 300 * (1 + label % len(INTENTS)) * rng.uniform(0.95, 1.05)
                soundfile.write(root / path, 0.3 * np.sin(2 * np.pi * pitch * time), sample_rate)
                rows.append((path.as_posix(), speaker, "switch it, please", *intent))
        columns = ["path", "speakerId", "transcription", "action", "object", "location"]
        pd.DataFrame(rows, columns=columns).to_csv(root / "data" / f"{split}_data.csv")
    return root


def write_noises(root: Path, seconds: float = 0.4) -> Path:
    """Two types of white noise in noise_train and noise_test."""
    rng = np.random.default_rng(1)
    for folder in ("noise_train", "noise_test"):
        (root / folder).mkdir(parents=True)
        for name in ("Typing_1", "Typing_2", "Babble_1"):
            soundfile.write(root / folder / f"{name}.wav", rng.normal(scale=0.1, size=int(seconds * 16_000)), 16_000)
    return root


def network(strategy: str, **overrides) -> tuple[Config, nn.Module]:
    """A strategy at the sizes of smoke, with four intents."""
    torch.manual_seed(0)
    config = load_config("smoke", strategy=strategy, **{"learning_rate": 0.01, **overrides})
    return config, freeze(build_network(config, classes=4), STRATEGIES[strategy].frozen)


def batch(size: int = 4, length: int = 3200) -> Batch:
    """A tone per label in white noise."""
    generator = torch.Generator().manual_seed(1)
    time = torch.arange(length) / 16_000
    clean = torch.stack([0.1 * torch.sin(2 * torch.pi * 200 * (1 + label) * time) for label in range(size)])[:, None]
    noisy = clean + 0.02 * torch.randn(clean.shape, generator=generator)
    return Batch(noisy, clean, torch.arange(size), torch.full((size,), length), ("",) * size)


class Untouched(nn.Module):
    """A front-end that returns its input."""

    def __init__(self):
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))  # it tells the device

    def forward(self, wave: torch.Tensor) -> JointOutput:
        return JointOutput(wave, None)


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory) -> None:
    """Waveforms of the tests' corpora are not kept."""
    audio.CACHE = tmp_path_factory.mktemp("cache")


@pytest.fixture
def corpus_root(tmp_path: Path) -> Path:
    return write_corpus(tmp_path / "corpus")


@pytest.fixture
def noise_root(tmp_path: Path) -> Path:
    return write_noises(tmp_path / "noise")


def write_profile(folder: Path, **changes: object) -> Path:
    """A profile file of a tiny experiment on the corpus and the noise of a folder."""
    values = {"base": "smoke", "device": "cpu", "embedded": None, "clip_seconds": 0.5, "init": "scratch"}
    values |= {name: str(folder / name) for name in ("corpus", "noise", "results")}
    file = folder / "tiny.yaml"
    file.write_text(yaml.safe_dump(values | {"metric_workers": 1} | changes))
    return file


@pytest.fixture
def profile(tmp_path: Path, corpus_root: Path, noise_root: Path) -> Path:
    return write_profile(tmp_path)


@pytest.fixture(scope="session")
def tiny_profile(tmp_path_factory) -> Path:
    """A profile with two steps, for tests that only read its runs."""
    folder = tmp_path_factory.mktemp("tiny")
    write_corpus(folder / "corpus")
    write_noises(folder / "noise")
    return write_profile(folder, steps=2)


@pytest.fixture(scope="session")
def tiny_runs(tiny_profile: Path) -> dict[str, Path]:
    """Folders of a tiny JT, BN and classifier."""
    return {name: fit(load_config(tiny_profile, strategy=name)) for name in ("jt", "bn", "classifier_clean")}


@pytest.fixture(scope="module")
def cheap_metrics() -> Iterator[None]:
    """MSE under every metric's name: PESQ takes most of the time of a tiny run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metrics, "_METRICS", dict.fromkeys(metrics.QUALITY, metrics._METRICS["mse"]))
        yield


def unused_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]
