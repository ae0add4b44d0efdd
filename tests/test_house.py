import json
import re
import tomllib
from pathlib import Path

import pytest
import yaml

from benchmarks.trust import table

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


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


def test_nothing_that_was_sent_is_executed():
    """No pickle, no unsafe YAML, no evaluated text, no shell: what runs is what is written in this repository."""
    doors = re.compile(r"pickle|torch\.load|yaml\.(unsafe_|full_)?load\b|\beval\(|\bexec\(|shell=True|os\.system|popen")
    sources = [ROOT / "Snakefile", *NOTEBOOKS, *(ROOT / "jointlib").rglob("*.py"), *(ROOT / "benchmarks").glob("*.py")]
    found = [
        f"{file.name}: {line.strip()}"
        for file in sources
        for line in file.read_text().splitlines()
        if doors.search(line.replace(".eval()", ""))
    ]
    assert found == []
    quoted = re.findall(r"\{(?:input|log|params)[.\w]*(:q)?\}", (ROOT / "Snakefile").read_text())
    assert quoted and set(quoted) == {":q"}


def test_readme_shows_the_recorded_tables():
    readme = (ROOT / "README.md").read_text()
    for name in ("tables.md", "overview.md"):
        recorded = (ROOT / "results/reference" / name).read_text()
        assert recorded.strip() in readme, f"README.md differs from results/reference/{name}"


def test_readme_shows_what_was_counted():
    counted = json.loads((ROOT / "results/reference/trust.json").read_text())
    assert table(counted) in (ROOT / "README.md").read_text()
    assert counted["training"]["kills"] >= 50 and counted["training"]["different"] == []
    assert counted["pipeline"]["kills"] >= 10 and counted["pipeline"]["different"] == []


def test_the_map_in_the_readme_names_every_module():
    readme = (ROOT / "README.md").read_text()
    for module in (ROOT / "jointlib").glob("[a-z]*.py"):
        assert f"`{module.stem}`" in readme


def test_the_latency_in_the_readme_is_the_recorded_one():
    recorded = json.loads((ROOT / "results/reference/audition.json").read_text())["from_key_to_new_sound"]
    medians = [entry["median_ms"] for entry in recorded.values()]
    assert f"{min(medians)} to {max(medians)} ms at the median" in (ROOT / "README.md").read_text()
