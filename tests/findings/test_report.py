"""The report's page and the model cards, and that the page works in a browser that reaches nobody."""

import json
import re
import shutil

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from jointlib.config import load_config
from jointlib.findings.card import origin
from jointlib.findings.pages import write_page
from jointlib.findings.report import write_report
from jointlib.findings.scores import read_run
from jointlib.runs.fit import fit


@pytest.fixture(scope="module")
def parameters(tiny_profile, tmp_path_factory):
    return {"PROFILE": str(tiny_profile), "RESULTS": str(tmp_path_factory.mktemp("report") / "results")}


@pytest.fixture(scope="module")
def config(parameters, tiny_runs):
    """A profile with a tiny JT of twelve seeds, BN and a classifier, a run that only others start from, a notebook."""
    config = load_config(parameters["PROFILE"], results=parameters["RESULTS"])
    shutil.copytree(tiny_runs["jt"].parent, config.folder / "runs")
    fit(config.replace(strategy="classifier_clean", steps=1, variant="steps=1"))
    for seed in range(1, 12):
        copied = shutil.copytree(
            config.folder / "runs/jt_alpha0.5_seed0", config.folder / f"runs/jt_alpha0.5_seed{seed}"
        )
        stored = json.loads((copied / "config.json").read_text())
        (copied / "config.json").write_text(json.dumps(stored | {"seed": seed}))
    (config.summary / "notebooks").mkdir()
    notebook = config.summary / "notebooks/04_tables.ipynb"
    nbformat.write(new_notebook(cells=[new_markdown_cell("# Tables\n\n$\\alpha$")]), notebook)
    write_page(notebook)
    return config


@pytest.fixture(scope="module")
def page(config, parameters):
    return write_report(parameters)


def test_the_page_holds_the_answer_the_runs_and_sounds_but_no_code(page):
    text = page.read_text()
    assert "JT classifies better than BN" in text and "JT, α = 0.5, seed 0" in text
    assert text.count("<audio") == 5 * 4  # noisy, clean, JT, BN
    assert 'href="notebooks/04_tables.html"' in text and "runs/jt_alpha0.5_seed0/card.md" in text
    assert "import itables" not in text and "A is <code>jt_alpha0.5_seed0</code>" in text


def test_the_page_loads_nothing_from_elsewhere(page):
    tags = re.findall(r"<(?:script|link|img|iframe|audio|source)\b[^>]*>", page.read_text())
    assert tags and not [tag for tag in tags if re.search(r"(?:src|href)\s*=\s*.?(?:https?:)?//", tag)]
    assert "cdnjs" not in page.read_text()


def test_every_run_has_a_card(config, page):
    folders = [folder for folder in (config.folder / "runs").iterdir() if folder.is_dir()]
    assert len(folders) == 15 and all((folder / "card.md").is_file() for folder in folders)
    folder = config.folder / "runs/jt_alpha0.5_seed0"
    card = (folder / "card.md").read_text()
    assert card.startswith("# JT, α = 0.5, seed 0\n") and f"| {read_run(folder).correct.mean():.3f}" in card
    assert "may not be redistributed" in card and "front-end: wave_u_net" in card


def test_a_report_without_runs_writes_nothing(parameters, page):
    before = page.read_bytes()
    with pytest.raises(FileNotFoundError, match=r"no finished run of variant learning_rate=0\.5"):
        write_report(parameters | {"LEARNING_RATE": 0.5})
    assert page.read_bytes() == before


def test_formulas_of_a_page_are_mathml_and_code_is_not(tmp_path):
    """In prose, in code and in what a cell shows."""
    shown = new_output("display_data", {"text/markdown": "shown: $\\beta$"})
    prose = "inline $\\alpha_1 < 2$, `cost in $ of x$`\n\n$$\\mathrm{SNR} = 20 \\log_{10} \\frac{s}{n}$$"
    cells = [new_markdown_cell(prose), new_code_cell("1", outputs=[shown])]
    nbformat.write(new_notebook(cells=cells), tmp_path / "page.ipynb")
    text = write_page(tmp_path / "page.ipynb").read_text()
    assert text.count("<math") == 3 and 'display="block"' in text
    assert "cost in $ of x$" in text and "\\alpha" not in text


def test_where_the_data_is_from():
    assert "no licence" in origin(load_config("quick")) and "may not be redistributed" in origin(load_config("fsc"))
    mixed = origin(load_config("quick", noise="data/MS-SNSD"))
    assert "no licence" not in mixed and "espeak-ng" in mixed and "`data/MS-SNSD`, the user's" in mixed


@pytest.mark.browser
def test_the_page_works_without_a_network(page, browser):
    context, asked, said = browser.new_context(offline=True), [], []
    tab = context.new_page()
    tab.on("request", lambda request: asked.append(request.url))
    tab.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.goto(page.as_uri())
    rows = "document.querySelector('.dt-container tbody').rows.length"
    tab.wait_for_function(f"{rows} === 14")
    tab.locator("input[type=search]").first.fill("bn seed")
    tab.wait_for_function(f"{rows} === 1")
    tab.wait_for_function("[...document.querySelectorAll('audio')].every((audio) => audio.duration > 0.1)")
    tab.click("text=04 tables")
    assert tab.locator("h1").inner_text().startswith("Tables")
    assert tab.locator("math").first.bounding_box()["height"] > 5  # a formula is drawn
    context.close()
    assert said == [] and [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
