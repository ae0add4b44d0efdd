"""The shape of the repository: its rooms and who may import from whom, pinned packages, clean notebooks."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
LIBRARY = ROOT / "jointlib"
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
METHOD = {"waveunet", "masknet", "tcn", "strategies", "losses", "train", "metrics"}
ROOMS = ("support", "method", "config", "corpora", "fast", "runs", "audition")  # each may import from those before
ALLOWED = {room: set(ROOMS[:place]) for place, room in enumerate(ROOMS)}
ALLOWED |= {"config": {"method"}, "fast": {"method"}, "__main__": {"support"}}
MODULES = {
    ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file
    for file in sorted(LIBRARY.rglob("*.py"))
}


def imports(file: Path) -> set[str]:
    """The library's modules that a file imports, wherever in it, but not for type annotations only."""
    tree = ast.parse(file.read_text())
    typing_only = {
        child
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for child in ast.walk(node)
    }
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node not in typing_only:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else node.module for name in names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name for name in found if name in MODULES and name != "jointlib"}


def room(module: str) -> str:
    name = module.split(".")[1]
    return "method" if name in METHOD else name


def test_the_method_stands_at_the_door():
    entries = {path.stem for path in LIBRARY.iterdir() if path.name != "__pycache__"}
    entries -= {"__init__", "__main__"}
    assert entries == METHOD | set(ROOMS) - {"method"} and len(entries) <= 13


@pytest.mark.parametrize("module", [name for name in MODULES if name != "jointlib"])
def test_imports_go_one_way(module):
    for imported in imports(MODULES[module]):
        assert room(imported) in ALLOWED[room(module)] | {room(module)}, f"{module} imports {imported}"


def test_no_circle_of_imports():
    left = {name: imports(file) - {name} for name, file in MODULES.items()}
    left = {name: {other for other in found if not name.startswith(f"{other}.")} for name, found in left.items()}
    while free := [name for name, found in left.items() if not found & set(left)]:
        for name in free:
            del left[name]
    assert left == {}


def test_the_networks_know_nothing_of_the_rest():
    for name in ("waveunet", "tcn", "losses"):
        assert imports(LIBRARY / f"{name}.py") == set()
    assert imports(LIBRARY / "masknet.py") == {"jointlib.tcn"}
    networks = {"jointlib.waveunet", "jointlib.masknet", "jointlib.tcn"}
    assert imports(LIBRARY / "strategies.py") == networks | {"jointlib.losses"}


def test_who_may_draw_and_who_may_show_widgets():
    for name, file in MODULES.items():
        packages = set(re.findall(r"^\s*(?:from|import) (\w+)", file.read_text(), re.M))
        assert "matplotlib" not in packages or room(name) in ("runs", "audition"), name
        assert not packages & {"ipywidgets", "anywidget"} or room(name) == "audition", name


def test_the_swap_is_made_where_runs_are_made_and_loaded():
    users = {name for name, file in MODULES.items() if "jointlib.fast.cpu" in imports(file)}
    assert users == {"jointlib.runs.fit", "jointlib.runs.run"}


def test_conda_and_pip_users_get_the_same_pinned_set():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {*project["dependencies"], *project["optional-dependencies"]["dev"]}
    assert all("==" in requirement for requirement in wanted)
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    listed = next(entry["pip"] for entry in conda if isinstance(entry, dict))
    assert {entry for entry in listed if not entry.startswith("-")} == wanted
    constraints = {line.lower() for line in (ROOT / "constraints.txt").read_text().splitlines()}
    assert {requirement.lower() for requirement in wanted} <= constraints


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_clean_and_take_parameters(path):
    cells = json.loads(path.read_text())["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert not any(cell["outputs"] or cell["execution_count"] for cell in code)
    (parameters,) = [cell for cell in code if "parameters" in cell["metadata"].get("tags", [])]
    names = [line.split(" = ")[0] for line in "".join(parameters["source"]).splitlines()]
    assert names[0] == "PROFILE" and all(name.isupper() for name in names)
    assert not any("class " in "".join(cell["source"]) for cell in code)
    text = "".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    assert "**Question.**" in text and "## What to try next" in text


def test_jupyter_is_told_of_root_and_of_nobody_else():
    command = ["make", "--no-print-directory", "-n", "-o", ".venv/installed", "-C", str(ROOT), "lab"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "--ServerApp.ip=127.0.0.1" in printed and ("--allow-root" in printed) == (os.getuid() == 0)


def test_nothing_that_was_sent_is_executed():
    """No pickle, no unsafe YAML, no evaluated text, no shell: what runs is what is written in this repository."""
    doors = re.compile(r"pickle|torch\.load|yaml\.(unsafe_|full_)?load\b|\beval\(|\bexec\(|shell=True|os\.system|popen")
    sources = [ROOT / "Snakefile", *NOTEBOOKS, *LIBRARY.rglob("*.py"), *(ROOT / "benchmarks").glob("*.py")]
    found = [
        f"{file.name}: {line.strip()}"
        for file in sources
        for line in file.read_text().splitlines()
        if doors.search(line.replace(".eval()", ""))
    ]
    assert found == []
    quoted = re.findall(r"\{(?:input|log|params)[.\w]*(:q)?\}", (ROOT / "Snakefile").read_text())
    assert quoted and set(quoted) == {":q"}


def test_the_pages_show_what_was_recorded():
    record = ROOT / "results/reference"
    results, trust, scale = ((ROOT / "docs" / name).read_text() for name in ("results.md", "trust.md", "scale.md"))
    shown = re.findall(r"<!-- (\S+\.md) -->\n\n(.*?)\n\n<!-- end -->", results, re.S)
    assert {"grid/tables.md", "overview.md", "dominance.md"} <= {name for name, _ in shown}
    for name, text in shown:
        assert (record / name).read_text().strip() == text, name
    counted = json.loads((record / "trust.json").read_text())
    assert counted["training"]["different"] == [] and counted["pipeline"]["different"] == []
    slurm = json.loads((record / "slurm.json").read_text())
    assert slurm["different"] == [] and f"out of {slurm['jobs']} jobs" in scale
    assert f"{counted['training']['kills']}, in 7 phases" in trust and str(counted["bad_inputs"]) in trust


def test_every_link_of_the_pages_leads_somewhere():
    for page in [
        ROOT / "README.md",
        *(ROOT / "docs").glob("*.md"),
        ROOT / "benchmarks/README.md",
        ROOT / "data/README.md",
    ]:
        for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_make_takes_a_profile_with_a_blank_and_no_python_that_is_too_old(tmp_path):
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    plan = ["make", "-n", "-o", ".venv/installed", "reproduce", "PROFILE=my corpus/mine.yaml"]
    assert '"profile=my corpus/mine.yaml"' in subprocess.run(plan, cwd=tmp_path, capture_output=True, text=True).stdout
    old = tmp_path / "python"
    old.write_text(
        f'#!/bin/sh\nexec {sys.executable} -c "import sys; sys.version_info = (3, 10); exec(sys.argv[1])" "$2"\n'
    )
    old.chmod(0o755)
    made = subprocess.run(["make", ".venv/installed", f"PYTHON={old}"], cwd=tmp_path, capture_output=True, text=True)
    assert made.returncode and "Python 3.11 or newer is wanted" in made.stderr and not (tmp_path / ".venv").exists()
