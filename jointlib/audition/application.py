"""The audition in a notebook: what follows from each control. What is computed is in `sounds`."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from jointlib import SAMPLE_RATE
from jointlib.audition import sounds
from jointlib.audition.controls import Controls
from jointlib.audition.widgets import Application, SoundInput, html
from jointlib.config import Config
from jointlib.corpora.batches import Data, load_data
from jointlib.metrics import quality
from jointlib.runs.folder import titled_runs
from jointlib.runs.run import Run


class Audition(Application):
    """Listen to, look at and measure what two finished runs make of a sound, in JupyterLab or Voila.

    `config` names corpus, test noises and results. At first `run_a` and `run_b` are chosen, if they are finished, and
    `utterance` (row of the test plan; None: the `telling_row` of the two) at `snr_db` (None: the plan's). `others` are
    offered beside the runs, by name. Each step calls the next: choose, draw_noise, enhance, show; `measure` follows
    when the controls are at rest.
    """

    def __init__(
        self,
        config: Config,
        run_a: str = "",
        run_b: str = "",
        utterance: int | None = None,
        snr_db: float | None = None,
        others: Mapping[str, sounds.Enhancer] | None = None,
    ):
        super().__init__()
        self.config, self._rng = config, np.random.default_rng(0)
        self.data: Data | None = None
        self.speech: Tensor | None = None
        self.noisy: Tensor | None = None
        self.excerpt: dict[str, Any] | None = None  # of noise, see `sounds.draw_excerpt`
        self.found, self.sweeps = [], {}  # how the channels are classified, and how at every strength
        (titles, unusable), runs = titled_runs(config.folder.parent), config.folder / "runs"
        folders = [runs / run_a, runs / run_b, sounds.listener_folder(config)]
        source = SoundInput(self.receive, partial(self.say, problem=True))
        self.controls = controls = Controls(source, titles, others or {}, folders)
        self.children = (controls.cards[0], self.status, *controls.cards[1:])
        if unusable:  # said first: what keeps the application from opening is more urgent
            self.say(f"{len(unusable)} run(s) left out; {unusable[0]}", problem=True)
        self.attempt(partial(self._open, folders[:2], utterance, snr_db))
        self.on(self.choose, controls.utterance)
        self.on(self._choose_at_random, controls.random)
        self.on(self.draw_noise, controls.noise, controls.another)
        self.on(self.enhance, controls.snr_db, *controls.runs.values(), controls.listener)
        self.on(self.show, controls.strength)
        self.on(self.show, controls.player, trait="residual_of")
        self.on(self.tell, controls.truth)
        self.on(self.export, controls.export)
        for control in (controls.intent, controls.speaker):
            self.on(partial(controls.offer_utterances, self.data, control), control)
        if not titles:
            self.say(f"No finished run in {config.folder.parent} yet: train some with make reproduce.", problem=True)

    def _open(self, folders: list[Path], utterance: int | None, snr_db: float | None) -> None:
        self.data = load_data(self.config)
        self.controls.offer(self.data)
        plan = self.data.plan("test")
        utterance = sounds.telling_row(plan, *folders) if utterance is None else utterance
        if not 0 <= utterance < len(plan):
            raise sounds.SoundError(f"There is no utterance {utterance}: the test split has 0 to {len(plan) - 1}.")
        planned = plan.iloc[utterance]
        self.controls.noise.value, self.controls.utterance.value = planned.noise_type, int(planned.utterance)
        self.controls.snr_db.value = planned.snr_db if snr_db is None else snr_db
        self.choose()
        self.excerpt = planned[["noise", "noise_file", "offset"]].to_dict()
        self.enhance()

    def receive(self, name: str, content: bytes) -> None:
        """Use a sound from the browser: the content of an audio file, and the name to show."""
        self.say("")
        self.attempt(lambda: self._use(sounds.decode(content, name), name))

    def _choose_at_random(self) -> None:
        utterance = self.controls.utterance
        utterance.index = None  # otherwise nothing happens when the same one is drawn again
        utterance.index = int(self._rng.integers(len(utterance.options))) if utterance.options else None

    def choose(self) -> None:
        """Use the chosen test utterance."""
        row = self.controls.utterance.value
        if row is not None:
            name, truth = self.data.corpus.manifest.loc[row, ["path", "intent"]]
            self._use(self.data.corpus.audio.wave(row), name, truth, self.controls.utterance.label)

    def _use(self, speech: Tensor, name: str, truth: str | None = None, label: str = "") -> None:
        self.speech, self.name, self.found, self.sweeps = speech, name, [], {}
        if truth is None:
            self.controls.utterance.value = None
        self.controls.truth.value, self.controls.truth.disabled = truth or "", truth is not None
        self.controls.sound.value = html.source(label or name, len(speech) / SAMPLE_RATE)
        self.draw_noise()

    def draw_noise(self) -> None:
        """Draw an excerpt of the chosen type of noise."""
        kind = self.controls.noise.value
        self.excerpt = sounds.draw_excerpt(self.data.noises["test"], kind, self._rng) if kind else None
        self.enhance()

    def enhance(self) -> None:
        """Mix speech and noise at the chosen SNR, and let both runs enhance and classify the mixture."""
        if self.speech is None:
            raise sounds.SoundError("There is no sound yet: upload a file or record one.")
        controls, noise, excerpt = self.controls, None, self.excerpt
        if excerpt:
            noise = self.data.noises["test"].stretch(excerpt["noise"], excerpt["offset"], len(self.speech))
        self.clean, noisy = sounds.contaminate(self.speech, noise, controls.snr_db.value, self.config.mixer)
        chosen = {lane: control.value for lane, control in controls.runs.items() if control.value}
        runs = {lane: value if callable(value) else self._run(value) for lane, value in chosen.items()}
        self.listener = self._run(controls.listener.value) if controls.listener.value else None
        self.enhanced = {lane: sounds.enhance(run, noisy, self.listener) for lane, run in runs.items()}
        self.noisy, self.sweeps = noisy, {}
        self.show()

    def _run(self, folder: Path) -> Run:
        return sounds.open_run(folder, self.config.torch_device)

    def show(self) -> None:
        """Hand the channels at the chosen strength to the player, and show how they are classified."""
        if self.noisy is None:
            return
        controls, strength, by = self.controls, self.controls.strength.value, self.controls.player.residual_of
        enhanced = {lane: made.at(strength) for lane, made in self.enhanced.items()}
        by = by if by in enhanced else next(iter(enhanced), "")
        self.waves = sounds.channels(self.clean, self.noisy, enhanced, by)
        captions = {f"enhanced {lane}": f"{lane}: {controls.runs[lane].label}" for lane in enhanced}
        controls.player.captions = captions | {"residual": f"residual of {by}"}
        controls.player.load(sounds.player_sound(self.waves))
        title = f"listener: {controls.listener.label}"
        self.found = sounds.classify_all(self.waves, self.enhanced, self.listener, title)
        self.tell()
        controls.quality.add_class("jl-stale")
        self.later(self.measure)

    def tell(self) -> None:
        """Show how the sound is classified, beside its true intent."""
        controls, truth = self.controls, self.controls.truth.value
        controls.classifications.value = html.classifications(self.found, truth)
        controls.strips.value = html.strengths(self.sweeps, truth, controls.strength.value)

    async def measure(self) -> None:
        """Classify the sound at every strength and score its quality, when the controls have been at rest."""
        await asyncio.sleep(0.3)
        for lane, made in self.enhanced.items():
            title = f"{lane}, {'own' if made.classifier is made.run else 'listener'}"
            if title not in self.sweeps and made.classifier is not None:
                parts = [await asyncio.to_thread(sounds.sweep, made, some) for some in sounds.STRENGTHS.split(3)]
                self.sweeps[title] = [cell for part in parts for cell in part]
        self.tell()
        scores = {}
        if self.controls.utterance.value is not None or self.excerpt:  # otherwise no clean speech is known
            for name in [name for name in self.waves if name not in ("clean", "residual")]:
                scores[name] = await asyncio.to_thread(quality, (self.waves["clean"].numpy(), self.waves[name].numpy()))
        self.controls.quality.value = html.quality(scores)
        self.controls.quality.remove_class("jl-stale")

    def export(self) -> None:
        """Write the channels as wav, their picture as PNG and what they are as JSON into a folder of the results."""
        if self.noisy is None:
            raise sounds.SoundError("There is no sound yet: nothing was written.")
        folder = self.config.summary / "audition" / datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%S.%f")
        about = {"source": self.name, "intent": self.controls.truth.value or None, "noise": self.excerpt}
        about |= {"snr_db": self.controls.snr_db.value, "strength": self.controls.strength.value}
        about |= {"runs": {lane: self.controls.runs[lane].label for lane in self.enhanced}}
        sounds.export(folder, self.waves, about)
        self.say(f"Written to {folder}")
