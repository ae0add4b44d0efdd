"""Intervals, the tables and figures made of scores, and which runs are compared."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from invented import invented_scores

from jointlib.config import load_config
from jointlib.findings import figures
from jointlib.findings.intervals import in_text, interval
from jointlib.findings.published import claims, published
from jointlib.findings.scores import compared_runs, read_passages, read_scores
from jointlib.findings.tables import compare, legend, measured, overview, paper_tables
from jointlib.runs.fit import fit
from jointlib.strategies import STRATEGIES, Classifier, Enhancer
from jointlib.support.files import UnusableFile


def test_interval_limits():
    speakers, seeds = pd.Series([*"aabb"], name="speaker"), pd.Series([0, 1, 0, 1], name="seed")
    assert interval(pd.Series([1.0, 1.0, 1.0, 1.0]), speakers, seeds) == (1.0, 1.0, 1.0, 0.0)
    mean, low, high, _ = interval(pd.Series([1.0, np.nan, 0.0, 0.0]), speakers, seeds)
    assert mean == pytest.approx(1 / 3) and low <= mean <= high
    assert np.isnan(interval(pd.Series([1.0, 0.0]), speakers[:2], seeds[:2])[1])
    assert all(np.isnan(value) for value in interval(pd.Series([np.nan]), speakers[:1], seeds[:1]))
    assert in_text(0.5, 0.25, 0.75, "+.2f", " dB") == "+0.50 dB [+0.25, +0.75]"
    assert in_text(0.5, np.nan, np.nan, ".1f") == "0.5"


def test_what_the_paper_reports():
    table = published()
    assert len(table) == 17 + 3 * 13
    assert table.query("table == 2 and strategy == 'jt' and alpha == 0.5").value.item() == 0.8602
    assert len(claims()) == 9 and set(claims().better) | set(claims().worse) <= {"noisy", *STRATEGIES}


@pytest.fixture
def config(tiny_profile, tiny_runs, tmp_path):
    """A profile with copies of a tiny JT, BN and classifier."""
    config = load_config(tiny_profile, results=str(tmp_path / "results"))
    shutil.copytree(tiny_runs["jt"].parent, config.folder / "runs")
    return config


def test_tables_show_what_was_run(config):
    scores = read_scores(config)
    table = paper_tables(scores)
    assert table.index.tolist() == ["Noisy, unprocessed", "JT, α = 0.5", "BN, α = 0.5"]
    assert table.iloc[1, 0].endswith("(0.860)") and table.iloc[2, 3].endswith("(1.7e-03)")
    jt = scores[scores.strategy == "jt"]
    row = compare(scores, 2).query("strategy == 'jt' and alpha == 0.5").iloc[0]
    assert row.value == pytest.approx(jt.correct.mean()) and row.published == 0.8602
    noisy = compare(scores, 4).query("strategy == 'noisy'").iloc[0]
    assert noisy.value == pytest.approx(jt.stoi_noisy.mean())
    quality = measured(scores, ["pesq_wb_enhanced", "mse_enhanced"])
    assert quality.loc["JT, α = 0.5", "MSE"].startswith(f"{jt.mse_enhanced.mean():.1e} [")
    assert quality.index[0] == "Noisy, unprocessed" and len(read_passages(config).strategy.unique()) == 3
    (axis,) = figures.trade_off(scores).axes
    assert "JT, α = 0.5" in [text.get_text() for text in axis.get_legend().get_texts()]


def test_a_start_is_compared_with_the_same_baselines(config):
    started = config.replace(strategy="jt", init="pretrained", variant="init=pretrained")
    for other in (started, config.replace(strategy="cascade_enhanced")):
        fit(other)  # the start means nothing to BN, and something to the cascade
    scores = read_scores(started)
    assert set(scores.run) == {"classifier_clean_seed0", "bn_alpha0.5_seed0", "jt_alpha0.5_seed0_init=pretrained"}


def test_runs_that_do_not_belong_together_are_refused(config):
    with pytest.raises(UnusableFile, match=r"learning_rate: 0.002 there, 0.5 now"):
        compared_runs(config.replace(learning_rate=0.5))
    folder = compared_runs(config).folder.iloc[-1]
    stored = json.loads((folder / "config.json").read_text())
    changed = stored | {"content": stored["content"] | {"speech_test": "0"}}
    for data in ({}, stored):  # beside the other runs, or beside the data as they are now
        (folder / "config.json").write_text(json.dumps(changed))
        with pytest.raises(UnusableFile, match=f"{folder}.*speech of test has changed"):
            compared_runs(config, data)
    (folder / "config.json").write_text(json.dumps(stored))
    table = pd.read_csv(folder / "per_utterance.csv")
    table[:-1].to_csv(folder / "per_utterance.csv", index=False)
    with pytest.raises(UnusableFile, match=f"{folder.name} has 11 rows, .* 12, .*copy it again"):
        read_scores(config)
    table.drop(columns="speaker").to_csv(folder / "per_utterance.csv", index=False)
    with pytest.raises(UnusableFile, match=f"{folder}/per_utterance.csv: lacks speaker"):
        read_scores(config)
    shutil.rmtree(config.folder)
    with pytest.raises(FileNotFoundError, match="no finished run"):
        read_scores(config)


def test_a_classifier_that_has_learnt_nothing_is_marked():
    """30 utterances of two speakers, three intents, ten times each."""
    readings = {"classifier_clean": [*"abc" * 10], "classifier_noisy": ["a"] * 30}
    common = {"intent": [*"abc" * 10], "speaker": [*"xy" * 15], "alpha": 0.0, "seed": 0, "path": "a.wav"}
    common |= {"passes": 1.0, "core_seconds": 1.0, "parameters": 1, "correct_on_clean": 0}
    common |= {"pesq_wb_noisy": 1.0, "stoi_noisy": 1.0, "si_sdr_noisy": 1.0}
    scores = pd.concat(
        [pd.DataFrame({**common, "predicted": said, "strategy": name}) for name, said in readings.items()]
    )
    scores["correct"] = (scores.intent == scores.predicted).astype(int)
    assert overview(scores).accuracy[["Classifier, clean-trained", "Classifier, noisy-trained"]].tolist() == [
        "1.000 [1.000, 1.000]",
        "0.333 † [0.333, 0.333]",
    ]
    assert "- Classifier, noisy-trained, seed 0: no better than guessing" in legend(scores)
    assert legend(scores[scores.strategy == "classifier_clean"]) == ""


def test_what_is_tested_on_clean_speech_has_no_place_on_noisy_speech():
    scores = invented_scores({"jt": 0.8, "jt_clean": 1.0}, {"jt": 1.1, "jt_clean": 4.0})
    costs = scores.assign(passes=1.0, core_seconds=1.0, parameters=1, si_sdr_noisy=0.0, correct_on_clean=1.0)
    row = overview(costs).loc["JT-Clean, α = 0.5"]
    assert row["accuracy"] == row["PESQ (MOS)"] == "–" and row["accuracy on clean"].startswith("1.000")


@pytest.mark.parametrize("name", ["quick", "grid", "beyond", "ablation", "unseen", "paper"])
def test_no_two_lines_of_a_panel_share_a_colour(name):
    rows = load_config(name).strategies
    for lacking in (Enhancer, Classifier):  # what is drawn against accuracy, and against quality
        drawn = [
            row for row in rows if STRATEGIES[row].network is not lacking and STRATEGIES[row].test_input == "noisy"
        ]
        colours = [tuple(figures.LOOKS[row]["color"]) for row in drawn]
        assert len(set(colours)) == len(colours)
