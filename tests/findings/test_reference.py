"""The record: the pages that show it, and the learning rates that it chooses."""

import pandas as pd
import pytest
from invented import invented_scores

from benchmarks import pages
from benchmarks.pages import PAGES, filled
from benchmarks.rates import ranked


def test_pages_show_what_is_recorded():
    """No number of README, documents and notebooks that names its source is out of date."""
    stale = [page.name for page in PAGES if filled(page.read_text()) != page.read_text()]
    assert not stale, "python -m benchmarks.pages fills them in"


def test_a_page_asks_for_means_intervals_and_differences(monkeypatch):
    scores = invented_scores({"protected": 0.9, "jt": 0.8}, {"protected": 1.9, "jt": 1.1})
    monkeypatch.setattr(pages, "scores", lambda profile, passages: scores)
    asked = ("beyond protected correct", "beyond jt:0.5 pesq_wb 95%", "beyond protected-jt pesq_wb")
    mean, of_jt, gap = filled("\n".join(f"0.1 [0, 2]<!--{key}-->" for key in asked)).splitlines()
    assert float(mean.partition("<")[0]) == pytest.approx(0.9, abs=0.02)
    assert float(of_jt.partition(" [")[0]) == pytest.approx(1.1, abs=0.02) and "]<!--" in of_jt
    assert gap.startswith("+0.8")
    with pytest.raises(ValueError, match="was not run"):
        filled("1<!--beyond bn correct-->")


def test_rates_are_ranked_by_validation_over_the_seeds_that_all_have():
    """JT on two seeds, of which one had no luck at any rate; the highest rate was tried with the lucky one only."""
    rows = [(1e-3, 0, 0.8, 0.5), (1e-3, 1, 0.6, 0.5), (2e-3, 0, 0.9, 0.4), (2e-3, 1, 0.7, 0.4), (4e-3, 0, 0.9, 0.3)]
    runs = pd.DataFrame(rows, columns=["learning_rate", "seed", "valid_accuracy", "valid_loss"])
    assert ranked(runs) == [4e-3, 2e-3, 1e-3]
    assert ranked(runs[runs.learning_rate < 4e-3]) == [2e-3, 1e-3]
    assert ranked(runs.assign(valid_accuracy=float("nan"))) == [4e-3, 2e-3, 1e-3]  # enhancement alone has but a loss
