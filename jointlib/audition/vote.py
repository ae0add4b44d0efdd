"""The blind vote in a notebook: two runs, one player, no names until the end."""

import io
from html import escape
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from ipywidgets import HTML, Button, Image, Text

from jointlib.audition import sounds as audition
from jointlib.audition import votes
from jointlib.audition.widgets import Application, Player, card, row
from jointlib.config import Config, unknown
from jointlib.corpora.batches import load_data
from jointlib.runs import drawings
from jointlib.runs.folder import titled_runs


class BlindVote(Application):
    """Trials over test utterances; every vote goes to votes.csv of the results at once, and a second start goes on.

    Args:
        config: names the corpus and the results folder. run_a, run_b: names of finished runs of the profile.
        voter: who votes, at first. count: trials. seed: of the draw of utterances and of their order.
        kind: "preference", which of two sounds better, or "abx", which of the two is X.
    """

    def __init__(
        self,
        config: Config,
        run_a: str,
        run_b: str,
        voter: str = "anonymous",
        count: int = 10,
        kind: str = "preference",
        seed: int = 0,
    ):
        super().__init__()
        self.config, self.file = config, config.summary / "votes.csv"
        self.trial = None
        self.session = dict(zip(votes.SESSION, (str(voter), kind, seed, count, run_a, run_b), strict=True))
        self.add_class("jl-vote")
        self.name = Text(str(voter), description="Name", continuous_update=False)
        self.question, self.result, self.figure, self.player = HTML(), HTML(), Image(), Player(picture=False)
        self.buttons = {place: Button() for place in (1, 2)}
        for place, button in self.buttons.items():
            button.on_click(self.plainly(lambda place=place: self.vote(place)))
        self.children = (self.status, card("", self.name))
        self.name.observe(self.plainly(self._begin), "value")
        self.plainly(self._begin)()

    def _begin(self) -> None:
        kind = self.session["kind"]
        if kind not in votes.KINDS:
            raise audition.SoundError(unknown("kind of vote", kind, votes.KINDS))
        self.session["voter"] = self.name.value
        folders = {lane: self.config.folder / "runs" / self.session[f"run_{lane.lower()}"] for lane in "AB"}
        self.runs = {lane: audition.open_run(folder, self.config.torch_device) for lane, folder in folders.items()}
        self.data = load_data(self.config)
        self.plan = self.data.plan("test")
        self.trials = votes.draw_trials(self.plan, self.session["trials"], self.session["seed"])
        for place, button in self.buttons.items():
            button.description = f"X is {place}" if kind == "abx" else f"{place} is better"
        self.children = (self.status, card("", self.name, self.question, self.player, row(*self.buttons.values())))
        self.next()

    def next(self) -> None:
        """Go to the first trial without a vote, or to the result."""
        mine = votes.read_votes(self.file)
        for name, value in self.session.items():
            mine = mine[mine[name] == value]
        left = self.trials[~self.trials.trial.isin(mine.trial)]
        if left.empty:
            self.show_result(mine[mine.trial.isin(self.trials.trial)])
            return
        trial = left.iloc[0]
        number = f"trial {trial.trial + 1} of {len(self.trials)}"
        question = votes.KINDS[self.session["kind"]]
        self.question.value = f'<div class="jl-question">{question} <small>{number}</small></div>'
        self.player.load(self.sound(trial))
        self.trial = trial

    def sound(self, trial: pd.Series) -> dict[str, Any]:
        """A trial's two enhanced waves, in its order, and X; loudness-matched, and nothing that names them."""
        planned = self.plan.iloc[trial.row]
        speech = self.data.corpus.audio.wave(planned.utterance)
        noise = self.data.noises["test"].stretch(planned.noise, planned.offset, len(speech))
        _, noisy = audition.contaminate(speech, noise, planned.snr_db, self.config.mixer)
        made = {lane: audition.take(run, noisy).enhanced for lane, run in self.runs.items()}
        waves = {"1": made[trial["first"]], "2": made["B" if trial["first"] == "A" else "A"]}
        waves |= {"X": made[trial.x]} if self.session["kind"] == "abx" else {}
        gains = audition.loudness_gains(waves)
        return audition.player_sound(waves, gains)

    def vote(self, place: int) -> None:
        """Keep a vote for what was heard as 1 or as 2, and go on.

        Raises:
            VoteError: not all of this trial was played yet, as after a second click on the button of the trial before.
        """
        heard, names = self.player.heard, self.player.sound["names"]
        if heard.get("revision") != self.player.sound["revision"] or set(heard["names"]) != set(names):
            raise votes.VoteError(f"Listen to {', '.join(names[:-1])} and {names[-1]} first.")
        first = self.trial["first"]
        chosen = first if place == 1 else "B" if first == "A" else "A"
        values = {name: self.trial[name] for name in votes.TRIAL}
        votes.append_vote(self.file, {**self.session, **values, "vote": chosen})
        self.next()

    def show_result(self, mine: pd.DataFrame) -> None:
        """The names, the share with its interval, and a figure; of this voter and series only."""
        table = votes.summary(mine)
        found = table.iloc[0]
        what = "A was preferred" if found["kind"] == "preference" else "X was found"
        titles = {folder: title for title, folder in titled_runs(self.config.folder.parent).items()}
        run_a, run_b = (titles[self.runs[lane].folder] for lane in "AB")
        text = (
            f"{what} in {found['count']} of {found.votes} trials: {found.share:.0%}, 95 % interval {found.low:.0%} to "
            f"{found.high:.0%}. A was {run_a}; B was {run_b}. Kept in {self.file}."
        )
        figure = drawings.vote_shares(table)
        image = io.BytesIO()
        figure.savefig(image, format="png")
        plt.close(figure)
        self.result.value = f'<div class="jl-question">{escape(text)}</div>'
        self.figure.value = image.getvalue()
        self.children = (self.status, card("", self.name, self.result, self.figure))
