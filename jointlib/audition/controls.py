"""The audition's controls and how they are laid out; what follows from them is in `application`."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from ipywidgets import HTML, Button, Dropdown, FloatSlider, ToggleButtons

from jointlib.audition.panels import short
from jointlib.audition.sounds import SoundError
from jointlib.audition.widgets import Player, SoundInput, card, columns, row, typed
from jointlib.corpora.batches import Data


class Controls:
    """Every widget of the audition by name, and `cards`, which holds them.

    Args:
        source: the input of the researcher's own sounds. titles: title -> folder of every finished run.
        run_a, run_b, listener: folders of the runs chosen at first, where they are finished. snr_db: at first.
    """

    def __init__(
        self, source: SoundInput, titles: Mapping[str, Path], run_a: Path, run_b: Path, listener: Path, snr_db: float
    ):
        nothing = [("none", "")]  # not None, which ipywidgets takes for nothing chosen
        runs = nothing + list(titles.items())
        classifiers = [(title, folder) for title, folder in titles.items() if folder.name.startswith("classifier_")]
        anyone = [("any", "")]
        self.intent = Dropdown(description="Intent", options=anyone)
        self.speaker = Dropdown(description="Speaker", options=anyone)
        self.utterance = Dropdown(description="Utterance")
        self.random = Button(description="At random", icon="random")
        self.sound = HTML()
        self.noise = Dropdown(description="Type", options=nothing)
        self.snr_db = FloatSlider(snr_db, min=-10, max=30, step=1, description="SNR (dB)", readout=False)
        self.another = Button(description="Another excerpt", icon="refresh")
        self.runs = {lane: Dropdown(description=f"Run {lane}", options=runs) for lane in "AB"}
        self.listener = Dropdown(description="Listener", options=classifiers or nothing)
        for control, folder in zip((*self.runs.values(), self.listener), (run_a, run_b, listener), strict=True):
            if folder in titles.values():
                control.value = folder
        self.removed_by = ToggleButtons(description="Residual of", options=["A", "B"])
        self.strength = FloatSlider(1.0, min=0, max=1, step=0.05, description="Strength", readout=False)
        self.strips, self.readings, self.quality = HTML(), HTML(), HTML()
        self.player = Player()
        self.export = Button(description="Export wav and PNG", icon="download")
        self.cards = [
            columns(
                card("Source", self.intent, self.speaker, self.utterance, row(self.random, source), self.sound),
                card("Noise", self.noise, typed(self.snr_db), row(self.another)),
                card("Models", *self.runs.values(), self.listener, self.removed_by),
            ),
            card("Strength: 0 is the noisy input, 1 all of the enhancement", typed(self.strength), self.strips),
            card("", self.readings),
            card("", self.player),
            columns(card("Quality, against clean speech", self.quality), card("Export", row(self.export))),
        ]

    def offer(self, data: Data) -> None:
        """Offer a corpus' test utterances and test noises."""
        rows = data.corpus.split("test")
        self.intent.options = [("any", ""), *((short(name), name) for name in sorted(rows.intent.unique()))]
        self.speaker.options = [("any", ""), *((name, name) for name in sorted(rows.speaker.unique()))]
        kinds = sorted(data.noises["test"].manifest.type.unique())
        self.noise.options = [("none", ""), *((name, name) for name in kinds)]
        self.offer_utterances(data, self.intent)

    def offer_utterances(self, data: Data, changed: Dropdown) -> None:
        """Offer the test utterances of the intent and the speaker that are chosen; the present one stays if it may.

        Raises:
            SoundError: there is none, and the choice that was not `changed` was taken back.
        """
        rows = data.corpus.split("test")
        for column, control in (("intent", self.intent), ("speaker", self.speaker)):
            rows = rows[rows[column] == control.value] if control.value else rows
        if rows.empty:
            other = self.speaker if changed is self.intent else self.intent
            taken_back, other.value = other.label, ""
            raise SoundError(
                f"{changed.label} and {taken_back} do not go together in this corpus; now {changed.label}."
            )
        rows = pd.concat([rows[rows.index == self.utterance.value], rows[rows.index != self.utterance.value]])
        self.utterance.options = [(f"{row.transcription} · {row.speaker}", row.Index) for row in rows.itertuples()]
