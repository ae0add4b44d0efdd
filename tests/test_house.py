"""The shape of the repository: its size, its rooms and who may import from whom, pinned packages, clean notebooks."""

import ast
import json
import re
import subprocess
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from jointlib.config import Config

ROOT = Path(__file__).parents[1]
LIBRARY = ROOT / "jointlib"
PAGES = (ROOT / "README.md", *ROOT.glob("docs/*.md"), ROOT / "benchmarks/README.md", ROOT / "data/README.md")
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
METHOD = {"waveunet", "masknet", "tcn", "strategies", "losses", "train", "metrics"}  # files, at the top
BELOW = {  # what each room may import beside itself
    "support": set(),
    "method": set(),
    "config": {"method"},
    "notebook": {"config", "corpora"},
    "corpora": {"config", "support"},
    "runs": {"support", "method", "config", "corpora"},
    "findings": {"support", "method", "config", "corpora", "runs"},
    "audition": {"support", "method", "config", "corpora", "runs", "findings"},
}
BELOW["__main__"] = set(BELOW)
MODULES = {
    ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file
    for file in sorted(LIBRARY.rglob("*.py"))
}


def imports(file: Path) -> set[str]:
    """The library's modules and the packages that a file imports, wherever in it, but not for type annotations only."""
    tree = ast.parse(file.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else node.module for name in names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def room(module: str) -> str:
    name = module.split(".")[1]
    return "method" if name in METHOD else name


def test_the_library_is_thin():
    assert sum(len(file.read_text().splitlines()) for file in MODULES.values()) <= 5100
    entries = {path.stem for path in LIBRARY.iterdir() if path.name != "__pycache__"}
    assert entries == METHOD | set(BELOW) - {"method"} | {"__init__"}


def test_imports_go_one_way():
    graph = {name: imports(file) & set(MODULES) - {"jointlib", name} for name, file in MODULES.items()}
    del graph["jointlib"]
    upwards = {
        f"{name} imports {other}"
        for name, others in graph.items()
        for other in others
        if room(other) not in BELOW[room(name)] | {room(name)}
    }
    assert upwards == set()
    for name, others in graph.items():  # a package and its modules count as one
        graph[name] = {other for other in others if not name.startswith(f"{other}.")}
    TopologicalSorter(graph).prepare()  # CycleError: a circle


def test_who_may_draw_show_widgets_and_measure():
    for name, file in MODULES.items():
        packages = {imported.split(".")[0] for imported in imports(file)}
        assert "benchmarks" not in packages, name
        if name == "jointlib" or room(name) not in ("findings", "audition"):
            assert not packages & {"matplotlib", "seaborn"}, name
        if name == "jointlib" or room(name) != "audition":
            assert not packages & {"ipywidgets", "anywidget"}, name


def test_conda_and_pip_users_get_the_same_pinned_set():
    """Ranges in pyproject.toml, an exact version within each in constraints.txt, neither in environment.yml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = re.sub(r"^#.*\n", "", (ROOT / "constraints.txt").read_text(), flags=re.M).splitlines()
    pins = {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}
    assert len(pins) == len(lines)  # no package twice
    for requirement in map(Requirement, sum(project["optional-dependencies"].values(), project["dependencies"])):
        bounds = {"=="} if requirement.name in ("torch", "torchaudio") else {">=", "<"}
        assert {part.operator for part in requirement.specifier} == bounds, requirement
        assert pins[canonicalize_name(requirement.name)] in requirement.specifier, requirement
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    python = project["requires-python"].replace(">=", "python=")
    assert conda == [python, "pip", {"pip": ["-c constraints.txt", "-e ."]}]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_clean_and_take_parameters(path):
    notebook = json.loads(path.read_text())
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert notebook["metadata"]["language_info"]["file_extension"] == ".py"  # of `jupyter nbconvert --to script`
    assert not any(cell["outputs"] or cell["execution_count"] for cell in code)
    (parameters,) = [cell for cell in code if "parameters" in cell["metadata"].get("tags", [])]
    names = [line.split(" = ")[0] for line in "".join(parameters["source"]).splitlines()]
    assert names[0] == "PROFILE" and all(name.isupper() for name in names)


def test_a_strangers_files_are_never_executed():
    """No pickle, no unsafe YAML, no evaluated text, no shell."""
    doors = r"pickle\.loads?\(|Unpickler|torch\.load\((?!.*weights_only=True)|yaml\.(unsafe_|full_)?load\b"
    doors = re.compile(doors + r"|(?<![.\w])(eval|exec)\(|shell=True|os\.system|popen")
    sources = [ROOT / "Snakefile", *NOTEBOOKS, *LIBRARY.rglob("*.py"), *(ROOT / "benchmarks").glob("*.py")]
    lines = [f"{file.name}: {line.strip()}" for file in sources for line in file.read_text().splitlines()]
    assert [line for line in lines if doors.search(line)] == []
    quoted = re.findall(r"\{(?:input|log|params)[.\w]*(:q)?\}", (ROOT / "Snakefile").read_text())
    assert quoted and set(quoted) == {":q"}


def test_commands_of_the_pages_run_in_zsh():
    """Which takes brackets, ? and * outside quotes as patterns, and an interactive # as a word."""
    for page in PAGES:
        commands = re.findall(r"^    [a-z./].+$|`(?:[\w./]+ |--)[^`\n]*(?: --?\w|=)[^`\n]*`", page.read_text(), re.M)
        assert [one for one in commands if re.search(r"[][?*#]", re.sub(r'"[^"]*"', "", one))] == [], page.name


def test_every_link_of_the_pages_leads_somewhere():
    for page in PAGES:
        for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_make_takes_a_profile_with_a_blank():
    plan = ["make", "-n", "-o", ".venv/installed", "-C", str(ROOT), "reproduce", "PROFILE=my corpus/mine.yaml"]
    printed = subprocess.run(plan, capture_output=True, text=True, check=True).stdout
    assert '"profile=my corpus/mine.yaml"' in printed


def test_make_asks_the_index_of_torch_for_torch_alone():
    plan = ["make", "-n", "-W", "constraints.txt", "-C", str(ROOT), ".venv/installed", "TORCH_INDEX=file:///wheels"]
    printed = subprocess.run(plan, capture_output=True, text=True, check=True).stdout
    (line,) = [line for line in printed.splitlines() if "file:///wheels" in line]
    assert line.endswith('-c constraints.txt --no-deps --index-url "file:///wheels" torch torchaudio')
    assert printed.index(line) < printed.index("-e .")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_later_cell_binds_the_name_of_a_parameter(path):
    """So that the cell that reads the parameters can be run again."""
    cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    later = [cell["source"] for cell in cells if "parameters" not in cell["metadata"].get("tags", [])]
    nodes = [node for source in later for node in ast.walk(ast.parse("".join(source)))]
    names = [name for node in nodes if isinstance(node, ast.Assign | ast.For) for name in ast.walk(node)]
    bound = {name.id for name in names if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store)}
    ours = [node for node in nodes if isinstance(node, ast.ImportFrom) and node.module.startswith("jointlib.")]
    bound |= {alias.name for node in ours for alias in node.names if alias.name.isupper()}
    assert not {name for name in bound if name.lower() in Config.model_fields or name.isupper()} - {"CHECKOUT"}
