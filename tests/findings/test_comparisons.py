import numpy as np
import pytest
from invented import invented_scores

from jointlib.config import load_config, parent_of
from jointlib.findings.comparisons import NOISY, difference, holm, verdicts
from jointlib.strategies import STRATEGIES, parents


def lineage(config) -> dict[str, int]:
    """The steps of every training that a run is made of, by the run's name."""
    row = STRATEGIES[config.strategy]
    found = {} if row.frozen == ("frontend", "backend") else {config.run_name: config.own_steps}
    for parent in parents(row, config.init).values():
        found |= lineage(parent_of(config, parent))
    return found


@pytest.mark.parametrize("init", ["scratch", "pretrained"])
def test_every_row_has_the_same_training(init):
    for strategy in STRATEGIES:
        config = load_config("quick", strategy=strategy, init=init)
        assert sum(lineage(config).values()) == config.steps, strategy


def test_verdicts_on_scores_with_known_answers():
    scores = invented_scores(
        {"classifier_clean": 0.6, "jt": 0.8, "bn": 0.8, "bn_mix": 0.9}, {"jt": 1.1, "bn": 1.2, "bn_mix": 1.6}
    )
    here = verdicts(scores).here.tolist()
    assert here[:3] == ["held: smaller effect", "undecided", "not held: the reverse"]
    assert here[3:6] == ["held: larger effect", "not held: the reverse", "held: smaller effect"]  # in PESQ
    assert here[6:] == ["not run"] * 3


def test_a_claim_of_less_counts_a_fall_in_its_favour():
    scores = invented_scores({"bn": 0.8, "jt": 0.8}, {})
    error = scores.strategy.map({"bn": 1e-4, "jt": 1e-2}) * scores.correct
    told = verdicts(scores.assign(mse_noisy=1e-3, mse_enhanced=error)).set_index("claim")
    bn = told.loc["BN has a lower MSE than the noisy input"]
    assert bn["here"] == "held: smaller effect"
    assert bn["in the paper"] == "1.7e-03 against 3.5e-03" and bn.iloc[1].startswith("+9.2e-04")


def test_the_difference_is_of_the_same_utterances():
    scores = invented_scores({"jt": 0.8, "bn": 0.7}, {})
    found = difference(scores, "correct", ("jt", 0.5), ("bn", 0.5))
    assert found["low"] < 0.1 < found["high"] and found["p"] < 0.001
    assert difference(scores, "correct", ("jt", 0.5), ("detached", None)) is None


@pytest.mark.parametrize("metric", ["correct", "correct_on_clean"])
def test_the_accuracy_of_unprocessed_speech_is_a_classifiers(metric):
    scores = invented_scores({"jt": 0.8, "classifier_clean": 0.6}, {})
    scores = scores.assign(correct_on_clean=scores.correct + 0.1)
    assert difference(scores, metric, ("jt", 0.5), NOISY)["difference"] == pytest.approx(0.2, abs=0.02)


def test_holm_as_by_hand():
    assert holm(np.array([0.01, 0.04, 0.03])).tolist() == pytest.approx([0.03, 0.06, 0.06])
