import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from jointlib.findings.pages import write_page


@pytest.fixture
def page(tmp_path):
    """A page with formulas in prose, in code and in what a cell shows."""
    shown = new_output("display_data", {"text/markdown": "shown: $\\beta$"})
    prose = "inline $\\alpha_1 < 2$, `cost in $ of x$`\n\n$$\\mathrm{SNR} = 20 \\log_{10} \\frac{s}{n}$$"
    cells = [new_markdown_cell(prose), new_code_cell("1", outputs=[shown])]
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
