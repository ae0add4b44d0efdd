import numpy as np
import pandas as pd
import pytest

from jointlib import votes
from jointlib.runs.drawings import vote_shares

PLAN = pd.DataFrame({"path": [f"{n}.wav" for n in range(40)], "noise_type": "Typing", "snr_db": 5.0})
SESSION = {"voter": "007", "kind": "preference", "seed": 0, "trials": 3, "run_a": "jt", "run_b": "bn"}


def vote(trial: int, chosen: str, **other) -> dict:
    row = {
        "trials": 3,
        "trial": trial,
        "utterance": "a.wav",
        "noise_type": "Typing",
        "snr_db": 5.0,
        "first": "A",
        "x": "B",
    }
    return SESSION | row | {"vote": chosen} | other


@pytest.mark.parametrize("count", [1, 7, 40])
def test_trials_repeat(count):
    trials = votes.draw_trials(PLAN, count, seed=3)
    pd.testing.assert_frame_equal(trials, votes.draw_trials(PLAN, count, seed=3))
    assert trials.utterance.is_unique and list(trials.trial) == list(range(count))
    assert (PLAN.path[trials.row].to_numpy() == trials.utterance).all()


def test_order_and_x_are_independent_coin_flips():
    drawn = pd.concat([votes.draw_trials(PLAN, 40, seed) for seed in range(50)])
    assert (drawn.groupby(["first", "x"]).size() / len(drawn)).between(0.22, 0.28).all()  # 2,000 flips of each


def test_other_seeds_draw_other_trials():
    drawn = [list(votes.draw_trials(PLAN, count, seed).utterance[:10]) for count, seed in ((10, 0), (10, 1), (20, 0))]
    assert drawn[0] != drawn[1] and drawn[0] != drawn[2]


@pytest.mark.parametrize("count", [0, 41])
def test_impossible_counts(count):
    with pytest.raises(votes.VoteError, match=f"{count} trials asked for; there are 1 to 40"):
        votes.draw_trials(PLAN, count, 0)


def test_votes_are_kept_one_by_one_and_the_last_counts(tmp_path):
    file = tmp_path / "new" / "votes.csv"
    assert votes.read_votes(file).empty and votes.summary(votes.read_votes(file)).empty
    for trial, chosen in enumerate("AAB"):
        votes.append_vote(file, vote(trial, chosen))
        assert len(votes.read_votes(file)) == trial + 1
    votes.append_vote(file, vote(0, "B"))
    found = votes.read_votes(file)
    assert len(found) == 3 and found.vote[found.trial == 0].item() == "B" and set(found.voter) == {"007"}


@pytest.mark.parametrize("cut", [1, 2, 20, 60])
def test_half_a_vote_is_no_vote(tmp_path, cut):
    file = tmp_path / "votes.csv"
    for trial in range(3):
        votes.append_vote(file, vote(trial, "A"))
    file.write_bytes(file.read_bytes()[:-cut])  # the kernel was killed while it wrote
    assert len(votes.read_votes(file)) == 2
    votes.append_vote(file, vote(2, "B"))
    assert list(votes.read_votes(file).vote) == ["A", "A", "B"]


def test_who_is_still_voting_is_left_out():
    series = [vote(trial, "A") for trial in range(3)] + [vote(trial, "A", voter="bob") for trial in range(2)]
    found = votes.finished(pd.DataFrame(series))
    assert set(found.voter) == {"007"} and len(found) == 3
    assert votes.finished(pd.DataFrame(columns=votes.COLUMNS)).empty


def test_a_foreign_file_is_left_alone(tmp_path):
    (tmp_path / "votes.csv").write_text("a,b\n1,2\n")
    for step in (
        lambda: votes.read_votes(tmp_path / "votes.csv"),
        lambda: votes.append_vote(tmp_path / "votes.csv", vote(0, "A")),
    ):
        with pytest.raises(ValueError, match="has the columns"):
            step()
    assert (tmp_path / "votes.csv").read_text() == "a,b\n1,2\n"


@pytest.mark.parametrize(
    ("count", "of", "low", "high"),
    [(0, 10, 0.0, 1 - 0.025**0.1), (10, 10, 0.025**0.1, 1.0), (7, 10, 0.3475, 0.9333), (50, 100, 0.3983, 0.6017)],
)
def test_exact_interval(count, of, low, high):  # the last two as tabulated for Clopper and Pearson
    cast = pd.DataFrame([vote(trial, "A" if trial < count else "B") for trial in range(of)])
    (row,) = votes.summary(cast).itertuples()
    assert (row.votes, row.count, row.share) == (of, count, count / of)
    assert (row.low, row.high) == pytest.approx((low, high), abs=1e-4)


def test_abx_counts_what_was_found():
    cast = pd.DataFrame([vote(0, "B", kind="abx"), vote(1, "A", kind="abx"), vote(2, "A")])
    table = votes.summary(cast).set_index("kind")
    assert table["count"].to_dict() == {"abx": 1, "preference": 1} and table.votes.to_dict() == {
        "abx": 2,
        "preference": 1,
    }


def test_the_figure_shows_share_and_interval():
    table = votes.summary(pd.DataFrame([vote(trial, "AB"[trial % 2]) for trial in range(10)]))
    (axis,) = vote_shares(table).axes
    assert np.allclose(axis.lines[0].get_xdata(), 0.5)
    assert "share of votes" in axis.get_xlabel() and "A = jt preferred to B = bn (5 of 10)" in axis.texts[0].get_text()
