"""What the record of a profile says of joining, and the page that shows it."""

import pandas as pd
import pytest
from invented import invented_scores

from benchmarks.rates import at_chosen_rates, ranked
from benchmarks.reference import joining, wanted, write_between


def test_what_joining_buys_and_costs():
    accuracy = {"classifier_noisy": 0.8, "enhancement": float("nan"), "jt": 0.9, "protected": 0.95}
    scores = invented_scores(accuracy, {"enhancement": 1.5, "jt": 1.1, "protected": 1.9})
    passages = scores.assign(pesq_wb_noisy=1.1).drop(columns=["path", "correct"])
    table = joining(scores, passages).set_index("strategy")
    assert table.index.tolist() == ["Enhancement alone", "JT, α = 0.5"]  # what the paper has, and enhances
    alone, jt = (table.loc[row].str.partition(" ")[0] for row in table.index)
    assert float(alone["PESQ, over the noisy input"]) == pytest.approx(0.2, abs=0.02)
    assert float(alone["PESQ of 8 s, over the noisy input"]) == pytest.approx(0.4, abs=0.02)
    assert alone["PESQ, over enhancement alone"] == "–"
    assert float(jt["PESQ, over enhancement alone"]) == pytest.approx(-0.4, abs=0.02)
    assert float(jt["accuracy, over a classifier of noisy speech"]) == pytest.approx(0.1, abs=0.02)
    assert jt["SI-SDR, over the noisy input"] == "–"  # was not measured


def test_a_page_shows_the_record_between_its_marks(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- a/table.md -->\n\nold\n\n<!-- end -->\nafter\n")
    assert wanted(page) == ["a/table.md"]
    write_between(page, "a/table.md", "| new |\n")
    assert page.read_text() == "before\n<!-- a/table.md -->\n\n| new |\n\n<!-- end -->\nafter\n"
    with pytest.raises(ValueError, match="nowhere"):
        write_between(page, "nowhere.md", "")


def trials(rates):
    """Validations of JT on two seeds, which differ by 0.1: of (learning rate, mean accuracy, cross-entropy)."""
    columns = ["strategy", "learning_rate", "seed", "valid_accuracy", "valid_cross_entropy"]
    rows = [("jt", rate, seed, mean + (0.05, -0.05)[seed], loss) for rate, mean, loss in rates for seed in (0, 1)]
    return pd.DataFrame(rows, columns=columns)


def test_rates_are_ranked_by_their_mean_over_the_seeds_then_by_cross_entropy():
    runs = trials([(1e-3, 0.8, 0.5), (2e-3, 0.9, 0.4), (4e-3, 0.8, 0.3)])
    assert ranked(runs) == [2e-3, 4e-3, 1e-3]
    with pytest.raises(AssertionError, match="other seeds"):
        ranked(runs.drop(index=0))


def test_rows_are_compared_at_the_rates_that_validation_chose():
    scores = invented_scores({"protected": 0.9, "jt": 0.8, "classifier_noisy": 0.7}, {"protected": 1.9, "jt": 1.1})
    table = at_chosen_rates(trials([(1e-3, 0.8, 0.5), (2e-3, 0.9, 0.4)]), scores, {"jt": 2e-3})
    (row,) = table.to_dict("records")
    assert row["strategy"] == "JT, α = 0.5"
    assert row["validation accuracy, at learning rate"] == "0.800 at 0.001, **0.900** at 0.002"
    for column, about in {
        "accuracy": 0.8,
        "PESQ (MOS)": 1.1,
        "above a classifier of noisy speech, accuracy": 0.1,
        "Protected JT above it, accuracy": 0.1,
        "Protected JT above it, PESQ": 0.8,
    }.items():
        assert float(row[column].split()[0]) == pytest.approx(about, abs=0.02), column
