"""The plan of the grid: notebooks, parameters, order, and what is there already."""

import shutil

import pytest

from jointlib.config import load_config
from jointlib.runs.plan import plan, survey


def test_a_run_waits_for_what_it_starts_from_and_the_longest_chain_starts_first():
    cells = plan(load_config("smoke", strategies=["jt", "cascade_clean", "bn"]))
    assert {name: cell.starts_from for name, cell in cells.items()} == {
        "jt_alpha0.5_seed0": ["classifier_clean_seed0_steps=12"],
        "cascade_clean_seed0": ["classifier_clean_seed0_steps=12", "enhancement_seed0_steps=12"],
        "bn_alpha0.5_seed0": [],
        "classifier_clean_seed0_steps=12": [],
        "enhancement_seed0_steps=12": [],
    }
    order = sorted(cells, key=lambda name: -cells[name].priority)
    assert order[0] == "bn_alpha0.5_seed0" and order[-1] == "cascade_clean_seed0"


def test_parts_and_cascades_of_the_paper_are_trained_in_notebook_2_others_in_3():
    cells = plan(load_config("smoke", strategies=["jt", "cascade_clean", "cascade_mask_enhanced"], seeds=[3]))
    assert cells["cascade_clean_seed3"].notebook == "02_baselines"
    assert cells["cascade_mask_enhanced_seed3"].notebook == "03_train_strategy"
    assert cells["jt_alpha0.5_seed3"].parameters == {"SEED": 3, "STRATEGY": "jt", "ALPHA": 0.5}
    assert cells["classifier_clean_seed3_steps=12"].parameters["STEPS"] == 12


def test_runs_are_counted_and_one_of_another_configuration_is_refused(tiny_profile, tiny_runs, tmp_path):
    names = ["jt", "bn", "classifier_clean", "enhancement"]
    config = load_config(tiny_profile, strategies=names, alphas=[0.5], results=str(tmp_path))
    assert survey(config) == "4 runs, of which 0 exist"
    shutil.copytree(tiny_runs["jt"].parent, config.folder / "runs")
    assert survey(config) == "4 runs, of which 3 exist"
    with pytest.raises(FileExistsError, match="steps: 2 there, 3 now"):
        survey(config.replace(steps=3))
