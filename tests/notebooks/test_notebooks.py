"""The notebooks as a user runs them: the pipeline executes all of them on a small grid."""

import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml

from jointlib.config import ConfigError
from jointlib.corpora.corpus import Corpus

ROOT = Path(__file__).parents[2]
STRATEGIES = ["jt", "detached"]  # which notebook 6 compares; JT starts from a classifier, which notebook 2 trains


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


@pytest.mark.parametrize(("rows", "drawn"), [(["classifier_clean", "classifier_noisy"], False), (STRATEGIES, True)])
def test_figures_are_drawn_of_accuracy_beside_quality(tmp_path, rows, drawn):
    (tmp_path / "own.yaml").write_text(yaml.safe_dump({"base": "smoke", "strategies": rows, "results": str(tmp_path)}))
    planned = pipeline(tmp_path / "own.yaml", "--dry-run")
    assert planned.returncode == 0 and ("05_figures" in planned.stdout + planned.stderr) == drawn


@pytest.fixture(scope="module")
def results(profile) -> Path:
    """What the pipeline leaves, and beside the profile what it says."""
    finished = pipeline(profile)
    assert finished.returncode == 0, finished.stderr[-5000:]
    profile.with_name("said").write_text(finished.stderr + finished.stdout)
    return profile.with_suffix("")


def test_the_pipeline_says_what_it_does_and_finds_and_nothing_else(profile, results):
    lines = (said := profile.with_name("said").read_text()).splitlines()
    assert "3 runs, of which 0 exist" in lines[1] and "synthetic speech" in lines[2]
    jobs = [line for line in lines if re.match(r"\d\d:\d\d:\d\d  \S", line)]
    assert any(re.search(r"JT.*: step 12 of 12, validation accuracy 0\.\d+, 00:00 left", line) for line in jobs)
    assert sum("done in" in line for line in jobs) == 8  # notebook 1, three runs, and notebooks 4 to 7
    assert "What we see. " in said and str(results / "report.html") in lines[-2]
    assert len(lines) < 60 and not re.search("WARNING|jobid|Select jobs|Passed unknown|Complete log", said)


def test_a_cell_that_fails_is_shown_with_its_notebook(tmp_path):
    command = [sys.executable, ROOT / ".config/execute.py", ROOT / "notebooks/04_tables.ipynb", tmp_path / "a.ipynb"]
    ended = subprocess.run([*command, '{"PROFILE": "nowhere"}'], capture_output=True, text=True, check=False)
    assert ended.returncode == 1 and f"failed in cell [3] of {tmp_path / 'a.ipynb'}" in ended.stderr
    assert "\nConfigError: unknown profile 'nowhere'" in ended.stderr and len(ended.stderr.splitlines()) == 4


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


def execute(name: str, times: int, only: int | None = None, **parameters: object) -> dict[str, object]:
    """Execute code cells of a notebook in this process, as often as `times` says: all, or the first ones only."""
    notebook = nbformat.read(ROOT / f"notebooks/{name}.ipynb", as_version=4)
    cells, scope = [cell for cell in notebook.cells if cell.cell_type == "code"][:only], {}
    for cell in cells * times:
        exec(cell.source, scope)
        if "parameters" in cell.metadata.get("tags", []):
            scope |= parameters
    return scope


@pytest.mark.parametrize(
    ("name", "given", "wanted"),
    [
        ("01_contaminate", {"EXPORT_WAVS": "false", "UTTERANCE": "3"}, {"EXPORT_WAVS": False, "UTTERANCE": 3}),
        ("02_baselines", {"BASELINES": "enhancement"}, {"BASELINES": ["enhancement"]}),
        ("04_tables", {"SEEDS": "[0, 5]", "STRATEGIES": "jt"}, {"seeds": (0, 5), "strategies": ("jt",)}),
        ("01_contaminate", {"SNR_DB": "[0, 5", "UTTERANCE": 0}, "snr_db"),
        ("03_train_strategy", {"UTTERANCE": 10_000}, "UTTERANCE=10000: the test plan has rows 0 to 30"),
        ("07_beyond_the_paper", {"QUALITY": "loudness"}, "QUALITY='loudness': must be 'pesq_wb_enhanced'"),
        ("08_report", {"run_a": "jt"}, "'run_a': did you mean RUN_A"),
        ("03_train_strategy", {"profile": "smoke"}, "'profile': did you mean PROFILE"),
        ("03_train_strategy", {"PROFILE": None}, "PROFILE is missing: it is one of ablation, "),
    ],
)
def test_parameters_as_papermill_gives_them(name, given, wanted):
    """In the first two cells: what is refused is refused before the work begins."""
    if isinstance(wanted, str):
        with pytest.raises(ConfigError, match=re.escape(wanted)):
            execute(name, times=1, only=2, **{"PROFILE": "smoke"} | given)
    else:
        scope = execute(name, times=2, only=2, PROFILE="smoke", **given)
        assert wanted.items() <= ({**scope, **dict(scope["config"])}).items()


def test_all_cells_of_the_audition_run_twice_and_without_a_run(profile, results, capsys):
    execute("06_audition", times=2, PROFILE=str(profile), STATIC=True)
    scope = execute("06_audition", times=1, PROFILE=str(profile), STATIC=True, RUN_A="none")
    assert "A is left out: " in capsys.readouterr().out and "enhanced B" in scope["waves"]


def test_noisy_corpus_is_written_for_other_tools(tmp_path):
    execute("01_contaminate", times=1, PROFILE="smoke", EXPORT_WAVS=True, RESULTS=str(tmp_path), SNR_DB=[5])
    noisy = tmp_path / "smoke" / "snr_db=5" / "noisy_corpus"  # of this variant of the profile
    assert len(Corpus.read(noisy).intents) == 31
