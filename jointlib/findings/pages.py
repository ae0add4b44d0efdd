"""Executed notebooks as pages that work offline: formulas are MathML, and nothing is loaded from other hosts."""

import re
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from nbconvert import HTMLExporter
from nbconvert.preprocessors import CoalesceStreamsPreprocessor, Preprocessor
from nbformat import NotebookNode

from jointlib.support.files import write_atomically

_FORMULA = re.compile(r"(`[^`]+`)|\$\$(.+?)\$\$|\$([^$\n]+?)\$", re.DOTALL)  # code, which is left alone, or TeX
_NOTHING = "data:,"  # replaces scripts from other hosts
_LOOK = """<style>
.jp-RenderedHTMLCommon :is(td, th) { text-align: left !important; vertical-align: top }
.jp-Notebook .highlight pre { white-space: pre-wrap }
@media (max-width: 60rem) {
  .jp-Notebook .jp-Cell :is(.jp-InputPrompt, .jp-OutputPrompt) { display: none }
  .jp-RenderedHTMLCommon :is(td, th) { padding: .3em; font-size: 11px }
}
</style></head>"""


class MathML(Preprocessor):
    """Convert TeX formulas, in Markdown cells and Markdown outputs, to MathML, which browsers render."""

    def preprocess_cell(self, cell: NotebookNode, resources: Any, index: int) -> tuple[NotebookNode, Any]:
        """Convert one cell; called by nbconvert."""
        if cell.cell_type == "markdown":
            cell.source = _FORMULA.sub(_in_mathml, cell.source)
        for output in cell.get("outputs", []):
            if "text/markdown" in (data := output.get("data", {})):
                data["text/markdown"] = _FORMULA.sub(_in_mathml, data["text/markdown"])
        return cell, resources


def _in_mathml(match: re.Match[str]) -> str:
    code, block, inline = match.groups()
    return code or convert(block or inline, display="block" if block else "inline")


def write_page(notebook: Path, page: Path | None = None, code: bool = True) -> Path:
    """Write an executed notebook as HTML, by default as NAME.html beside it, and return the page; with its code or
    without."""
    urls = dict.fromkeys(("mathjax_url", "require_js_url", "mermaid_js_url", "mermaid_layout_elk_js_url"), _NOTHING)
    # Coalesced streams show only the last state of a progress bar.
    exporter = HTMLExporter(preprocessors=[MathML, CoalesceStreamsPreprocessor], exclude_input=not code, **urls)
    exporter.exclude_input_prompt = exporter.exclude_output_prompt = not code
    html, _ = exporter.from_filename(str(notebook))
    page = page or notebook.with_suffix(".html")
    write_atomically(page, html.replace("</head>", _LOOK, 1).encode())
    return page
