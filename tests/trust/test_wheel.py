"""The package as others install it."""

import os
import shutil
import subprocess
import sys

import pytest

from jointlib.config import CHECKOUT

pytestmark = pytest.mark.trust


def test_an_installed_package_is_complete_and_writes_below_the_working_folder(tmp_path):
    """setuptools makes the wheel of what build_py gathers."""
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(CHECKOUT / name, tmp_path)
    shutil.copytree(CHECKOUT / "jointlib", tmp_path / "jointlib", ignore=shutil.ignore_patterns("__pycache__"))
    setup = [sys.executable, "-c", "import setuptools; setuptools.setup()", "-q", "build_py", "-d", "site-packages"]
    subprocess.run(setup, cwd=tmp_path, check=True, capture_output=True)
    installed, work = tmp_path / "site-packages", tmp_path / "work"
    for file in (tmp_path / "jointlib").rglob("*"):
        assert (installed / file.relative_to(tmp_path)).exists() or "egg-info" in str(file), file
    work.mkdir()
    code = "import jointlib; from jointlib.config import load_config; print(jointlib.__file__, load_config().folder)"
    environment = {name: value for name, value in os.environ.items() if name != "JOINTLIB_HOME"}
    environment |= {"PYTHONPATH": str(installed), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", code]
    ended = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, check=True)
    assert ended.stdout == f"{installed}/jointlib/__init__.py {work}/results/quick\n"
