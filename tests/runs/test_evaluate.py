import numpy as np
import pandas as pd

from jointlib.runs.evaluate import PASSAGE, passages, remark, summarise


def test_failures_are_counted_and_not_averaged():
    table = pd.DataFrame(
        {"correct": [1, 0], "stoi_enhanced": [0.5, np.nan], "snr_db": [0.0, 5.0], "noise_type": ["Typing", "Typing"]}
    )
    summary = summarise(table, pd.DataFrame({"speaker": ["a"], "pesq_wb_noisy": [1.5]}))
    assert summary["mean"] == {"correct": 0.5, "stoi_enhanced": 0.5}
    assert summary["failed"] == {"stoi_enhanced": 1} and summary["remark"] == ""
    assert summary["by_snr_db"]["5.0"] == {"correct": 0.0}


def readings(intent: list[str], predicted: list[str]) -> pd.DataFrame:
    table = pd.DataFrame({"intent": intent, "predicted": predicted})
    return table.assign(correct=(table.intent == table.predicted).astype(int))


def test_a_classifier_that_has_learnt_nothing_is_remarked():
    """30 utterances: 12 of a, 9 of b, 9 of c. Always saying a is right in 0.4; a third of the time is chance."""
    truth = [*"a" * 12, *"b" * 9, *"c" * 9]
    constant = remark(readings(truth, ["a"] * 30))
    assert "always predicts 'a': right in 0.400" in constant and "would be right in 0.400" in constant
    guesses = remark(readings(truth, [*"bca" * 10]))
    assert guesses.startswith("no better than guessing: right in 0.") and "would be right in 0.400" in guesses
    assert remark(readings(truth, truth)) == ""
    assert remark(readings(truth, [*truth[:21], *"abcabcabc"])) == ""  # 24 of 30


def test_a_network_that_only_enhances_is_not_remarked():
    assert remark(pd.DataFrame({"intent": ["a", "a"], "stoi_enhanced": [0.5, 0.6]})) == ""


def test_passages_lose_no_sample():
    speakers = ["a", "b"] * 40
    pairs = [(np.full(4000, number), np.full(4000, -number)) for number in range(80)]
    names, joined = passages(pairs, speakers)
    assert names == ["a", "b"] and all(len(clean) >= PASSAGE for clean, _ in joined)
    assert sum(len(clean) for clean, _ in joined) == 80 * 4000
    assert all((clean == -estimate).all() for clean, estimate in joined)
