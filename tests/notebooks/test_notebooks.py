"""The notebooks as a user runs them: the pipeline executes all of them on a small grid."""

import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml

from jointlib.corpora.corpus import Corpus

ROOT = Path(__file__).parents[2]
STRATEGIES = ["jt", "protected"]  # which notebook 6 compares; JT starts from a classifier, which notebook 2 trains


def pipeline(profile: Path, *options: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--cores", "1"]
    command += ["--directory", str(profile.parent), "--profile", str(ROOT / ".config/snakemake/local")]
    command += ["--config", f"profile={profile}", *options]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


@pytest.fixture(scope="module")
def profile(tmp_path_factory) -> Path:
    """smoke with few strategies, in a folder whose name is a command."""
    folder = tmp_path_factory.mktemp("a b'; touch planted; '$(touch planted)")
    values = {"base": "smoke", "strategies": STRATEGIES, "results": str(folder)}
    (folder / "small grid.yaml").write_text(yaml.safe_dump(values))
    return folder / "small grid.yaml"


@pytest.fixture(scope="module")
def results(profile) -> Path:
    """What the pipeline leaves."""
    finished = pipeline(profile)
    assert finished.returncode == 0, finished.stderr[-5000:]
    return profile.with_suffix("")


def test_every_notebook_was_executed(results):
    executed = [nbformat.read(path, as_version=4) for path in sorted((results / "notebooks").glob("*.ipynb"))]
    titles = {notebook.cells[0].source.splitlines()[0] for notebook in executed}
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        assert nbformat.read(path, as_version=4).cells[0].source.splitlines()[0] in titles, path.name
    for notebook in executed:
        assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code")


def test_no_shell_reads_the_names_of_folders(profile, results):
    assert not (profile.parent / "planted").exists()


def test_a_page_shows_the_last_state_of_progress(results):
    page = (results / "notebooks/jt_alpha0.5_seed0.html").read_text()
    assert page.count("12/12") >= 1 and "0/12" not in page


def test_classifiers_that_have_learnt_nothing_are_marked(results):
    """As those of smoke have not, after 24 steps."""
    assert "†" in (results / "report.html").read_text()
    assert "†" in str(nbformat.read(results / "notebooks/04_tables.ipynb", as_version=4).cells)


def test_the_report_links_to_executed_notebooks(results):
    links = re.findall(r'href="(notebooks/[^"]+)"', (results / "report.html").read_text())
    assert len(set(links)) >= 7 and all((results / link).is_file() for link in links)


def test_a_second_seed_adds_its_runs_and_no_other(profile, results):
    plan = pipeline(profile, "seeds=[0,1]", "-n")
    assert plan.returncode == 0 and "6 runs, of which 3 exist" in plan.stderr
    planned = re.findall(r"wildcards: run=(\S+)", plan.stdout + plan.stderr)
    assert len(planned) == 3 and all("_seed1" in name for name in planned)


def execute(name: str, times: int, **parameters: object) -> None:
    """Execute all code cells of a notebook in this process, one after the other, as often as `times` says."""
    notebook = nbformat.read(ROOT / f"notebooks/{name}.ipynb", as_version=4)
    cells, scope = [cell for cell in notebook.cells if cell.cell_type == "code"], {}
    for cell in cells * times:
        exec(cell.source, scope)
        if "parameters" in cell.metadata.get("tags", []):
            scope |= parameters


def test_all_cells_of_the_audition_run_twice(profile, results):
    execute("06_audition", times=2, PROFILE=str(profile), STATIC=True)


def test_noisy_corpus_is_written_for_other_tools(tmp_path):
    execute("01_contaminate", times=1, PROFILE="smoke", EXPORT_WAVS=True, RESULTS=str(tmp_path), SNR_DB=[5])
    noisy = tmp_path / "smoke" / "snr_db=5" / "noisy_corpus"  # of this variant of the profile
    assert len(Corpus.read(noisy).intents) == 31
