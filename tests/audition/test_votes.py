"""The blind vote: fair draws, votes that survive a restart, and their count."""

import numpy as np
import pandas as pd
import pytest

from jointlib.audition import votes
from jointlib.audition.sounds import SoundError
from jointlib.audition.votes import BlindVote
from jointlib.config import load_config

PLAN = pd.DataFrame({"path": [f"{n}.wav" for n in range(40)], "noise_type": "Typing", "snr_db": 5.0})
SERIES = {"voter": "007", "kind": "preference", "seed": 0, "trials": 3, "run_a": "jt", "run_b": "bn"}
TRIAL = {"utterance": "a.wav", "noise_type": "Typing", "snr_db": 5.0, "first": "A", "x": "B"}
RUNS = ("jt_alpha0.5_seed0", "bn_alpha0.5_seed0")


def vote(trial: int, chosen: str, **other) -> dict:
    return SERIES | TRIAL | {"trial": trial, "vote": chosen} | other


def test_the_same_seed_draws_the_same_trials():
    trials = votes.draw_trials(PLAN, 40, seed=3)
    pd.testing.assert_frame_equal(trials, votes.draw_trials(PLAN, 40, seed=3))
    assert trials.utterance.is_unique and list(trials.trial) == list(range(40))
    assert (PLAN.path[trials.row].to_numpy() == trials.utterance).all()
    assert (trials["first"] + trials.second).isin(["AB", "BA"]).all()
    assert list(votes.draw_trials(PLAN, 40, seed=4).utterance) != list(trials.utterance)


def test_order_and_x_are_independent_coin_flips():
    drawn = pd.concat([votes.draw_trials(PLAN, 40, seed) for seed in range(50)])
    assert (drawn.groupby(["first", "x"]).size() / len(drawn)).between(0.22, 0.28).all()  # 2,000 flips of each


def test_votes_are_kept_one_by_one_and_the_last_counts(tmp_path):
    file = tmp_path / "new" / "votes.csv"
    assert votes.read_votes(file).empty and votes.count_votes(votes.read_votes(file)).empty
    for trial, chosen in enumerate("AAB"):
        votes.append_vote(file, vote(trial, chosen))
        assert len(pd.read_csv(file)) == trial + 1
    votes.append_vote(file, vote(0, "B"))
    found = votes.read_votes(file)
    assert len(found) == 3 and found.vote[found.trial == 0].item() == "B" and set(found.voter) == {"007"}


def test_complete_series_are_counted():
    abx = {"kind": "abx", "trials": 2}
    cast = [vote(0, "B", **abx), vote(1, "A", **abx), vote(0, "A", voter="incomplete")]
    cast += [vote(trial, "A", trials=10) for trial in range(9)] + [vote(9, "B", trials=10)]
    table = votes.count_votes(pd.DataFrame(cast)).set_index("kind")
    assert table.votes.to_dict() == {"abx": 2, "preference": 10}
    assert table.successes.to_dict() == {"abx": 1, "preference": 9}
    assert table.p.to_dict() == pytest.approx({"abx": 1.0, "preference": 22 / 1024})  # 2 (10 + 1) of 2 ** 10 outcomes


@pytest.fixture
def config(tiny_profile, tiny_runs):
    config = load_config(tiny_profile)
    (config.summary / "votes.csv").unlink(missing_ok=True)
    return config


def cast(application: BlindVote, place: int) -> None:
    """As if the browser reported that every channel was played, and a button was pressed."""
    application.player.played = {name: application.player.sound[name] for name in ("revision", "names")}
    application.buttons[place].click()


@pytest.mark.parametrize("kind", ["preference", "abx"])
def test_a_blind_vote_continues_after_a_restart_and_ends_with_names(config, kind):
    first = BlindVote(config, *RUNS, "ann", kind, count=4)
    assert first.player.sound["names"] == ["1", "2", "X"][: 3 if kind == "abx" else 2]
    for trial in range(2):
        cast(first, 0)
        first.buttons[0].click()  # a second click must not vote on the next trial
        assert "Listen to 1 and 2" in first.status.value
        stored = pd.read_csv(config.summary / "votes.csv")
        assert stored.vote.iloc[-1] == first.trials["first"][trial] and len(stored) == trial + 1
    again = BlindVote(config, *RUNS, "ann", kind, count=4)
    assert "trial 3 of 4" in again.text.value and "jt" not in again.text.value
    other = BlindVote(config, *RUNS, 7, kind, count=4)
    cast(other, 0)
    assert "trial 2 of 4" in other.text.value
    other.name.value = "ann"
    assert "trial 3 of 4" in other.text.value
    for _ in range(2):
        cast(again, 1)
    stored = votes.read_votes(config.summary / "votes.csv").query("voter == 'ann'").reset_index()
    assert (stored.vote[2:] != again.trials["first"][2:]).all() and len(stored) == 4
    successes = (stored.vote == (stored.x if kind == "abx" else "A")).sum()
    assert f"in {successes} of 4 trials" in again.text.value and "A was jt_alpha0.5_seed0; B was bn" in again.text.value
    assert again.voting.layout.display == "none"


def test_x_is_the_waveform_that_it_names(config):
    blind = BlindVote(config, *RUNS, "x", "abx", count=6)
    for _, trial in blind.trials.iterrows():
        waves = np.frombuffer(blind.sound(trial)["audio"], np.int16).reshape(3, -1)
        same = 0 if trial["first"] == trial.x else 1
        assert np.array_equal(waves[2], waves[same]) and not np.array_equal(waves[2], waves[1 - same])


CANNOT = [({"run_a": "no"}, "not a finished"), ({"count": 13}, "13 trials")]


@pytest.mark.parametrize(("change", "words"), CANNOT)
def test_a_vote_that_cannot_be_is_refused(config, change, words):
    given = {"run_a": RUNS[0], "run_b": RUNS[1], "voter": "ann", "kind": "preference"} | change
    with pytest.raises((SoundError, FileNotFoundError), match=words):
        BlindVote(config, **given)
