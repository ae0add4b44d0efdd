"""The walk as a user takes it: the pipeline executes every notebook with the profile smoke."""

import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import papermill
import pytest
from papermill.parameterize import parameterize_notebook

from jointlib.corpora.corpus import Corpus

ROOT = Path(__file__).parents[2]


def pipeline(results: Path, *options: str, settings: tuple[str, ...] = ()) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--cores", "2"]
    command += ["--directory", str(results), "--profile", str(ROOT / ".config/snakemake/local"), *options]
    command += ["--config", "profile=smoke", f"results={results}", *settings]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    finished = pipeline(folder)
    assert finished.returncode == 0, finished.stderr[-5000:]
    return folder


def test_every_notebook_was_executed(results):
    executed = [nbformat.read(path, as_version=4) for path in sorted((results / "smoke/notebooks").glob("*.ipynb"))]
    titles = {notebook.cells[0].source.splitlines()[0] for notebook in executed}
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        assert nbformat.read(path, as_version=4).cells[0].source.splitlines()[0] in titles, path.name
    for notebook in executed:
        assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code")


def test_progress_is_one_output(results):
    notebook = nbformat.read(results / "smoke/notebooks/jt_alpha0.5_seed0.ipynb", as_version=4)
    (cell,) = [cell for cell in notebook.cells if cell.cell_type == "code" and "fit(config" in cell.source]
    assert not [output for output in cell.outputs if output.output_type == "stream"]
    assert len(cell.outputs) <= 4


def test_the_report_names_the_classifiers_that_have_learnt_nothing(results):
    """As those of smoke have not, after sixteen steps."""
    assert "† Classifiers that have learnt nothing" in (results / "smoke/report.html").read_text()
    executed = nbformat.read(results / "smoke/notebooks/04_tables.ipynb", as_version=4)
    assert "† A classifier that has learnt nothing" in str(executed.cells)


def test_report_and_figures(results):
    page = (results / "smoke/report.html").read_text()
    figures = sorted(file.name for file in (results / "smoke/figures").glob("*.png"))
    assert len(figures) == 6 and 'src="data:image/png' in page  # the trade-off, at the top
    assert all(f"figures/{name}" in page for name in figures if name != "trade_off.png")
    assert all(f"notebooks/{file.name}" in page for file in (results / "smoke/notebooks").glob("*.html"))


def test_what_is_done_is_not_done_again(results):
    again = pipeline(results)
    assert again.returncode == 0 and "Nothing to be done" in again.stdout + again.stderr


def test_more_seeds_add_their_cells_and_no_other(results):
    plan = pipeline(results, "-n", settings=("seeds=[0,1]",))
    assert plan.returncode == 0 and "28 cells: 14 made, 0 only to be evaluated anew" in plan.stderr
    planned = re.findall(r"wildcards: run=(\S+)", plan.stdout + plan.stderr)
    assert len(planned) == 14 and all("_seed1" in name for name in planned)


def test_other_snrs_in_the_test_are_seen_to_need_no_training(results):
    plan = pipeline(results, "-n", settings=("snr_db_test=[0]",))
    assert plan.returncode == 0 and "14 cells: 0 made, 14 only to be evaluated anew" in plan.stderr


def test_dry_run_shows_every_cell(tmp_path):
    plan = pipeline(tmp_path, "-n")
    assert plan.returncode == 0
    assert (plan.stdout + plan.stderr).count("rule cell:") == 14


@pytest.mark.parametrize(("name", "own"), [("05_figures", {}), ("06_audition", {"STATIC": True})])
def test_all_cells_run_twice_in_one_kernel(results, tmp_path, name, own):
    notebook = papermill.iorw.load_notebook_node(str(ROOT / f"notebooks/{name}.ipynb"))
    notebook = parameterize_notebook(notebook, {"PROFILE": "smoke", "RESULTS": str(results)} | own)
    notebook.cells += [nbformat.v4.new_code_cell(cell.source) for cell in notebook.cells if cell.cell_type == "code"]
    nbformat.write(notebook, tmp_path / "twice.ipynb")
    output = str(tmp_path / "out.ipynb")
    papermill.execute_notebook(tmp_path / "twice.ipynb", output, kernel_name="python3", progress_bar=False)


def test_unknown_parameter_stops_a_notebook_before_it_works(tmp_path):
    with pytest.raises(papermill.PapermillExecutionError, match="did you mean 'LEARNING_RATE'"):
        papermill.execute_notebook(
            ROOT / "notebooks/03_train_strategy.ipynb",
            tmp_path / "out.ipynb",
            {"PROFILE": "smoke", "LEARNING_RAT": 1e-4, "RESULTS": str(tmp_path)},
            kernel_name="python3",
            progress_bar=False,
        )
    assert not (tmp_path / "smoke").exists()


def test_noisy_corpus_is_written_for_other_tools(tmp_path):
    papermill.execute_notebook(
        ROOT / "notebooks/01_contaminate.ipynb",
        tmp_path / "out.ipynb",
        {"PROFILE": "smoke", "EXPORT_WAVS": True, "RESULTS": str(tmp_path), "SNR_DB": [5]},
        kernel_name="python3",
        progress_bar=False,
    )
    noisy = tmp_path / "smoke" / "snr_db=5" / "noisy_corpus"  # of this variant of the profile
    assert len(Corpus.read(noisy, tmp_path / "cache").intents) == 31
