"""The record: the pages that show it, and the learning rates that it chooses."""

import base64
import io

import nbformat
import pandas as pd
import pytest
from invented import invented_scores
from nbformat import v4

from benchmarks import pages, rates
from benchmarks.executed import write_markdown
from benchmarks.pages import PAGES, filled
from jointlib.config import load_config


def test_pages_show_what_is_recorded():
    """No number of README, documents and notebooks that names its source is out of date."""
    stale = [page.name for page in PAGES if filled(page.read_text()) != page.read_text()]
    assert not stale, "python -m benchmarks.pages fills them in"


def test_a_page_asks_for_means_intervals_and_differences(monkeypatch):
    scores = invented_scores({"detached": 0.9, "jt": 0.8}, {"detached": 1.9, "jt": 1.1})
    longer = scores.assign(correct=scores.correct + 0.1)
    monkeypatch.setattr(pages, "scores", lambda profile, passages, variant="": longer if variant else scores)
    asked = ("beyond detached correct", "beyond jt:0.5 pesq_wb 95%", "beyond detached-jt pesq_wb")
    mean, of_jt, gap = filled("\n".join(f"0.1 [0, 2]<!--{key}-->" for key in asked)).splitlines()
    assert float(mean.partition("<")[0]) == pytest.approx(0.9, abs=0.02)
    assert float(of_jt.partition(" [")[0]) == pytest.approx(1.1, abs=0.02) and "]<!--" in of_jt
    assert gap.startswith("+0.8")
    part = "<!--beyond jt correct speaker==0-->"
    assert filled(f"1{part}") == f"{scores.correct[30]:.3f}{part}"
    assert filled("1<!--beyond jt/steps=9-jt correct-->").startswith("+0.100 [")
    with pytest.raises(ValueError, match="was not run"):
        filled("1<!--beyond bn correct-->")


def test_rates_are_tried_until_validation_decides(monkeypatch):
    """The lowest rate wins on the first seed, so a lower one is tried; two that are close meet on further seeds."""
    accuracies = {5e-4: [0.70], 1e-3: [0.90, 0.80, 0.80], 2e-3: [0.895, 0.81, 0.83], 4e-3: [0.6]}
    runs = pd.DataFrame(columns=["learning_rate", "seed", "valid_accuracy", "valid_loss"])

    def tried(strategy, asked, seed):
        nonlocal runs
        known = {(row.learning_rate, row.seed) for row in runs.itertuples()}
        new = [(rate, seed, accuracies[rate][seed], 1.0) for rate in asked if (rate, seed) not in known]
        runs = pd.concat([runs, pd.DataFrame(new, columns=runs.columns)])
        return runs

    monkeypatch.setattr(rates, "tried", tried)
    monkeypatch.setattr(rates, "record", lambda: runs.assign(strategy="jt"))
    for _ in ("anew", "resumed"):
        assert rates.choose("jt") == 2e-3
        assert len(runs) == sum(map(len, accuracies.values()))
    enhancer = runs.assign(valid_accuracy=float("nan"), valid_loss=runs.learning_rate)
    assert rates.best(enhancer[enhancer.seed == 0]) == 5e-4  # enhancement alone has but a loss


def test_profiles_train_at_the_rates_that_the_record_chooses():
    for strategy, trials in rates.record().groupby("strategy"):
        assert load_config("beyond", strategy=strategy).learning_rate == rates.best(trials), strategy


def test_an_executed_notebook_as_markdown(tmp_path):
    """Figures lie beside the page; sounds, widgets and the layout of pandas are left out."""
    axes = pd.DataFrame({"a": [1.0]}).plot()
    axes.figure.savefig(drawn := io.BytesIO())
    html = "<style scoped>td {}</style><table></table>"
    shown = [{"image/png": base64.b64encode(drawn.getvalue()).decode()}, {"text/html": html}]
    hidden = [{"text/html": "<audio src='data:...'>"}, {"application/vnd.jupyter.widget-view+json": {}}]
    outputs = [v4.new_output("display_data", data) for data in shown + hidden]
    notebook = v4.new_notebook(cells=[v4.new_markdown_cell("# Title"), v4.new_code_cell("1 + 1", outputs=outputs)])
    nbformat.write(notebook, tmp_path / "executed.ipynb")
    write_markdown(tmp_path / "executed.ipynb", tmp_path / "pages/page.md")
    text = (tmp_path / "pages/page.md").read_text()
    assert text.startswith("# Title") and "<table>" in text and "page/output_1_0.png" in text
    assert not any(word in text for word in ("<audio", "<style", "widget"))
    assert (tmp_path / "pages/page/output_1_0.png").read_bytes() == drawn.getvalue()
