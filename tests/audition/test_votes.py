import numpy as np
import pandas as pd
import pytest

from jointlib.audition import votes
from jointlib.audition.votes import BlindVote
from jointlib.config import load_config

PLAN = pd.DataFrame({"path": [f"{n}.wav" for n in range(40)], "noise_type": "Typing", "snr_db": 5.0})
SESSION = {"voter": "007", "kind": "preference", "seed": 0, "trials": 3, "run_a": "jt", "run_b": "bn"}
TRIAL = {"utterance": "a.wav", "noise_type": "Typing", "snr_db": 5.0, "first": "A", "x": "B"}
RUNS = ("jt_alpha0.5_seed0", "bn_alpha0.5_seed0")


def vote(trial: int, chosen: str, **other) -> dict:
    return SESSION | TRIAL | {"trial": trial, "vote": chosen} | other


def test_trials_repeat():
    trials = votes.draw_trials(PLAN, 40, seed=3)
    pd.testing.assert_frame_equal(trials, votes.draw_trials(PLAN, 40, seed=3))
    assert trials.utterance.is_unique and list(trials.trial) == list(range(40))
    assert (PLAN.path[trials.row].to_numpy() == trials.utterance).all()
    assert (trials["first"] + trials.second).isin(["AB", "BA"]).all()
    for other in (votes.draw_trials(PLAN, 40, seed=4), votes.draw_trials(PLAN, 39, seed=3)):
        assert list(other.utterance[:5]) != list(trials.utterance[:5])  # a longer series is another one


def test_another_series_has_new_utterances():
    drawn = [votes.draw_trials(PLAN, 12, seed=3, series=series) for series in range(3)]
    together = pd.concat(drawn)
    assert together.utterance.is_unique and list(together.trial) == list(range(36))
    pd.testing.assert_frame_equal(drawn[0], votes.draw_trials(PLAN, 12, seed=3))
    with pytest.raises(votes.VoteError, match="All 40 utterances but 4 were voted on; go on with another seed"):
        votes.draw_trials(PLAN, 12, seed=3, series=3)


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
    file.write_text(file.read_text() + "2026-01-01,007,preference,0,3")  # a line that was cut short
    found = votes.read_votes(file)
    assert len(found) == 3 and found.vote[found.trial == 0].item() == "B" and set(found.voter) == {"007"}


def test_a_foreign_file_is_left_alone(tmp_path):
    (tmp_path / "votes.csv").write_text("a,b\n1,2\n")
    for step in (votes.read_votes, lambda file: votes.append_vote(file, vote(0, "A"))):
        with pytest.raises(votes.VoteError, match="has the columns"):
            step(tmp_path / "votes.csv")
    assert (tmp_path / "votes.csv").read_text() == "a,b\n1,2\n"


@pytest.mark.parametrize(
    ("successes", "of", "low", "high"),
    [(0, 10, 0.0, 1 - 0.025**0.1), (10, 10, 0.025**0.1, 1.0), (7, 10, 0.3475, 0.9333), (50, 100, 0.3983, 0.6017)],
)
def test_exact_interval(successes, of, low, high):  # the last two as tabulated for Clopper and Pearson
    cast = pd.DataFrame([vote(trial, "A" if trial < successes else "B", trials=of) for trial in range(of)])
    (row,) = votes.count_votes(cast).itertuples()
    assert (row.votes, row.successes, row.share) == (of, successes, successes / of)
    assert (row.low, row.high) == pytest.approx((low, high), abs=1e-4)


def test_abx_counts_what_was_found_in_complete_series():
    series = {"kind": "abx", "trials": 2}
    cast = [vote(0, "B", **series), vote(1, "A", **series), vote(2, "A", trials=1), vote(0, "A", voter="bob")]
    cast += [vote(2, "B", **series)]  # begins another series
    table = votes.count_votes(pd.DataFrame(cast)).set_index("kind")
    assert table.successes.to_dict() == {"abx": 1, "preference": 1}
    assert table.votes.to_dict() == {"abx": 2, "preference": 1}


def test_the_figure_shows_share_and_interval():
    table = votes.count_votes(pd.DataFrame([vote(trial, "AB"[trial % 2], trials=10) for trial in range(10)]))
    (axis,) = votes.vote_shares(table).axes
    assert np.allclose(axis.lines[0].get_xdata(), 0.5)
    assert "share of votes" in axis.get_xlabel() and "A = jt preferred to B = bn (5 of 10)" in axis.texts[0].get_text()


@pytest.fixture
def config(tiny_profile, tiny_runs):
    config = load_config(tiny_profile)
    (config.summary / "votes.csv").unlink(missing_ok=True)
    return config


def cast(application: BlindVote, place: int) -> None:
    """As if the browser reported that every channel was played, and a button was pressed."""
    application.player.played = {name: application.player.sound[name] for name in ("revision", "names")}
    application.buttons[place].click()


def test_another_series_keeps_the_votes_before(config):
    blind = BlindVote(config, *RUNS, "ann", "preference", count=5)
    for _ in range(5):
        cast(blind, 0)
    assert "of 5 trials" in blind.text.value
    blind.another.click()
    assert "trial 1 of 5, series 2" in blind.text.value
    cast(blind, 1)
    again = BlindVote(config, *RUNS, "ann", "preference", count=5)
    assert "trial 2 of 5, series 2" in again.text.value
    for _ in range(4):
        cast(again, 1)
    assert "of 10 trials" in again.text.value and len(votes.read_votes(again.file)) == 10
    again.another.click()
    assert "All 12 utterances but 2 were voted on" in again.status.value and "of 10 trials" in again.text.value
    again.name.value = "bob"
    assert "trial 1 of 5 " not in again.text.value and "trial 1 of 5</small>" in again.text.value


@pytest.mark.parametrize("kind", ["preference", "abx"])
def test_a_blind_vote_goes_on_and_ends_with_names(config, kind):
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
    assert f"in {successes} of 4 trials" in again.text.value
    assert "A was JT, α = 0.5, seed 0 · tiny; B was BN" in again.text.value
    assert bytes(again.figure.value).startswith(b"\x89PNG")
    assert "of 4 trials" in BlindVote(config, *RUNS, "ann", kind, count=4).text.value


def test_x_is_the_wave_that_it_names(config):
    blind = BlindVote(config, *RUNS, "x", "abx", count=6)
    for _, trial in blind.trials.iterrows():
        waves = np.frombuffer(blind.sound(trial)["audio"], np.int16).reshape(3, -1)
        same = 0 if trial["first"] == trial.x else 1
        assert np.array_equal(waves[2], waves[same]) and not np.array_equal(waves[2], waves[1 - same])


CANNOT = [({"run_a": "no"}, "not a finished run"), ({"kind": "mushra"}, "unknown kind"), ({"count": 13}, "13 trials")]


@pytest.mark.parametrize(("change", "words"), [*CANNOT, ({"count": 0}, "0 trials asked for; there are 1 to 12")])
def test_a_vote_that_cannot_be_says_why(config, change, words, capfd):
    given = {"run_a": RUNS[0], "run_b": RUNS[1], "voter": "ann", "kind": "preference"} | change
    assert words in BlindVote(config, **given).status.value
    assert "Traceback" not in capfd.readouterr().err
