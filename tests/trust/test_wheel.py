"""The package as others install it: where it writes, and what it lacks."""

import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from jointlib.config import CHECKOUT

pytestmark = pytest.mark.trust


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A folder that holds what the wheel holds, as site-packages does."""
    if not all(importlib.util.find_spec(name) for name in ("pip", "setuptools", "wheel")):
        pytest.skip("pip, setuptools and wheel build the package")
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(CHECKOUT / name, folder)
    shutil.copytree(CHECKOUT / "jointlib", folder / "jointlib", ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", "out", "."]
    subprocess.run(command, cwd=folder, check=True)
    (wheel,) = (folder / "out").glob("*.whl")
    zipfile.ZipFile(wheel).extractall(folder / "site-packages")
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


def test_a_checkout_writes_below_itself_or_the_folder_it_is_told(tmp_path):
    """And finds its published tables in either case."""
    code = f"{WHERE}\nfrom jointlib.runs.comparisons import published; print(len(published()))"
    for given, top in (({}, CHECKOUT), ({"JOINTLIB_HOME": str(tmp_path)}, tmp_path)):
        found = places(CHECKOUT, tmp_path / "work", code, **given)
        assert found[1:5] == [str(top / "results/smoke"), str(top), str(CHECKOUT), "56"]


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
