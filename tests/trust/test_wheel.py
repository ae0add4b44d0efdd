"""The package as others install it: where it writes, and what it lacks."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from jointlib.config import CHECKOUT

pytestmark = pytest.mark.trust


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A folder that holds what the wheel brings into site-packages; setuptools makes the wheel of it."""
    if importlib.util.find_spec("setuptools") is None:
        pytest.skip("setuptools builds the package")
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(CHECKOUT / name, folder)
    shutil.copytree(CHECKOUT / "jointlib", folder / "jointlib", ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-c", "import setuptools; setuptools.setup()", "-q", "build_py", "-d", "site-packages"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder / "site-packages"


def places(installed: Path, folder: Path, code: str, **environment: str) -> list[str]:
    """What a program prints that uses the installed package in a working folder."""
    folder.mkdir(exist_ok=True)
    outside = {name: value for name, value in os.environ.items() if name != "JOINTLIB_HOME"}
    outside |= {"PYTHONPATH": str(installed), "PYTHONDONTWRITEBYTECODE": "1", **environment}
    command = [sys.executable, "-c", f"from jointlib.config import *\n{code}"]
    return subprocess.run(command, cwd=folder, env=outside, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )


def test_the_wheel_holds_all_files_of_the_package(installed):
    def files(top):
        return {str(file.relative_to(top)) for file in (top / "jointlib").rglob("*") if file.is_file()}

    wanted = {name for name in files(CHECKOUT) if "__pycache__" not in name}
    assert files(installed) == wanted and "jointlib/config/quick.yaml" in wanted


WHERE = "import jointlib; print(jointlib.__file__, load_config('smoke').folder, ROOT, CHECKOUT, sep='\\n')"


@pytest.mark.parametrize("home", ["", "elsewhere"])
def test_an_installed_package_writes_below_the_working_folder_or_the_one_it_is_told(installed, tmp_path, home):
    given = {"JOINTLIB_HOME": home} if home else {}
    found = places(installed, tmp_path / "work", WHERE, **given)
    top = tmp_path / "work" / home
    assert found[:3] == [str(installed / "jointlib/__init__.py"), str(top / "results/smoke"), str(top)]


def test_a_checkout_that_is_told_to_write_elsewhere_finds_its_published_tables(tmp_path):
    code = f"{WHERE}\nfrom jointlib.runs.comparisons import published; print(len(published()))"
    found = places(CHECKOUT, tmp_path / "work", code, JOINTLIB_HOME=str(tmp_path))
    assert found[1:5] == [str(tmp_path / "results/smoke"), str(tmp_path), str(CHECKOUT), "56"]


def test_an_installed_package_finishes_a_run_says_what_it_lacks_and_leaves_site_packages_alone(
    installed, tmp_path, tiny_profile
):
    before = {path: path.stat().st_mtime_ns for path in installed.rglob("*")}
    code = f"""
import json
from jointlib.runs.fit import fit
from jointlib.runs.tables import published
folder = fit(load_config({str(tiny_profile)!r}, strategy="classifier_noisy", steps=1, results="results"))
print(folder, json.loads((folder / "record.json").read_text())["commit"], sep="\\n")
try:
    published()
except FileNotFoundError as error:
    print(error)
"""
    folder, commit, error, _ = places(installed, tmp_path / "work", code)
    assert folder == str(tmp_path / "work/results/tiny/runs/classifier_noisy_seed0_steps=1") and commit == "None"
    assert "tables.csv is missing: the published tables, like the notebooks, come with a checkout only" in error
    assert (tmp_path / "work/data/cache").is_dir()
    assert {path: path.stat().st_mtime_ns for path in installed.rglob("*")} == before
