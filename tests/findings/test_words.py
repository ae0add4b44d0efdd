"""What is computed in sentences is right for any outcome."""

import numpy as np
import pandas as pd
import pytest
from invented import invented_scores

from jointlib.findings import words
from jointlib.findings.comparisons import NOISY, verdicts

JT, BOTH, READER = ("jt", 0.5), ("detached", None), ("classifier_noisy", None)


@pytest.fixture(scope="module")
def scores() -> pd.DataFrame:
    """The detached cascade has both, JT is as accurate as the classifier, with a PESQ below the noisy input's 1.3."""
    read = {"classifier_clean": 0.6, "classifier_noisy": 0.8, "jt": 0.8, "detached": 0.9}
    return invented_scores(read, {"jt": 1.1, "detached": 1.9})


def test_better_worse_or_not_told_apart(scores):
    better = "**Detached cascade** is better than **JT, α = 0.5** in acc"
    assert words.versus(scores, "correct", BOTH, JT).startswith(better)
    assert "is worse than" in words.versus(scores, "correct", JT, BOTH)
    assert "does not differ significantly from **Classifier, noisy-trained**" in words.versus(
        scores, "correct", JT, READER
    )
    assert "worse than **Noisy, unprocessed** in PESQ (-0." in words.versus(scores, "pesq_wb_enhanced", JT, NOISY)
    assert words.versus(scores, "correct", ("bn", 0.5), JT) == ""
    errors = scores.assign(mse_enhanced=scores.pesq_wb_enhanced / 100)  # less is better
    assert "is worse than" in words.versus(errors, "mse_enhanced", BOTH, JT)


def test_a_single_test_speaker_gives_no_verdict(scores):
    alone = scores.assign(speaker=0)
    assert "cannot be compared, with a single test speaker" in words.versus(alone, "correct", BOTH, JT)


def test_claims_are_counted(scores):
    assert words.verdict_count(verdicts(scores)) == "The paper's 9 claims: 7 not run, 2 held."


def test_nothing_to_say_is_said(scores):
    assert words.what_we_see("", "").data == "**What we see.** Nothing that was run can be compared here."
    assert words.failed(scores.assign(failed_noisy="", failed_enhanced="")) == "Every metric was computed."


def test_failures_count_utterances_by_reason():
    noisy = ["", "stoi: too short; pesq_wb: silent signal", "", "stoi: too short"]
    enhanced = ["", np.nan, "", "lsd: silent"]
    scores = pd.DataFrame({"path": [*"abab"], "failed_noisy": noisy, "failed_enhanced": enhanced})
    assert words.failed(scores).splitlines()[1:] == [
        "- PESQ of noisy speech: 1 utterances (silent signal)",
        "- STOI of noisy speech: 1 utterances (too short)",
        "- log-spectral distance of enhanced speech: 1 utterances (silent)",
    ]
