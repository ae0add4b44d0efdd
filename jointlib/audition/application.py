"""The audition in a notebook: its controls and their effects. The computations are in `sounds`."""

import asyncio
import math
from collections.abc import Mapping
from operator import itemgetter
from pathlib import Path

import numpy as np
import torch
from ipywidgets import HTML, Button, Dropdown, FloatSlider
from torch import Tensor

from jointlib import OUTSIDE, SAMPLE_RATE
from jointlib.audition import sounds
from jointlib.audition.widgets import Application, Player, SoundInput, box, card, html, short
from jointlib.config import Config
from jointlib.corpora.batches import load_data
from jointlib.corpora.contaminate import mix
from jointlib.metrics import quality
from jointlib.runs.folder import own_or_shipped, titled_runs

Enhancers = Mapping[str, sounds.Enhancer]  # by name
STRENGTHS = [step / 20 for step in range(21)]  # at which the signal is classified


class Audition(Application):
    """Listen to, look at and measure a recording enhanced by two finished runs, in JupyterLab or Voila.

    `config` names corpus, noises and results. `run_a` and `run_b`, names of runs, and `utterance`, a row of the test
    plan, are the first choice; `others` are further enhancers. Each step calls the next: choose or draw_noise, enhance,
    show; `measure` runs once the controls are idle. Raises as `load_data`, and IndexError: no such utterance.
    """

    def __init__(
        self, config: Config, run_a: str = "", run_b: str = "", utterance: int = 0, others: Enhancers | None = None
    ):
        super().__init__()
        self.config, self.data, self._rng = config, load_data(config), np.random.default_rng(0)
        planned = self.data.plan("test").iloc[utterance]
        titles, problems = titled_runs(config.folder.parent)
        self._make_controls(titles, others or {})
        names = (run_a, run_b, f"classifier_clean_seed{config.seed}")
        for control, name in zip((*self.runs.values(), self.listener), names, strict=True):
            if (folder := own_or_shipped(config, name)) in titles.values():
                control.value = folder
            elif name and not any(str(folder) in problem for problem in problems):
                problems.append(f"{folder} is not a finished run; train it with make reproduce, or choose another.")
        self.utterance.value = int(planned.utterance)
        self.noise.value, self.snr_db.value = planned.noise_type, planned.snr_db
        self.excerpt = torch.tensor([[planned.noise], [planned.offset]])  # row of the test noises, and its first sample
        self.say(" ".join(problems))
        self.attempt(self.choose)
        self.on(self.choose, self.utterance)
        self.on(self._choose_at_random, self.random)
        self.on(self.draw_noise, self.noise, self.another)
        self.on(self.enhance, self.snr_db, *self.runs.values(), self.listener)
        self.on(self.show, self.strength)
        self.on(self.show, self.player, trait="residual_of")
        self.on(self.show_intents, self.truth)

    def _make_controls(self, titles: Mapping[str, Path], others: Enhancers) -> None:
        none, corpus = ("none", ""), self.data.corpus  # "", as None would mean that nothing is chosen
        rows = corpus.manifest.query("split == 'test'").sort_values(["transcription", "speaker"])
        utterances = [(f"{row.transcription} · {row.speaker}", row.Index) for row in rows.itertuples()]
        self.utterance = Dropdown(description="Utterance", options=utterances)
        self.random = Button(description="At random", icon="random")
        intents = [("not known", ""), *((short(intent), intent) for intent in corpus.intents)]
        self.truth = Dropdown(description="True intent", options=intents)  # disabled for test utterances
        kinds = sorted(self.data.noises["test"].manifest.type.unique())
        self.noise = Dropdown(description="Type", options=[none, *((kind, kind) for kind in kinds)])
        self.snr_db = FloatSlider(5, min=-10, max=30, step=1, description="SNR (dB)", readout_format=".0f")
        self.another = Button(description="Another excerpt", icon="refresh")
        enhancers = [none, *titles.items(), *others.items()]
        self.runs = {lane: Dropdown(description=f"Run {lane}", options=enhancers) for lane in "AB"}
        classifiers = [(title, folder) for title, folder in titles.items() if folder.name.startswith("classifier_")]
        self.listener = Dropdown(description="Listener", options=classifiers or [none])
        self.strength = FloatSlider(1.0, min=0, max=1, step=0.05, description="Strength")
        self.player = Player()
        self.sound, self.strips, self.classifications, self.quality = (HTML() for _ in range(4))
        self.sound_input = SoundInput()
        self.sound_input.on_msg(self.receive)
        source = card("Source", self.utterance, box("jl-row", self.random, self.sound_input), self.truth, self.sound)
        noise = card("Noise", self.noise, self.snr_db, box("jl-row", self.another))
        models = card("Models", *self.runs.values(), self.listener)
        self.children = [
            box("jl-columns", source, noise, models),
            self.status,
            card("", self.player),
            card("Strength: 0 is the noisy input, 1 the enhanced speech", self.strength, self.strips),
            card("", self.classifications),
            card("Quality, against clean speech", self.quality),
        ]

    def receive(self, _widget: SoundInput, message: dict[str, str], buffers: list[memoryview]) -> None:
        """Use a recording from the browser, or show its problem; see `SoundInput`."""
        self.say(message.get("problem", ""))
        if buffers:
            self.attempt(lambda: self._use_file(bytes(buffers[0]), message["name"]))

    def _use_file(self, content: bytes, name: str) -> None:
        speech = sounds.decode(content, name)
        self.utterance.value, self.strength.value = None, OUTSIDE
        self._use(speech, name)

    def _choose_at_random(self) -> None:
        self.utterance.index = int(self._rng.integers(len(self.utterance.options)))

    def choose(self) -> None:
        """Use the chosen test utterance, if any, with the present noise."""
        if self.utterance.value is not None:
            if not self.truth.disabled:  # the previous recording was not from the corpus
                self.strength.value = 1.0
            row = self.data.corpus.manifest.loc[self.utterance.value]
            self._use(self.data.corpus.audio.wave(self.utterance.value), row.path, row.intent)

    def _use(self, speech: Tensor, name: str, truth: str = "") -> None:
        self.speech, self.found, self.sweeps = speech, [], {}  # classifications of all channels, and at every strength
        self.truth.value, self.truth.disabled = truth, bool(truth)
        self.sound.value = html.source(name, len(speech) / SAMPLE_RATE)
        self.enhance()

    def draw_noise(self) -> None:
        """Draw an excerpt of the chosen type of noise, if any."""
        if self.noise.value:
            noises = self.data.noises["test"]
            row = self._rng.choice(np.flatnonzero(noises.manifest.type == self.noise.value))
            self.excerpt = torch.tensor([[row], [self._rng.choice(noises.sounding[row])]])
        self.enhance()

    def enhance(self) -> None:
        """Mix speech and noise at the chosen SNR; both runs enhance and classify the mixture."""
        samples, snr_db = len(self.speech), self.snr_db.value if self.noise.value else math.inf
        noise = self.data.noises["test"].audio.loops(*self.excerpt, samples).cpu()
        lengths = torch.tensor([samples])
        mixture = mix(self.speech[None], noise, lengths, torch.tensor([snr_db]), self.config.mixer)
        level = 1.0 if self.truth.disabled else sounds.training_level(mixture.clean[0], self.config.clip_samples)
        self.clean, self.noisy = mixture.clean[0] * level, mixture.noisy[0] * level
        enhancers = {lane: self._opened(control.value) for lane, control in self.runs.items() if control.value}
        self.classifier = self._opened(self.listener.value) if self.listener.value else None
        self.enhanced = {lane: sounds.enhance(one, self.noisy, self.classifier) for lane, one in enhancers.items()}
        self.sweeps = {}
        self.show()

    def _opened(self, chosen: Path | sounds.Enhancer) -> sounds.Run | sounds.Enhancer:
        return chosen if callable(chosen) else sounds.open_run(chosen, self.config.torch_device)

    def show(self) -> None:
        """Send the channels at the chosen strength to the player, and show how they are classified."""
        chosen = self.player.residual_of
        residual_of = chosen if chosen in self.enhanced else next(iter(self.enhanced), "")
        self.waves = sounds.channels(self.clean, self.noisy, self.enhanced, self.strength.value, residual_of)
        captions = {f"enhanced {lane}": f"{lane}: {self.runs[lane].label}" for lane in self.enhanced}
        self.player.captions = captions | {"residual": f"residual of {residual_of}"}
        self.player.load(sounds.player_sound(self.waves))
        self.found = sounds.classify_all(self.waves, self.enhanced, self.classifier)
        self.show_intents()
        self.quality.add_class("jl-stale")
        self.later(self.measure)

    def show_intents(self) -> None:
        """Show how the signal is classified, beside its true intent."""
        self.classifications.value = html.classifications(self.found, self.truth.value)
        self.strips.value = html.strengths(self.sweeps, self.truth.value, self.strength.value)

    async def measure(self) -> None:
        """Once the controls are idle, classify the signal at every strength and score its quality."""
        await asyncio.sleep(0.3)
        for lane, made in self.enhanced.items():
            title = f"{lane}, {'own' if made.classifier is made.run else 'listener'}"
            if title not in self.sweeps and made.classifier is not None:
                found = [await asyncio.to_thread(made.classify, made.at(strength)) for strength in STRENGTHS]
                self.sweeps[title] = [max(intents.items(), key=itemgetter(1)) for intents in found]
        self.show_intents()
        scores = {}
        if self.utterance.value is not None or self.noise.value:  # otherwise there is no clean reference
            for name in [name for name in self.waves if name not in ("clean", "residual")]:
                scores[name] = await asyncio.to_thread(quality, (self.waves["clean"].numpy(), self.waves[name].numpy()))
        self.quality.value = html.quality(scores)
        self.quality.remove_class("jl-stale")
