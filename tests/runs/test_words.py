import numpy as np
import pandas as pd
import pytest
from invented import invented_scores

from jointlib.runs import tables, words
from jointlib.runs.comparisons import dominance, verdicts

JT, BOTH, READER = ("jt", 0.5), ("protected", None), ("classifier_noisy", None)


@pytest.fixture(scope="module")
def scores() -> pd.DataFrame:
    """Protected has both, JT reads as well as the classifier and sounds worse than the noisy input's 1.3."""
    read = {"classifier_clean": 0.6, "classifier_noisy": 0.8, "jt": 0.8, "protected": 0.9}
    found = invented_scores(read, {"jt": 1.1, "protected": 1.9})
    return found.assign(snr_db=np.where(found.speaker % 2, 0.0, 20.0), correct_on_clean=1.0)


def test_better_worse_or_not_told_apart(scores):
    assert words.versus(scores, "correct", BOTH, JT).startswith("Protected JT is better than JT (α = 0.5) in acc")
    assert words.versus(scores, "correct", JT, BOTH).startswith("JT (α = 0.5) is worse than Protected JT in acc")
    told = words.versus(scores, "correct", JT, READER, "It")
    assert told.startswith("It does not differ significantly from the classifier trained on noisy speech in accuracy (")
    assert "the unprocessed noisy input in PESQ (-0." in words.versus(scores, "pesq_wb_enhanced", JT, words.NOISY)
    assert words.versus(scores, "correct", ("bn", 0.5), JT) == ""


def test_less_is_better_where_it_is(scores):
    errors = scores.assign(mse_enhanced=scores.pesq_wb_enhanced / 100)
    assert "Protected JT is worse than JT" in words.versus(errors, "mse_enhanced", BOTH, JT)


def test_a_single_test_speaker_gives_no_verdict(scores):
    alone = scores.assign(speaker=0)
    assert "a single test speaker gives no interval" in words.versus(alone, "correct", BOTH, JT)
    assert "in neither: JT, α = 0.5; Protected JT" in words.corner(alone)


def test_the_corner(scores):
    said = words.corner(scores)
    assert "- in both accuracy and PESQ: Protected JT\n" in said and "- in neither: JT, α = 0.5\n" in said
    assert words.corner(scores[scores.strategy == "jt"]) == ""


def test_the_cost_of_noise(scores):
    assert words.cost_of_noise(scores, "classifier_clean").startswith(
        "The classifier trained on clean speech has an accuracy of 1.000 on clean and of 0.598 on noisy speech, "
        "a loss of 0.40"
    )
    assert words.cost_of_noise(scores.drop(columns="correct_on_clean"), "classifier_clean") == ""


def test_the_best_cell_of_a_table(scores):
    assert words.best_cell(scores, 3).startswith("JT (α = 0.5) is the only cell (1.10). It is worse than the unpro")
    assert "It is better than the classifier trained on clean speech in accuracy" in words.best_cell(scores, 2)
    assert words.best_cell(scores[scores.strategy == "protected"], 2) == ""


def test_the_ladder_names_what_is_significant(scores):
    assert words.ladder(scores).startswith("2 of 2 comparisons are significant:\n- Protected JT over JT, α = 0.5")
    assert words.ladder(scores.assign(correct=0.5, pesq_wb_enhanced=1.0)).startswith(
        "0 of 2 comparisons are significant."
    )
    assert words.ladder(scores[scores.strategy == "jt"]) == ""


def test_gain_by_snr(scores):
    shifted = scores.assign(pesq_wb_enhanced=np.where(scores.snr_db == 0, 1.5, 1.2))
    said = words.by_snr(shifted, "pesq_wb_enhanced", BOTH)
    assert "by +0.20 at best, at an SNR of 0 dB, and by -0.10 at worst, at 20 dB." in said
    assert words.by_snr(shifted[shifted.snr_db == 0], "pesq_wb_enhanced", BOTH) == ""


def test_claims_and_rows_are_counted(scores):
    assert words.verdict_count(verdicts(scores)) == (
        "Of the paper's 12 claims, 2 hold, 1 is undecided and 9 cannot be tested."
    )
    assert (
        words.best_model(dominance(scores))
        == "Protected JT is no worse in accuracy, and better in quality, than all 3 published rows."
    )
    lost = dominance(scores.assign(pesq_wb_enhanced=1.0))
    assert words.best_model(lost) == "Protected JT beats none of 3 published rows in both."
    assert words.best_model(dominance(scores[scores.strategy == "jt"])) == ""


def test_mistakes():
    read = pd.DataFrame({"intent": ["a", "a", "b"], "predicted": ["b", "b", "b"]})
    assert words.mistakes(read) == "2 of 3 utterances are misclassified, most often *a* as *b* (2 of them)."
    assert words.mistakes(read[read.intent == "b"]) == "Every utterance is classified correctly."


def test_a_pair_and_what_only_one_of_it_understands():
    about = {"path": ["x", "y", "z"], "speaker": [1, 2, 2], "transcription": "Lamp on", "noise_type": "Babble"}
    about |= {"snr_db": 5.0, "intent": "a", "seed": 0, "strategy": "jt", "alpha": 0.5}
    first = pd.DataFrame({**about, "predicted": ["b", "a", "b"], "correct": [0, 1, 0]})
    second = first.assign(strategy="protected", predicted=["a", "b", "a"], correct=[1, 0, 1])
    said = words.pair([first, second], "x")
    assert said.startswith("*Lamp on* (Babble, 5 dB), meant as *a*, is read as *b* by JT (α = 0.5) and as *a* by Prot")
    assert "Of 3 utterances JT (α = 0.5) alone understands 1, Protected JT alone 2. Protected JT does not" in said
    nothing = ([first], [first, first], [first, second.drop(columns="predicted")], [first, second[1:]])
    assert [words.pair(runs, "x") for runs in nothing] == [""] * 4


def test_nothing_to_say_is_said():
    assert words.what_we_see("", "").data == "**What we see.** Nothing that was run can be compared here."


def test_snr_and_quality_of_the_plan():
    plans = pd.DataFrame({"mixer": ["exact", "ms_snsd"], "snr_db": [20.0, 20.0], "realised_snr_db": [20.0, 10.0]})
    assert "by at most 0.00 dB with `exact` and 10.00 dB with `ms_snsd`." in words.realised_snr(plans)
    quality = pd.DataFrame({"snr_db": [0, 10, 20.0], "pesq_wb": [1.1, 1.2, 2.0], "stoi": [0.5, 0.7, 0.9]})
    said = words.noise_damage(quality)
    assert "PESQ 1.10 and STOI 0.50 at 0 dB, and PESQ 2.00 and STOI 0.90 at 20 dB;" in said and "1.20" not in said
    assert "PESQ 1.10 and STOI 0.50 at 0 dB; clean" in words.noise_damage(quality[:1])


def test_baselines_and_single_runs(scores):
    said = words.baselines(scores)
    better = "The classifier trained on noisy speech is better than the classifier trained on clean speech in accuracy"
    assert better in said and "cascade" not in said
    own = scores[scores.strategy == "jt"]
    said = words.one_run(own)
    assert "JT (α = 0.5) has an accuracy of 1.000 on clean" in said and "JT (α = 0.5) is worse than the unpro" in said
    assert words.one_run(own.assign(strategy="jt_clean")).endswith("on clean speech; it has met no noise.")


def test_gains_by_snr_have_a_line_a_row(scores):
    told = words.gains_by_snr(scores, "pesq_wb_enhanced")
    assert told.count("\n- ") == 2 and "JT (α = 0.5) changes PESQ by -0." in told
    assert words.gains_by_snr(scores, "pesq_wb_enhanced", alpha=0.1).count("\n- ") == 1


def test_training_names_what_was_kept():
    """`selected` marks every validation that was the best so far."""
    history = pd.DataFrame({"step": [10, 20, 30, 40], "valid_accuracy": [0.5, 0.7, 0.8, 0.7], "selected": [1, 1, 1, 0]})
    assert words.training({"jt": history}).endswith("\n- JT: step 30 of 40, accuracy 0.800 on noisy speech\n")
    assert "accuracy 0.800 on clean speech" in words.training({"jt_clean": history}, clean=["jt_clean"])
    assert words.training({"cascade_clean": pd.DataFrame({"step": []})}) == "Nothing was trained."


def test_a_list_ends_its_paragraph():
    assert words.what_we_see("One.", "", "Two:\n- a\n", "Three.").data == "**What we see.** One. Two:\n- a\n\nThree."
    assert words.what_we_see("").data.endswith("Nothing that was run can be compared here.")


def test_extremes(scores):
    graded = scores.assign(
        correct=np.where(scores.snr_db == 0, 0.5, 0.9), noise_type=np.where(scores.speaker % 2, "A", "B")
    )
    one = graded[graded.strategy == "jt"]
    assert words.extremes(one, "snr_db") == "Accuracy is lowest at 0 dB (0.500) and highest at 20 dB (0.900)."
    assert words.extremes(one, "noise_type") == "Accuracy is lowest in A (0.500) and highest in B (0.900)."
    assert "Accuracy of JT (α = 0.5) is lowest at 0 dB" in words.extremes(graded, "snr_db")
    assert (
        words.extremes(graded[graded.snr_db == 0], "snr_db") == words.extremes(scores, "snr_db", "mse_enhanced") == ""
    )


def test_the_best_row_of_each_measure(scores):
    said = words.best_rows(scores.assign(lsd_enhanced=np.where(scores.strategy == "jt", 8.0, 9.0)))
    assert "\n- PESQ: Protected JT, 1.9" in said and "\n- log-spectral distance: JT, α = 0.5, 8.0 dB" in said


def test_what_is_tested_on_clean_speech_wins_nothing_on_noisy_speech(scores):
    clean = scores[scores.strategy == "jt"].assign(strategy="jt_clean", correct=1.0, pesq_wb_enhanced=4.0)
    both = pd.concat([scores, clean])
    assert words.best_rows(both) == words.best_rows(scores)
    costs = both.assign(passes=1.0, core_seconds=1.0, parameters=1, mse_noisy=0.1, si_sdr_noisy=0.0)
    row = tables.overview(costs).loc[("JT-Clean", "0.5")]
    assert row["accuracy"] == row["PESQ (MOS)"] == "–" and row["accuracy on clean"].startswith("1.000")


def test_the_classifier_of_the_row_noisy_is_a_choice(scores):
    assert "than the classifier trained on clean speech in accuracy" in words.best_cell(scores, 2)
    assert "from the classifier trained on noisy speech in accuracy" in words.best_cell(scores, 2, "classifier_noisy")


def test_one_utterance(scores):
    said = words.utterance(scores, "3.wav")
    assert said.startswith("PESQ of this utterance: 1.30 unprocessed, 1.9") and " with JT (α = 0.5)" in said
    assert words.utterance(scores, "unknown.wav") == ""


def test_gradients_and_peers():
    names = ["JT", "BN"]
    said = words.gradients(pd.Series([35.4, 0.5], names), pd.Series([0.03, -0.2], names))
    assert "the length of the cross-entropy's gradient is 35.4 in JT, 0.5 in BN." in said
    assert "The cosine between the two is 0.03 in JT, -0.20 in BN:" in said
    assert "is 2,650 in JT." in words.gradients(pd.Series([2651.9], ["JT"]), pd.Series([0.1], ["JT"]))
    assert words.gradients(pd.Series(dtype=float), pd.Series(dtype=float)) == ""
    table = pd.DataFrame({"enhancer": ["Mask (ours)", "GTCRN", "Noisy"], "metric": "pesq_wb", "value": [1.9, 1.8, 1.3]})
    table = pd.concat([table, table.assign(metric="stoi", value=[0.7, 0.8, 0.9])])
    assert "Of ours, Mask (1.90) has the highest PESQ; of the others, GTCRN (1.80)." in words.peers(table)


def test_what_was_held_back_is_told(scores, monkeypatch):
    own = scores[scores.strategy == "protected"]
    monkeypatch.setattr(words, "held_back", lambda scores, data: {"wording": scores.speaker < 10})
    graded = own.assign(correct=np.where(own.speaker < 10, 0.25, 0.75))
    said = words.held_back_costs(graded, None)
    assert said == "Accuracy of Protected JT: 0.250 with a wording that training has not met, 0.750 with the others."
    assert "Gain in PESQ of Protected JT: 0.6" in words.held_back_costs(graded, None, metric="pesq_wb_enhanced")
    assert words.held_back_costs(scores[scores.strategy == "jt"], None) == ""
