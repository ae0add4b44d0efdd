"""The audition in a notebook: what follows from each control. What is computed lies in `audition`."""

from collections.abc import Iterator
from datetime import UTC, datetime

import matplotlib.pyplot as plt
import numpy as np
import torch
from ipywidgets import Dropdown
from torch import Tensor

from jointlib.audition import panels
from jointlib.audition import sounds as audition
from jointlib.audition.controls import Controls
from jointlib.audition.rest import AtRest, judge
from jointlib.audition.sounds import Excerpt, SoundError, Take
from jointlib.audition.widgets import Application, SoundInput
from jointlib.config import Config, parent_of
from jointlib.corpora.batches import Data, load_data
from jointlib.runs import drawings
from jointlib.runs.folder import titled_runs
from jointlib.runs.run import Run

_STRENGTHS = np.linspace(0, 1, 21)


class Audition(Application):
    """Hear, see and measure what two finished runs make of a sound, in JupyterLab or Voila.

    From left to right, each step calls the next: choose, draw_noise, mix, enhance, listen, and, at rest, measure.

    Args:
        config: names the corpus, the test noises and the results folder.
        run_a, run_b: names of runs of the profile, chosen at first if they are finished.
        utterance: row of the test split, at first. snr_db: at first, in dB.
    """

    def __init__(self, config: Config, run_a: str = "", run_b: str = "", utterance: int = 0, snr_db: float = 5.0):
        super().__init__()
        self.config, self._rng = config, np.random.default_rng(0)
        self.rest = AtRest(lambda step: self.plainly(step, clear=False))
        self.data: Data | None = None
        self.speech: Tensor | None = None
        self.sweeps: dict[str, Tensor] = {}  # by run, the readings at every strength
        self.noise: Excerpt | None = None
        titles, runs = titled_runs(config.folder.parent), config.folder / "runs"
        source = SoundInput(self._receive, lambda text: self.say(text, problem=True))
        listener = parent_of(config, "classifier_clean").run_name
        self.controls = Controls(source, titles, runs / run_a, runs / run_b, runs / listener, snr_db)
        self.children = (self.controls.cards[0], self.status, *self.controls.cards[1:])
        self.plainly(lambda: self._open(utterance))()
        self._connect()
        if not titles:
            self.say(f"No finished run in {config.folder.parent} yet: train some with make reproduce.", problem=True)

    def _open(self, utterance: int) -> None:
        self.data = load_data(self.config)
        self.controls.offer(self.data)
        plan = self.data.plan("test").iloc[utterance]
        self.controls.noise.value, self.controls.utterance.value = plan.noise_type, int(plan.utterance)
        self.choose()
        noise = self.data.noises["test"].stretch(plan.noise, plan.offset, len(self.speech))  # at first, the planned one
        self.noise = Excerpt(noise, plan.noise_file, int(plan.offset))
        self.mix()

    def _connect(self) -> None:
        controls = self.controls
        follows = {
            self.choose: [controls.utterance],
            self.draw_noise: [controls.noise],
            self.mix: [controls.snr_db],
            self.enhance: [*controls.runs.values(), controls.listener],
            self.listen: [controls.strength, controls.removed_by],
            (lambda: controls.offer_utterances(self.data, controls.intent)): [controls.intent],
            (lambda: controls.offer_utterances(self.data, controls.speaker)): [controls.speaker],
        }
        for step, changed in follows.items():
            for control in changed:
                control.observe(self.plainly(step), "value")
        pressed = {controls.random: self._choose_at_random, controls.another: self.draw_noise}
        for button, step in (pressed | {controls.export: self.export}).items():
            button.on_click(self.plainly(step))

    def _receive(self, kind: str, name: str, content: bytes) -> None:
        def step() -> None:
            recorded = torch.tensor(np.frombuffer(content, np.float32)) if kind == "recording" else None
            decoded = audition.decode(content, name) if recorded is None else audition.check_sound(recorded, name)
            self._take_up(decoded, name)

        self.plainly(step)()

    def _choose_at_random(self) -> None:
        utterance = self.controls.utterance
        if self.data is not None:
            drawn = self._rng.choice([row for _, row in utterance.options])
            utterance.value = None  # so that the same one drawn again is taken up again
            utterance.value = int(drawn)

    def choose(self) -> None:
        """Take up the chosen test utterance."""
        row = self.controls.utterance.value
        if row is not None:
            name, truth = (self.data.corpus.manifest[column][row] for column in ("path", "intent"))
            speech = audition.check_sound(self.data.corpus.audio.wave(row), name)
            self._take_up(speech, name, truth, self.controls.utterance.label)

    def _take_up(self, speech: Tensor, name: str, truth: str | None = None, label: str = "") -> None:
        self.rest.stop()
        self.speech, self.name, self.truth = speech, name, truth
        self.controls.utterance.value = self.controls.utterance.value if truth else None
        self.controls.sound.value = panels.sound_line(label or name, len(speech))
        self.draw_noise()

    def draw_noise(self) -> None:
        """Draw a stretch of the chosen noise, as long as the speech."""
        if self.speech is None:
            raise SoundError("There is no sound yet: upload a file or record one.")
        kind = self.controls.noise.value
        self.noise = audition.excerpt(self.data.noises["test"], kind, len(self.speech), self._rng) if kind else None
        self.mix()

    def mix(self) -> None:
        """Mix speech and noise at the chosen SNR."""
        if self.speech is not None:
            self.rest.stop()
            noise = None if self.noise is None else self.noise.wave
            snr_db, mixer = self.controls.snr_db.value, self.config.mixer
            self.clean, self.noisy = audition.contaminate(self.speech, noise, snr_db, mixer)
            self.enhance()

    def enhance(self) -> None:
        """Let both runs enhance and classify the noisy wave."""
        if self.speech is not None:
            chosen = {lane: control for lane, control in self.controls.runs.items() if control.value}
            self.rest.stop()
            self.sweeps = {}
            self.takes = {lane: audition.take(self._run(control), self.noisy) for lane, control in chosen.items()}
            self.listen()

    def _run(self, control: Dropdown) -> Run | None:
        return audition.open_run(control.value, self.config.torch_device) if control.value else None

    def listen(self) -> None:
        """Bring everything that is heard at the chosen strength to the player, and what classifiers read of it."""
        if self.speech is None:
            return
        controls, strength = self.controls, self.controls.strength.value
        heard = {lane: audition.hear(made, self.noisy, strength) for lane, made in self.takes.items()}
        by = controls.removed_by.value if controls.removed_by.value in heard else next(iter(heard), "")
        waves = audition.channels(self.clean, self.noisy, heard, by)
        titles = {f"enhanced {lane}": f"{lane}: {controls.runs[lane].label}" for lane in heard}
        controls.player.captions = {**titles, "residual": f"residual of {by}"}
        self.gains = audition.loudness_gains(waves)
        controls.player.load(audition.player_sound(waves, self.gains))
        listener = self._run(controls.listener)
        found = audition.readings(waves, self.takes, listener, f"listener: {controls.listener.label}")
        controls.readings.value = panels.readings(found, self.truth)
        self._show_sweeps(listener)
        controls.quality.add_class("jl-stale")
        self.waves = waves
        self.rest.start(self._measure(waves, self.takes, self.sweeps))

    def _measure(self, waves: dict[str, Tensor], takes: dict[str, Take], sweeps: dict[str, Tensor]) -> Iterator[None]:
        """Read the sound at every strength and judge its quality."""
        listener = self._run(self.controls.listener)
        for lane, made in takes.items():
            if lane not in sweeps and (made.run.classifies_wave or listener is not None):
                parts = []
                for strengths in np.array_split(_STRENGTHS, 7):
                    parts.append(audition.sweep(made, listener, waves["noisy"], strengths))
                    yield
                sweeps[lane] = torch.cat(parts)
        self._show_sweeps(listener)
        known = self.truth is not None or self.noise is not None
        scores = {}
        for name in (name for name in waves if known and name not in ("clean", "residual")):
            scores[name] = judge(waves["clean"], waves[name])
            yield
        self.controls.quality.value = panels.quality_table(scores)
        self.controls.quality.remove_class("jl-stale")

    def _show_sweeps(self, listener: Run | None) -> None:
        strips, now = [], self.controls.strength.value
        for lane, swept in self.sweeps.items():
            run = self.takes[lane].run
            reader, by = (run, "own") if run.classifies_wave else (listener, "listener")
            strips.append(panels.strength_strip(f"{lane}, {by}", _STRENGTHS, swept, reader.intents, self.truth, now))
        self.controls.strips.value = "".join(strips) + (panels.strength_key(self.truth) if strips else "")

    def export(self) -> None:
        """Write the channels as wav, the picture as PNG and what they are as JSON into a folder of the results."""
        if self.speech is None:
            raise SoundError("There is no sound yet: nothing was written.")
        controls = self.controls
        folder = self.config.summary / "audition" / datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%S.%f")
        noise = None if self.noise is None else {"file": self.noise.file, "offset": self.noise.offset}
        about = {"source": self.name, "intent": self.truth, "noise": noise, "snr_db": controls.snr_db.value}
        runs = {lane: str(made.run.folder) for lane, made in self.takes.items()}
        audition.export(folder, self.waves, {**about, "strength": controls.strength.value, "runs": runs})
        figure = drawings.spectrograms({name: wave.numpy() for name, wave in self.waves.items()})
        figure.savefig(folder / "spectrograms.png")
        plt.close(figure)
        self.say(f"Written to {folder}")
