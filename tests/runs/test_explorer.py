"""The report's page: what it holds, and how it works in a browser that reaches nobody."""

import json
import re
import shutil

import nbformat
import pandas as pd
import pytest
from nbformat.v4 import new_markdown_cell, new_notebook

from jointlib.config import load_config
from jointlib.runs.card import model_card, origin
from jointlib.runs.examples import _opening, choose_examples, page_data
from jointlib.runs.explorer import table_and_plot
from jointlib.runs.fit import fit
from jointlib.runs.pages import in_html, write_page
from jointlib.runs.report import write_report
from jointlib.runs.scores import compared_runs, read_run
from jointlib.runs.tables import differences
from jointlib.support.files import UnusableFile


@pytest.fixture
def config(tiny_profile, tiny_runs, tmp_path):
    """A profile with copies of the tiny runs, and an executed notebook."""
    config = load_config(tiny_profile, results=str(tmp_path / "results"))
    shutil.copytree(tiny_runs["jt"].parent, config.folder / "runs")
    (config.summary / "notebooks").mkdir()
    notebook = config.summary / "notebooks/04_tables.ipynb"
    nbformat.write(new_notebook(cells=[new_markdown_cell("Weighted by $\\alpha$.")]), notebook)
    write_page(notebook)
    return config


@pytest.fixture
def data(config):
    """What the page holds for its script."""
    page = write_report(config).read_text()
    return json.loads(re.search(r'<script id="data" type="application/json">(.*?)</script>', page, re.S)[1])


def test_examples_have_the_most_noise_of_different_types():
    plan = pd.DataFrame({"snr_db": [0.0, 5, 0, 0, 5, 0], "noise_type": [*"AAABBC"]})
    assert choose_examples(plan) == [0, 3, 5, 2, 1] and choose_examples(plan[:2]) == [0, 1]


def test_the_page_holds_what_the_runs_read(config, data):
    titles = [run["title"] for run in data["runs"]]
    assert titles == ["Classifier, clean, seed 0", "JT, α = 0.5, seed 0", "BN, α = 0.5, seed 0"]
    classifier, jt, _ = data["runs"]
    assert classifier["enhanced"] is None and classifier["pesq"] is None and len(jt["enhanced"]) == 5
    scores = read_run(config.folder / "runs" / jt["name"])
    assert [data["intents"][place] for place in jt["read"]] == scores.predicted.tolist()
    assert data["utterances"]["intent"] == scores.intent.tolist()
    assert all(sound.startswith("data:audio/flac") for sound in (*jt["enhanced"], *data["examples"]["noisy"]))
    assert "The executed notebook" in (page := (config.summary / "report.html").read_text())
    assert 'href="notebooks/04_tables.html"' in page and 'href="notebooks/02_baselines.html"' not in page


def test_a_second_seed_is_read_and_not_heard(config):
    runs = compared_runs(config).sort_values("strategy", ascending=False, ignore_index=True)
    jt = runs[runs.strategy == "jt"]
    copied = shutil.copytree(jt.folder.item(), config.folder / "copy")
    runs = pd.concat([runs, jt.assign(seed=1, folder=[copied])], ignore_index=True)
    found = page_data(config, runs, {folder: read_run(folder) for folder in runs.folder})["runs"]
    assert [run["title"] for run in found if run["heard"]] == [run["title"] for run in found[:3]]
    assert found[3]["enhanced"] is None and found[3]["read"]


def test_runs_of_other_speech_are_no_examples(config):
    runs = compared_runs(config)
    scores = {folder: read_run(folder) for folder in runs.folder}
    file = runs.folder[1] / "config.json"
    values = json.loads(file.read_text())
    file.write_text(json.dumps(values | {"content": values["content"] | {"speech_test": "0"}}))
    with pytest.raises(UnusableFile, match=r"speech of test is not what it was\); .* move the run away"):
        page_data(config, runs, scores)


def test_every_run_has_a_card_that_is_no_part_of_it(config, data):
    folder = config.folder / "runs" / data["runs"][1]["name"]
    card = (folder / "card.md").read_text()
    assert card == model_card(folder) and card.startswith("# JT, α = 0.5, seed 0\n")
    mean = read_run(folder).correct.mean()
    assert f"| accuracy | {mean:.3f} [" in card and "one training" in card
    start = fit(config.replace(strategy="classifier_clean", steps=1, variant="steps=1"))  # only others start from it
    assert (start / "card.md").read_text() == model_card(start)
    for made in (folder, start):
        (made / "card.md").unlink()
    assert len(compared_runs(config)) == 3
    write_report(config)
    assert all((made / "card.md").read_text() == model_card(made) for made in (folder, start))


def test_a_page_of_classifiers_alone_has_no_plot(config):
    for name in ("jt_alpha0.5_seed0", "bn_alpha0.5_seed0"):
        shutil.rmtree(config.folder / "runs" / name)
    page = write_report(config).read_text()
    assert "Show runs whose names contain" in page and "Plotted against" not in page


def test_what_is_tested_on_clean_speech_has_no_point():
    runs = pd.DataFrame({"strategy": ["jt", "jt_clean"], "alpha": 0.5, "seed": 0, "core_seconds": 60.0, "correct": 0.5})
    assert "plot" in table_and_plot(runs.assign(pesq_wb_enhanced=1.5))
    assert "plot" not in table_and_plot(runs[1:].assign(pesq_wb_enhanced=1.5))


def test_where_the_data_is_from():
    assert "espeak-ng" in origin(load_config("quick")) and "may not be passed on" in origin(load_config("fsc"))
    mixed = load_config("quick", noise="data/MS-SNSD")
    assert "no licence" not in (told := origin(mixed)) and "espeak-ng" in told and "`data/MS-SNSD`, the user's" in told
    assert differences(mixed).loc["noise", "here"] == "from the folder: data/MS-SNSD"


@pytest.mark.parametrize(
    ("strategies", "opening"),
    [(["classifier_noisy", "jt"], [0, 1]), (["jt"], [0, 0]), (["classifier_noisy", "bn", "jt"], [1, 2])],
)
def test_two_different_runs_are_compared_first(strategies, opening):
    assert _opening(pd.DataFrame({"strategy": strategies})) == opening


def test_markup_within_markdown_is_text():
    shown = in_html("**x** <script>alert(1)</script> [y](javascript:alert(1))")
    assert "<strong>x</strong>" in shown and "<script" not in shown and "javascript:" not in shown


@pytest.mark.browser
def test_the_page_works_without_a_network(config, data, browser):
    context, asked, said = browser.new_context(offline=True), [], []
    tab = context.new_page()
    tab.on("request", lambda request: asked.append(request.url))
    tab.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.goto((config.summary / "report.html").as_uri())
    tab.wait_for_selector(".slick-row")
    _fits(tab)
    tab.click(".slick-row:has-text('BN') .slick-cell")
    tab.wait_for_selector("#run h3:has-text('BN')")
    loaded = "[...document.querySelectorAll('#run audio')].every((audio) => audio.duration > 0.1)"
    tab.wait_for_function(loaded)
    assert tab.locator("#run > ol > li").count() == 5 and tab.locator("#run audio").count() == 15
    tab.click("#run summary")
    assert tab.locator("#run .card table").is_visible()
    tab.fill("input.bk-input", "jt")
    tab.wait_for_selector(".slick-row:has-text('BN')", state="detached")
    tab.fill("input.bk-input", "no such run")
    tab.wait_for_selector(".slick-row", state="detached")
    tab.select_option("select.bk-input", "STOI")
    tab.wait_for_timeout(500)  # drawn anew, with no point
    _compare(tab, data, 0, 1)
    tab.click("text=The executed notebook")
    assert tab.locator("math").count() == 1
    context.close()
    assert said == [] and [url for url in asked if not url.startswith(("file:", "data:"))] == []


def _fits(tab) -> None:
    """Neither the page nor one of its tables scrolls sideways at a width of 800."""
    tab.set_viewport_size({"width": 800, "height": 1000})
    parts = "[document.documentElement, ...document.querySelectorAll('.wide')]"
    tab.wait_for_function(f"{parts}.every((part) => part.scrollWidth <= part.clientWidth + 1)", timeout=5000)


def _compare(tab, data, first: int, second: int) -> None:
    """Choose two runs, and hold the counts and rows against those of the runs' readings."""
    tab.select_option("#run-a", str(first))
    tab.select_option("#run-b", str(second))
    truth = [data["intents"].index(intent) for intent in data["utterances"]["intent"]]
    one, other = (data["runs"][place]["read"] for place in (first, second))
    ours = sum(a == t != b for a, b, t in zip(one, other, truth, strict=True))
    assert f"A right and B wrong: {ours};" in tab.inner_text("#counts")
    assert tab.locator("#differing tr").count() == sum(a != b for a, b in zip(one, other, strict=True))
