"""The controls of the audition and how they are laid out. What follows from them is in `application`."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ipywidgets import HTML, Button, Dropdown, FloatSlider

from jointlib.audition.sounds import Enhancer, SoundError
from jointlib.audition.widgets import Player, SoundInput, box, card, short, slider_with_number
from jointlib.corpora.batches import Data

_NONE, _ANY, _UNKNOWN = (
    ("none", ""),
    ("any", ""),
    ("not known", ""),
)  # not None, which ipywidgets takes for nothing chosen


class Controls:
    """Every widget of the audition by name, and `cards`, which hold them.

    `titles` has every finished run's folder by title, `others` further enhancers; `folders` are those of run A, run B
    and the listener at first.
    """

    def __init__(
        self, source: SoundInput, titles: Mapping[str, Path], others: Mapping[str, Enhancer], folders: Sequence[Path]
    ):
        self.intent = Dropdown(description="Intent", options=[_ANY])
        self.speaker = Dropdown(description="Speaker", options=[_ANY])
        self.utterance = Dropdown(description="Utterance")
        self.random = Button(description="At random", icon="random")
        self.truth = Dropdown(description="True intent", options=[_UNKNOWN])  # of a test command, or of one's own sound
        self.noise = Dropdown(description="Type", options=[_NONE])
        self.snr_db = FloatSlider(5, min=-10, max=30, step=1, description="SNR (dB)", readout=False)
        self.another = Button(description="Another excerpt", icon="refresh")
        offered = [_NONE, *titles.items(), *others.items()]
        self.runs = {lane: Dropdown(description=f"Run {lane}", options=offered) for lane in "AB"}
        classifiers = [(title, folder) for title, folder in titles.items() if folder.name.startswith("classifier_")]
        self.listener = Dropdown(description="Listener", options=classifiers or [_NONE])
        for control, folder in zip((*self.runs.values(), self.listener), folders, strict=True):
            if folder in titles.values():
                control.value = folder
        self.strength = FloatSlider(1.0, min=0, max=1, step=0.05, description="Strength", readout=False)
        self.sound, self.strips, self.classifications, self.quality = (HTML() for _ in range(4))
        self.player = Player()
        self.export = Button(description="Export wav and PNG", icon="download")
        strength, quality = "Strength: 0 is the noisy input, 1 all of the enhancement", "Quality, against clean speech"
        choice = (self.intent, self.speaker, self.utterance, box("jl-row", self.random, source), self.truth, self.sound)
        noise = (self.noise, slider_with_number(self.snr_db), box("jl-row", self.another))
        models = (*self.runs.values(), self.listener)
        self.cards = [
            box("jl-columns", card("Source", *choice), card("Noise", *noise), card("Models", *models)),
            card("", self.player),
            card(strength, slider_with_number(self.strength), self.strips),
            card("", self.classifications),
            box("jl-columns", card(quality, self.quality), card("Export", box("jl-row", self.export))),
        ]

    def offer(self, data: Data) -> None:
        """Offer a corpus' test utterances and test noises."""
        rows, noises = data.corpus.split("test"), data.noises["test"].manifest
        self.intent.options = [_ANY, *((short(intent), intent) for intent in sorted(rows.intent.unique()))]
        self.truth.options = [_UNKNOWN, *((short(intent), intent) for intent in data.corpus.intents)]
        self.speaker.options = [_ANY, *((speaker, speaker) for speaker in sorted(rows.speaker.unique()))]
        self.noise.options = [_NONE, *((kind, kind) for kind in sorted(noises.type.unique()))]
        self.offer_utterances(data, self.intent)

    def offer_utterances(self, data: Data, changed: Dropdown) -> None:
        """Offer the test utterances of the chosen intent and speaker; the present one stays chosen if it is among them.

        If there is none, take back the choice that was not `changed` and raise a SoundError that says so.
        """
        rows = data.corpus.split("test")
        for column, control in (("intent", self.intent), ("speaker", self.speaker)):
            rows = rows[rows[column] == control.value] if control.value else rows
        if rows.empty:
            other = self.speaker if changed is self.intent else self.intent
            taken_back, other.value = other.label, ""
            raise SoundError(f"{changed.label} and {taken_back} do not go together here; now {changed.label}.")
        # new options choose the first of them
        rows = rows.sort_index(key=lambda index: index != self.utterance.value, kind="stable")
        self.utterance.options = [(f"{row.transcription} · {row.speaker}", row.Index) for row in rows.itertuples()]
