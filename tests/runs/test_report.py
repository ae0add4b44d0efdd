import numpy as np
import pandas as pd
import pytest

from jointlib.config import load_config
from jointlib.runs.report import write_report
from jointlib.runs.scores import cells, failures, interval, read_scores
from jointlib.runs.tables import TABLES, compare, differences, overview, paper_table, published, write_tables
from jointlib.runs.fit import fit


def test_interval_covers_the_truth_as_often_as_it_says():
    """Speakers differ, utterances of one agree: an interval that took utterances as independent would be too short."""
    rng = np.random.default_rng(0)
    hits = 0
    for repeat in range(100):
        ability = rng.normal(0.6, 0.1, size=30)
        values = np.repeat(ability, 20) + rng.normal(scale=0.05, size=600)
        _, low, high = interval(pd.Series(values), pd.Series(np.repeat(np.arange(30), 20)), seed=repeat)
        hits += low <= 0.6 <= high
    assert 86 <= hits <= 99


def test_interval_limits():
    speakers = pd.Series(["a", "a", "b", "b"])
    assert interval(pd.Series([1.0, 1.0, 1.0, 1.0]), speakers) == (1.0, 1.0, 1.0)
    mean, low, high = interval(pd.Series([1.0, np.nan, 0.0, 0.0]), speakers)
    assert mean == pytest.approx(1 / 3) and low <= mean <= high
    assert np.isnan(interval(pd.Series([1.0, 0.0]), pd.Series(["a", "a"]))[1])
    assert all(np.isnan(value) for value in interval(pd.Series([np.nan]), pd.Series(["a"])))


def test_published_tables():
    table = published()
    assert len(table) == 17 + 3 * 13
    assert table.query("table == 2 and strategy == 'jt' and alpha == 0.5").value.item() == 0.8602


@pytest.fixture
def config(profile):
    config = load_config(profile)
    for strategy in ("classifier_clean", "enhancement", "jt"):
        fit(config.replace(strategy=strategy))
    return config


def test_tables_say_what_was_run_and_what_was_not(config):
    scores = read_scores(config.folder)
    for number in TABLES:
        table = paper_table(scores, number)
        assert table.loc["BN", "alpha = 0.5"].startswith("not run (")
        assert "not run" not in table.loc["JT", "alpha = 0.5"]
        assert table.loc["BN-Mix", "alpha = 0"] == "not run (–)"
    jt = scores[scores.strategy == "jt"]
    row = compare(scores, 2).query("strategy == 'jt' and alpha == 0.5").iloc[0]
    assert row.value == pytest.approx(jt.correct.mean()) and row.published == 0.8602
    noisy = compare(scores, 4).query("strategy == 'noisy'").iloc[0]
    assert noisy.value == pytest.approx(jt.stoi_noisy.mean())


def test_overview_and_report(config):
    scores = read_scores(config.folder)
    assert overview(scores).loc[("Enhancement alone", "1"), "accuracy"] == "–"
    assert set(cells(scores, "correct").strategy) == {"classifier_clean", "jt"}
    write_tables(config, config.folder / "tables")
    page = write_report(config).read_text()
    assert "not run" in page and "Table 5" in page


def test_a_start_is_compared_with_the_same_baselines(config):
    started = config.replace(strategy="jt", init="frontend", overrides={"init": "frontend"})
    fit(started)
    scores = read_scores(config.folder, started.variant)
    assert set(scores.strategy) == {"classifier_clean", "enhancement", "jt"}
    assert len(scores) == 36


def test_no_run_is_said(profile):
    with pytest.raises(FileNotFoundError, match="no finished run"):
        read_scores(load_config(profile).folder)


def test_failures_are_listed_by_reason():
    scores = pd.DataFrame({"failed_noisy": ["", "stoi: too short; pesq_wb: silent"], "failed_enhanced": ["", np.nan]})
    assert failures(scores).to_dict() == {"stoi: too short": 1, "pesq_wb: silent": 1}


def test_differences_name_the_stem_and_the_sizes():
    assert differences(load_config("quick")).loc["TCN stem on the wave", "here"].startswith("learned filterbank")
    assert differences(load_config("fsc")).loc["TCN stem on the wave", "here"] == "none"
