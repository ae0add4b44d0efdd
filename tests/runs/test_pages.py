import nbformat
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from jointlib.runs.pages import write_page


@pytest.fixture
def page(tmp_path):
    """A page with formulas in prose, in code and in what a cell shows, a wide table and a long line."""
    shown = new_output("display_data", {"text/markdown": "shown: $\\beta$"})
    prose = "inline $\\alpha_1 < 2$, `cost in $ of x$`\n\n$$\\mathrm{SNR} = 20 \\log_{10} \\frac{s}{n}$$"
    table = pd.DataFrame([["Protected JT", *["0.895 [0.845, 0.946]"] * 6, *["6"] * 4]]).to_html()
    wide = new_output("display_data", {"text/html": table})
    cells = [new_markdown_cell(prose), new_code_cell(f"1  # {'long ' * 25}", outputs=[shown, wide])]
    nbformat.write(new_notebook(cells=cells), tmp_path / "page.ipynb")
    return write_page(tmp_path / "page.ipynb")


def test_formulas_are_mathml_and_code_is_not(page):
    text = page.read_text()
    assert text.count("<math") == 3 and 'display="block"' in text
    assert "cost in $ of x$" in text and "\\alpha" not in text


@pytest.mark.browser
def test_a_page_asks_nobody_for_anything(page, browser):
    asked, tab = [], browser.new_page()
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto(page.as_uri())
    tab.wait_for_timeout(500)
    elsewhere = [url for url in asked if not url.startswith(("file:", "data:"))]
    drawn = tab.locator("math").first.bounding_box()
    tab.close()
    assert not elsewhere and drawn["height"] > 5


@pytest.mark.browser
def test_nothing_scrolls_sideways_on_a_narrow_page(page, browser):
    tab = browser.new_page(viewport={"width": 800, "height": 600})
    tab.goto(page.as_uri())
    parts = "[document.documentElement, ...document.querySelectorAll('.jp-OutputArea-output, .highlight pre')]"
    wider = tab.evaluate(f"{parts}.filter((part) => part.scrollWidth > part.clientWidth + 1).length")
    tab.close()
    assert wider == 0
