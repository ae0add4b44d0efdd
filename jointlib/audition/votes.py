"""The blind vote: trials drawn by a seed, votes kept one by one, their counts, and the application that asks."""

import io
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from filelock import FileLock
from ipywidgets import HTML, Button, Image, Text
from matplotlib.figure import Figure
from scipy.stats import binomtest

from jointlib.audition import sounds
from jointlib.audition.widgets import Application, Player, box, card, html
from jointlib.config import Config, unknown
from jointlib.corpora.batches import load_data
from jointlib.runs.folder import titled_runs
from jointlib.support.files import write_csv

KINDS = {"preference": "Which sounds better?", "abx": "Which of the two is X?"}
SESSION = ("voter", "kind", "seed", "trials", "run_a", "run_b")  # what tells one voter's series of trials from another
TRIAL = ("trial", "utterance", "noise_type", "snr_db", "first", "x")
COLUMNS = ("time", *SESSION, *TRIAL, "vote")


class VoteError(sounds.SoundError):
    """A vote that cannot be held or kept, in one line of plain words."""


def draw_trials(plan: pd.DataFrame, count: int, seed: int, series: int = 0) -> pd.DataFrame:
    """Draw `count` rows of a contamination plan without replacement; the same seed and count draw the same trials.

    Each further series (from 0) has rows that none before it had. Returns a row per trial: utterance (its path),
    noise_type, snr_db, trial (which goes on from series to series), row (of the plan), and "A" or "B" as first, second
    and x. VoteError: more trials than rows, or none.
    """
    if not 1 <= count <= len(plan):
        raise VoteError(f"{count} trials asked for; there are 1 to {len(plan)}, one an utterance.")
    rng = np.random.default_rng([seed, count])  # a longer series must not begin with what was voted on already
    trials = np.arange(series * count, (series + 1) * count)
    if trials[-1] >= len(plan):
        raise VoteError(f"All {len(plan)} utterances but {len(plan) % count} were voted on; go on with another seed.")
    rows = rng.permutation(len(plan))[trials]
    # coin flips; were they balanced, answers would be dependent
    first, x = rng.choice(["A", "B"], size=(series + 1, 2, count))[series]
    drawn = plan.iloc[rows].reset_index(drop=True).rename(columns={"path": "utterance"})
    drawn = drawn[["utterance", "noise_type", "snr_db"]].assign(trial=trials, row=rows, first=first, x=x)
    return drawn.assign(second=np.where(first == "A", "B", "A"))


def append_vote(file: Path, vote: Mapping[str, Any]) -> None:
    """Add a vote to a CSV, on the disk when this returns; VoteError if the file has other columns."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(file.with_name(f".{file.name}.lock")):  # each open page has a kernel of its own
        new = {"time": datetime.now(UTC).isoformat(timespec="seconds"), **vote}
        write_csv(file, pd.DataFrame([*read_votes(file).to_dict("records"), new], columns=COLUMNS))


def read_votes(file: Path) -> pd.DataFrame:
    """Every vote so far, the last one where a trial was voted on twice; VoteError if the file has other columns."""
    if not file.exists():
        return pd.DataFrame(columns=COLUMNS)
    missing = {name: [""] for name in COLUMNS if name != "voter"}  # whoever is called NA or null has a name
    votes = pd.read_csv(file, dtype={"voter": str}, keep_default_na=False, na_values=missing)
    if tuple(votes.columns) != COLUMNS:
        raise VoteError(f"{file} has the columns {[*votes]}; votes have {[*COLUMNS]}. Move it away to begin a new one.")
    votes = votes.dropna()  # a line that was cut short is no vote
    return votes.drop_duplicates([*SESSION, "trial"], keep="last", ignore_index=True)


def count_votes(votes: pd.DataFrame) -> pd.DataFrame:
    """Count the votes of each kind and pair of runs, all voters together; only series of trials that are complete.

    Returns kind, run_a, run_b, votes, successes (votes for A; right answers in abx), share, its exact (Clopper-Pearson)
    95 % interval low to high, two-sided p against one half. Votes of one voter are counted as independent.
    """
    series = (votes.trial // votes.trials).rename("series")
    votes = votes.groupby([*SESSION, series]).filter(lambda votes: len(votes) >= votes.trials.iloc[-1])
    rows = []
    for (kind, run_a, run_b), group in votes.groupby(["kind", "run_a", "run_b"]):
        test = binomtest(int((group.vote == (group.x if kind == "abx" else "A")).sum()), len(group))
        low, high = test.proportion_ci(0.95, method="exact")
        rows.append((kind, run_a, run_b, test.n, test.k, test.statistic, low, high, test.pvalue))
    return pd.DataFrame(rows, columns=["kind", "run_a", "run_b", "votes", "successes", "share", "low", "high", "p"])


def vote_shares(table: pd.DataFrame) -> Figure:
    """Draw the shares of `count_votes` with their intervals, a line for each row; dashed: no difference."""
    figure, axis = plt.subplots(figsize=(8, 1.3 + 0.8 * len(table)), layout="tight")
    width = [table.share - table.low, table.high - table.share]
    axis.errorbar(table.share, range(len(table)), xerr=width, fmt="o", ms=9, capsize=5)
    axis.axvline(0.5, color="0.4", linestyle="--")
    titles = {"preference": "A = {} preferred to B = {}", "abx": "X found, A = {}, B = {}"}
    for place, found in enumerate(table.itertuples()):
        text = f"{titles[found.kind].format(found.run_a, found.run_b)} ({found.successes} of {found.votes})"
        axis.text(0, place - 0.25, text, fontsize=10, backgroundcolor="white")
    axis.set(xlim=(-0.02, 1.02), ylim=(len(table) - 0.5, -0.7), yticks=[], xlabel="share of votes, 95 % interval")
    return figure


class BlindVote(Application):
    """`count` trials over test utterances, without names until the end; votes go to votes.csv of the results at once.

    `run_a` and `run_b` are names of finished runs, `kind` is one of `KINDS`, `seed` draws utterances and their order.
    """

    def __init__(self, config: Config, run_a: str, run_b: str, voter: str, kind: str, count: int = 10, seed: int = 0):
        super().__init__()
        self.config, self.file = config, config.summary / "votes.csv"
        self.session = dict(zip(SESSION, (str(voter), kind, seed, count, run_a, run_b), strict=True))
        self.add_class("jl-vote")
        self.name = Text(str(voter), description="Name", continuous_update=False)
        self.text, self.player, self.figure = HTML(), Player(picture=False), Image()
        self.buttons = [Button(description=f"X is {n}" if kind == "abx" else f"{n} is better") for n in (1, 2)]
        self.trial_card = card("", self.name, self.text, self.player, box("jl-row", *self.buttons))
        self.another = Button(description="Another series", icon="refresh", tooltip="new pairs; these votes are kept")
        self.result_card = card("", self.name, self.text, box("jl-row", self.another), self.figure)
        self.children = [self.status]
        self.attempt(self._open)

    def _open(self) -> None:
        if self.session["kind"] not in KINDS:
            raise VoteError(unknown("kind of vote", self.session["kind"], KINDS))
        folders = {lane: self.config.folder / "runs" / self.session[f"run_{lane.lower()}"] for lane in "AB"}
        self.runs = {lane: sounds.open_run(folder, self.config.torch_device) for lane, folder in folders.items()}
        self.data = load_data(self.config)
        self.plan = self.data.plan("test")
        self.on(self.resume, self.name)
        self.on(lambda: self.begin(self.series + 1), self.another)
        for place, button in zip(("first", "second"), self.buttons, strict=True):
            self.on(partial(self.vote, place), button)
        self.resume()

    def mine(self) -> pd.DataFrame:
        """The voter's votes so far, in all series."""
        votes = read_votes(self.file)
        return votes[(votes[list(SESSION)] == self.session).all(axis=1)]

    def resume(self) -> None:
        """Go to the last series that whoever is named has begun."""
        self.session["voter"] = self.name.value
        voted = self.mine().trial
        self.begin(0 if voted.empty else int(voted.max()) // self.session["trials"])

    def begin(self, series: int) -> None:
        """Go to a series (from 0); VoteError if too few utterances are left for it."""
        self.trials = draw_trials(self.plan, self.session["trials"], self.session["seed"], series)
        self.series = series
        self.next()

    def next(self) -> None:
        """Go to the first trial of the series without a vote, or to the result."""
        mine = self.mine()
        left = self.trials[~self.trials.trial.isin(mine.trial)]
        if left.empty:
            self._show_result(mine)
            return
        self.trial = left.iloc[0]
        number = self.trial.trial - self.trials.trial[0] + 1
        self.text.value = html.question(KINDS[self.session["kind"]], number, len(self.trials), self.series + 1)
        self.player.load(self.sound(self.trial))
        self.children = [self.status, self.trial_card]

    def sound(self, trial: pd.Series) -> dict[str, Any]:
        """A trial's enhanced waves, in its order, and X, as the player wants them; nothing names their runs."""
        planned = self.plan.iloc[trial.row]
        speech = self.data.corpus.audio.wave(planned.utterance)
        noise = self.data.noises["test"].stretch(planned.noise, planned.offset, len(speech))
        _, noisy = sounds.contaminate(speech, noise, planned.snr_db, self.config.mixer)
        waves = {lane: sounds.enhance(run, noisy).wave for lane, run in self.runs.items()}
        names = {"1": "first", "2": "second"} | ({"X": "x"} if self.session["kind"] == "abx" else {})
        return sounds.player_sound({name: waves[trial[column]] for name, column in names.items()})

    def vote(self, place: str) -> None:
        """Keep a vote for the "first" or the "second" sound, and go on; VoteError until both, and X, were played."""
        played, sound = self.player.played, self.player.sound
        # a second click on the button of the trial before must not vote on this one
        if played.get("revision") != sound["revision"] or set(played["names"]) != set(sound["names"]):
            raise VoteError(f"Listen to {' and '.join(sound['names'])} first.")
        append_vote(self.file, {**self.session, **self.trial[list(TRIAL)], "vote": self.trial[place]})
        self.next()

    def _show_result(self, mine: pd.DataFrame) -> None:
        table = count_votes(mine)
        titles, _ = titled_runs(self.config.folder.parent)
        names = [title for run in self.runs.values() for title, folder in titles.items() if folder == run.folder]
        self.text.value = html.vote_result(table.iloc[0], *names, self.file)
        figure, image = vote_shares(table), io.BytesIO()
        figure.savefig(image, format="png")
        plt.close(figure)
        self.figure.value = image.getvalue()
        self.children = [self.status, self.result_card]
