"""What the record of a profile says of joining, and the page that shows it."""

import json
import shutil

import pytest
from invented import invented_scores

from benchmarks.rates import validated
from benchmarks.reference import joining, wanted, write_between
from jointlib.support.files import write_json


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


def test_a_tried_rate_is_told_by_the_validation_that_its_weights_are_of(tiny_runs, tmp_path):
    folder = shutil.copytree(tiny_runs["bn"], tmp_path / "run")
    rows = ["step,train_mse,valid_accuracy,valid_mse,selected", "1,9,0.2,3e-4,True", "2,9,0.8,2e-4,True"]
    (folder / "history.csv").write_text("\n".join([*rows, "3,9,0.7,1e-4,False\n"]))
    config = json.loads((folder / "config.json").read_text())
    write_json(folder / "config.json", config | {"learning_rate": 3e-3})
    assert validated(folder) == {"learning_rate": 3e-3, "valid_accuracy": 0.8, "valid_mse": 2e-4}
