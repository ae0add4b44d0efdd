"""What the record of a profile says of joining, and the page that shows it."""

import pandas as pd
import pytest
from invented import invented_scores

from benchmarks.rates import ranked
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


def test_rates_are_ranked_by_validation_over_the_seeds_that_all_have():
    """JT on two seeds, of which one had no luck at any rate; the highest rate was tried with the lucky one only."""
    rows = [(1e-3, 0, 0.8, 0.5), (1e-3, 1, 0.6, 0.5), (2e-3, 0, 0.9, 0.4), (2e-3, 1, 0.7, 0.4), (4e-3, 0, 0.9, 0.3)]
    runs = pd.DataFrame(rows, columns=["learning_rate", "seed", "valid_accuracy", "valid_loss"])
    assert ranked(runs) == [4e-3, 2e-3, 1e-3]
    assert ranked(runs[runs.learning_rate < 4e-3]) == [2e-3, 1e-3]
    assert ranked(runs.assign(valid_accuracy=float("nan"))) == [4e-3, 2e-3, 1e-3]  # enhancement alone has but a loss
