import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from invented import invented_scores

from jointlib.config import load_config
from jointlib.runs import figures, words
from jointlib.runs.comparisons import one_change_at_a_time
from jointlib.runs.fit import fit
from jointlib.runs.intervals import cells, interval
from jointlib.runs.report import answers, facts, write_report
from jointlib.runs.scores import compared_runs, failures, read_scores, remarks
from jointlib.runs.tables import (
    TABLES,
    changes,
    compare,
    differences,
    generalisation,
    legend,
    means,
    overview,
    paper_table,
    published,
    write_tables,
)
from jointlib.strategies import STRATEGIES, Classifier, Enhancer


def test_interval_limits():
    speakers, seeds = pd.Series([*"aabb"], name="speaker"), pd.Series([0, 1, 0, 1], name="seed")
    assert interval(pd.Series([1.0, 1.0, 1.0, 1.0]), speakers, seeds) == (1.0, 1.0, 1.0)
    mean, low, high = interval(pd.Series([1.0, np.nan, 0.0, 0.0]), speakers, seeds)
    assert mean == pytest.approx(1 / 3) and low <= mean <= high
    assert np.isnan(interval(pd.Series([1.0, 0.0]), speakers[:2], seeds[:2])[1])
    assert all(np.isnan(value) for value in interval(pd.Series([np.nan]), speakers[:1], seeds[:1]))


def test_interval_counts_seeds_that_differ():
    speakers, seeds = pd.Series([*"abcd"] * 3, name="speaker"), pd.Series(np.repeat([0, 1, 2], 4), name="seed")
    values = pd.Series([0.1, 0.2, 0.1, 0.2] * 3)
    of_speakers, of_both = (interval(values + luck * seeds, speakers, seeds) for luck in (0.0, 0.3))
    assert of_both[2] - of_both[1] > 3 * (of_speakers[2] - of_speakers[1])


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
    scores = read_scores(config)
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


def test_a_start_is_compared_with_the_same_baselines(config):
    started = config.replace(strategy="jt", init="pretrained", variant="init=pretrained")
    for other in (started, config.replace(strategy="bn"), config.replace(strategy="cascade_enhanced")):
        fit(other)  # the start means nothing to BN, and something to the cascade
    scores = read_scores(started)
    assert set(scores.strategy) == {"classifier_clean", "enhancement", "jt", "bn"}
    assert len(scores) == 48


def test_overview_report_and_figures(config):
    scores = read_scores(config)
    assert overview(scores).loc[("Enhancement alone", ""), "accuracy"] == "–"
    assert set(cells(scores, "correct").strategy) == {"classifier_clean", "jt"}
    write_tables(config, config.folder / "tables")
    quality = (config.folder / "tables/quality.md").read_text().splitlines()
    assert [name.strip() for name in quality[0].split("|")[-3:-1]] == ["MSE", "PESQ of 8 s"]
    jt = scores[scores.strategy == "jt"]
    assert f"{jt.mse_enhanced.mean():.1e} [" in next(line for line in quality if line.startswith("| JT "))
    page = write_report(config).read_text()
    assert "not run" in page and "Table 5" in page
    (axis,) = figures.trade_off(scores).axes
    assert "JT, α = 0.5" in [text.get_text() for text in axis.get_legend().get_texts()]


def invented(readings: dict[str, list[str]]) -> pd.DataFrame:
    """Scores of classifiers that read 30 utterances of two speakers as given; three intents, ten times each."""
    truth = pd.Series([*"abc" * 10])
    parts = [
        pd.DataFrame({"intent": truth, "predicted": predicted, "strategy": strategy, "speaker": [*"xy" * 15]})
        for strategy, predicted in readings.items()
    ]
    scores = pd.concat(parts, ignore_index=True).assign(alpha=0.0, seed=0, path="a.wav")
    cost = {"passes": 1.0, "core_seconds": 1.0, "parameters": 1}
    return scores.assign(correct=(scores.intent == scores.predicted).astype(int), correct_on_clean=0, **cost)


def test_a_classifier_that_has_learnt_nothing_is_marked_in_tables_and_report():
    scores = invented({"classifier_clean": [*"abc" * 10], "classifier_noisy": ["a"] * 30})
    assert overview(scores.assign(pesq_wb_noisy=1.0, stoi_noisy=1.0, si_sdr_noisy=1.0)).accuracy[
        [("Classifier, clean", ""), ("Classifier, noisy", "")]
    ].tolist() == ["1.000 [1.000, 1.000]", "0.333 † [0.333, 0.333]"]
    assert list(remarks(scores).index) == ["Classifier, noisy, seed 0"]
    assert "Classifier, noisy, seed 0: always predicts 'a'" in legend(scores)
    assert legend(scores[scores.strategy == "classifier_clean"]) == ""


def test_the_summary_names_the_best_cells_and_what_they_are_better_than():
    read = {"classifier_clean": 0.6, "classifier_noisy": 0.8, "jt": 0.9, "bn": 0.7}
    told = answers(invented_scores(read, {"jt": 1.1, "bn": 1.6}))
    assert "Of the paper's 12 claims, 4 hold, 1 is undecided and 7 cannot be tested." in told[0]
    assert "Of 4 cells, <strong>JT (α = 0.5)</strong> has the best accuracy, 0.897." in told[1]
    assert "It is better than the classifier trained on noisy speech in accuracy (+0." in told[1]
    assert "Of 2 cells, <strong>BN (α = 0.5)</strong> has the best PESQ, 1.6" in told[2] and len(told) == 3


def test_a_summary_without_anything_significant_claims_nothing():
    read = {"classifier_noisy": 0.8, "jt": 0.801, "bn": 0.8}
    told = answers(invented_scores(read, {"jt": 1.3, "bn": 1.3}))
    assert "Of the paper's 12 claims, 4 are undecided and 8 cannot be tested." in told[0]
    assert "does not differ significantly from the classifier trained on noisy speech in accuracy" in told[1]
    assert "does not differ significantly from the unprocessed noisy input in PESQ" in told[2]


@pytest.mark.parametrize("name", ["classifier_noisy", "jt"])
def test_the_summary_of_one_run_and_of_one_speaker(name):
    scores = invented_scores({name: 0.8}, {"jt": 1.1} if name == "jt" else {})
    told = answers(scores)
    assert f"The only cell, <strong>{words.called((name, 0.5))}</strong>, reaches 0." in told[1]
    assert ("worse than the unprocessed noisy input" in "".join(told)) == (name == "jt")
    alone = " ".join(answers(scores.assign(speaker=0)))
    assert " hold" not in alone and "is better" not in alone and "is worse" not in alone


def test_what_the_runs_were_made_with(config):
    runs = compared_runs(config)
    told = facts(config, runs)
    assert "3, of 3 cells" in told["Runs"] and ">0<" in told["Seeds"] and "the user's own" in told["Corpus"]
    commit = json.loads((runs.folder[0] / "record.json").read_text())["commit"]
    assert (commit or "unknown") in told["Commit"]


def test_steps_keep_small_p_values_and_have_none_for_a_single_speaker():
    scores = invented_scores({"jt": 0.8, "protected": 0.9}, {"jt": 1.1, "protected": 1.9})
    table = changes(one_change_at_a_time(scores))
    assert table.measure.tolist() == ["accuracy", "PESQ"] and (table.p.astype(float) > 0).all()
    assert table["difference [95 % interval]"][1].startswith("+0.8") and "[" in table["difference [95 % interval]"][1]
    alone = changes(one_change_at_a_time(scores.assign(speaker=0)))
    assert alone.p.tolist() == alone["p (Holm)"].tolist() == ["–", "–"] and "[" not in "".join(alone.iloc[0])


def test_no_run_is_said(profile):
    with pytest.raises(FileNotFoundError, match="no finished run"):
        read_scores(load_config(profile))


def test_failures_count_utterances_by_reason():
    noisy = ["", "stoi: too short; pesq_wb: silent signal", "", "stoi: too short"]
    enhanced = ["", np.nan, "", "lsd: silent"]
    scores = pd.DataFrame({"path": [*"abab"], "failed_noisy": noisy, "failed_enhanced": enhanced})
    assert failures(scores).to_numpy().tolist() == [
        ["enhanced", "lsd", "silent", 1],
        ["noisy", "pesq_wb", "silent signal", 1],
        ["noisy", "stoi", "too short", 1],
    ]
    assert words.failed(scores).endswith("\n- STOI of noisy speech: 1 utterance (too short)\n")
    older = "stoi: RuntimeWarning Not enough STFT frames; estoi: too little speech"
    told = words.failed(pd.DataFrame({"path": [*"aba"], "failed_noisy": [older, "pesq_wb: x", older]}))
    assert told.endswith(
        "\n- ESTOI and STOI of noisy speech: 1 utterance (too little speech)\n- PESQ of noisy speech: 1 utterance (x)\n"
    )
    assert words.failed(scores.assign(failed_noisy="", failed_enhanced="")) == "Every metric was computed."


def test_differences_name_the_stem_and_the_sizes():
    assert differences(load_config("quick")).loc["TCN stem on the wave", "here"].startswith("learned filterbank")
    assert differences(load_config("fsc")).loc["TCN stem on the wave", "here"] == "none"


def test_differences_name_what_only_the_test_has():
    unseen, usual = (differences(load_config(name), "classifier_noisy")["here"] for name in ("unseen", "quick"))
    assert unseen["SNR (dB)"].startswith("5, 10, 15, 20 in training; -5, 0, 5, 10, 15, 20 in the test")
    assert (
        unseen["noise types"].endswith("VacuumCleaner in training; all in the test") and usual["noise types"] == "all"
    )
    assert usual["SNR (dB)"].startswith("0, 5, 10, 15, 20; mixer")
    assert usual['"Noisy" classifier'] == "trained on noisy speech"
    assert "(Cascade, enhanced; JT; JT-Clean)" in usual["starts from"]


@pytest.mark.parametrize("name", ["quick", "grid", "beyond", "remedies", "unseen", "paper"])
def test_no_two_lines_of_a_panel_share_a_colour(name):
    rows = [STRATEGIES[row] for row in load_config(name).strategies]
    for lacking in (Enhancer, Classifier):  # what is drawn against accuracy, and against quality
        colours = [
            figures.COLOURS[row.title] for row in rows if row.network is not lacking and row.test_input == "noisy"
        ]
        assert len(set(colours)) == len(colours)


def test_what_was_not_trained_has_no_curves():
    figure = figures.training_curves({"cascade_clean": pd.DataFrame(columns=["step"])})
    assert figure.texts[0].get_text() == "nothing was trained here" and not figure.axes


def test_what_training_has_not_met_is_told_apart():
    plan = pd.DataFrame({"utterance": [0, 1], "noise_type": ["Typing", "Babble"], "snr_db": [5.0, 20.0]})
    corpus = SimpleNamespace(manifest=pd.DataFrame({"transcription": ["lights on", "lights off"]}))
    noises = {"train": SimpleNamespace(manifest=pd.DataFrame({"type": plan.noise_type}))}
    data = SimpleNamespace(plan=lambda split: plan, corpus=corpus, noises=noises)
    rows = [("Typing", -5.0, "lights on", 0), ("Typing", 5.0, "lights on", 1), ("Metro", 20.0, "lights off", 1)]
    scores = pd.DataFrame(rows, columns=["noise_type", "snr_db", "transcription", "correct"]).assign(
        strategy="jt", alpha=0.5, seed=0, path=["a", "b", "c"], speaker=["x", "y", "z"]
    )
    table = generalisation(scores, data)
    assert list(table.index) == [
        f"{name} {how}" for name in ("noise type", "SNR") for how in ("met in training", "not met")
    ]
    assert table.utterances.tolist() == [2, 1, 2, 1]
    assert [cell.split()[0] for cell in table["JT, α = 0.5"]] == ["0.50", "1.00", "1.00", "0.00"]


def test_means_by_snr_and_noise_have_heads_and_the_hardest_noise_on_top():
    scores = pd.DataFrame(
        {
            "snr_db": [5.0, 0.0, 0.0, 5.0],
            "noise_type": ["Typing", "Babble", "Typing", "Babble"],
            "correct": [1.0, 0.0, 1.0, 1.0],
            "si_sdr_noisy": [5.0, -0.04, 0.0, 5.0],
            "pesq_wb_enhanced": [1.5, 1.0, 1.25, 1.75],
            "stoi_enhanced": [np.nan] * 4,
        }
    )
    columns = ["correct", "si_sdr_noisy", "pesq_wb_enhanced", "stoi_enhanced"]
    by_snr, by_noise = (means(scores, name, columns) for name in ("snr_db", "noise_type"))
    assert by_snr.reset_index().to_dict("list") == {
        "SNR (dB)": [0.0, 5.0],
        "accuracy": ["0.500", "1.000"],
        "SI-SDR (dB), noisy": ["0.0", "5.0"],
        "PESQ (MOS), enhanced": ["1.12", "1.62"],
    }
    assert by_noise.index.tolist() == ["Babble", "Typing"] and by_noise.index.name == "noise"
