"""The blind vote: trials drawn with a seed, votes appended to a CSV file, their counts, and the application."""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from ipywidgets import HTML, Button, Text, VBox
from scipy.stats import binomtest

from jointlib.audition import sounds
from jointlib.audition.widgets import Application, Player, box, card, html
from jointlib.config import Config
from jointlib.corpora.batches import load_data
from jointlib.runs.folder import own_or_shipped

QUESTIONS = {"preference": "Which sounds better?", "abx": "Which of the two is X?"}  # by kind of vote
SERIES = ("voter", "kind", "seed", "trials", "run_a", "run_b")  # identify a series of trials
TRIAL = ("trial", "utterance", "noise_type", "snr_db", "first", "x")
COLUMNS = ("time", *SERIES, *TRIAL, "vote")


def draw_trials(plan: pd.DataFrame, count: int, seed: int) -> pd.DataFrame:
    """Draw `count` different rows of a contamination plan: the columns of `TRIAL`, row (of the plan) and second. The
    sounds of first, second and x are each of run "A" or "B". SoundError: more trials than rows, or none."""
    if not 1 <= count <= len(plan):
        raise sounds.SoundError(f"{count} trials requested; choose 1 to {len(plan)}, the number of test utterances.")
    rng = np.random.default_rng([seed, count])
    rows = rng.permutation(len(plan))[:count]
    first, x = rng.choice(["A", "B"], size=(2, count))  # not balanced: otherwise the last answers could be guessed
    second = np.where(first == "A", "B", "A")
    drawn = plan.iloc[rows].reset_index(drop=True)[["path", "noise_type", "snr_db"]]
    drawn = drawn.rename(columns={"path": "utterance"})
    return drawn.assign(trial=range(count), row=rows, first=first, second=second, x=x)


def append_vote(file: Path, vote: Mapping[str, Any]) -> None:
    """Append a vote to a CSV file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    row = {"time": datetime.now(UTC).isoformat(timespec="seconds"), **vote}
    pd.DataFrame([row], columns=COLUMNS).to_csv(file, mode="a", header=not file.exists(), index=False)


def read_votes(file: Path) -> pd.DataFrame:
    """Every vote so far, the last one for each trial."""
    if not file.exists():
        return pd.DataFrame(columns=COLUMNS)
    votes = pd.read_csv(file, dtype={"voter": str}, keep_default_na=False)  # a voter may be called NA
    return votes.drop_duplicates([*SERIES, "trial"], keep="last", ignore_index=True)


def count_votes(votes: pd.DataFrame) -> pd.DataFrame:
    """Count the votes in complete series, by kind and runs, voters together: kind, run_a, run_b, votes, successes
    (votes for A; correct answers in abx), and p of an exact two-sided binomial test against one half."""
    complete = votes.groupby(list(SERIES)).filter(lambda votes: len(votes) >= votes.trials.iloc[0])
    complete = complete.assign(success=complete.vote == complete.x.where(complete.kind == "abx", "A"))
    counts = complete.groupby(["kind", "run_a", "run_b"]).success.agg(votes="size", successes="sum").reset_index()
    return counts.assign(p=[binomtest(row.successes, row.votes).pvalue for row in counts.itertuples()])


class BlindVote(Application):
    """`count` trials with test utterances, the runs unnamed until the end. Every vote goes to votes.csv at once.

    `run_a` and `run_b` are names of finished runs, `kind` is one of `QUESTIONS`, `seed` draws utterances and order.
    Raises as `load_run` and `load_data`, and SoundError: too few utterances.
    """

    def __init__(self, config: Config, run_a: str, run_b: str, voter: str, kind: str, count: int = 10, seed: int = 0):
        super().__init__()
        self.data, self.file = load_data(config), config.summary / "votes.csv"
        self.trials = draw_trials(self.data.plan("test"), count, seed)
        folders = {"A": own_or_shipped(config, run_a), "B": own_or_shipped(config, run_b)}
        self.runs = {lane: sounds.open_run(folder, config.torch_device) for lane, folder in folders.items()}
        self.series = dict(zip(SERIES, (str(voter), kind, seed, count, run_a, run_b), strict=True))
        self.name = Text(str(voter), description="Name", continuous_update=False)
        self.text, self.player = HTML(), Player(picture=False)
        self.buttons = [Button(description=f"X is {n}" if kind == "abx" else f"{n} is better") for n in (1, 2)]
        self.voting = VBox([self.player, box("jl-row", *self.buttons)])
        self.children = [self.status, card("", self.name, self.text, self.voting)]
        self.add_class("jl-vote")
        self.on(self.next, self.name)
        for place, button in zip(("first", "second"), self.buttons, strict=True):
            self.on(partial(self.vote, place), button)
        self.next()

    def next(self) -> None:
        """Show the first trial without a vote of the named voter, or the result."""
        self.series["voter"] = self.name.value
        votes = read_votes(self.file)
        mine = votes[(votes[list(SERIES)] == self.series).all(axis=1)]
        left = self.trials[~self.trials.trial.isin(mine.trial)]
        if left.empty:
            self.text.value = html.vote_result(count_votes(mine).iloc[0], self.file)
            self.voting.layout.display = "none"
        else:
            self.trial, question = left.iloc[0], QUESTIONS[self.series["kind"]]
            self.text.value = html.question(question, self.trial.trial + 1, len(self.trials))
            self.player.load(self.sound(self.trial))
            self.voting.layout.display = "flex"

    def sound(self, trial: pd.Series) -> dict[str, Any]:
        """The enhanced waveforms of a trial, in its order, and X; nothing in it names their runs."""
        _, noisy, _ = self.data.example(trial.row)
        waves = {lane: sounds.enhance(run, noisy).wave for lane, run in self.runs.items()}
        order = {"1": "first", "2": "second"} | ({"X": "x"} if self.series["kind"] == "abx" else {})
        return sounds.player_sound({name: waves[trial[column]] for name, column in order.items()})

    def vote(self, place: str) -> None:
        """Record a vote for the "first" or the "second" sound. SoundError until both, and X, were played: this also
        protects the next trial from a double click."""
        played, sound = self.player.played, self.player.sound
        if played.get("revision") != sound["revision"] or set(played["names"]) != set(sound["names"]):
            raise sounds.SoundError(f"Listen to {' and '.join(sound['names'])} first.")
        append_vote(self.file, {**self.series, **self.trial[list(TRIAL)], "vote": self.trial[place]})
        self.next()
