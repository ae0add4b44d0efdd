"""What Jupyter writes when a notebook is saved, with the settings of `make lab`."""

import shutil

import nbformat
import pytest
from jupyter_server.services.contents.largefilemanager import LargeFileManager
from nbformat.v4 import new_output
from traitlets.config.loader import PyFileConfigLoader

from jointlib.config import CHECKOUT


@pytest.fixture
def save(tmp_path):
    """Save notebook 6 as it is once it was run, below a checkout's folder; what is on the disk then."""
    shutil.copy(CHECKOUT / "jupyter_server_config.py", tmp_path)
    config = PyFileConfigLoader("jupyter_server_config.py", path=str(tmp_path)).load_config()

    def save(root: str, path: str) -> str:
        file = tmp_path / root / path
        file.parent.mkdir(parents=True)
        notebook = nbformat.read(CHECKOUT / "notebooks/06_audition.ipynb", as_version=4)
        notebook.metadata |= {"widgets": {"state": "x" * 1000}, "language_info": {"name": "python", "version": "3"}}
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell |= {"outputs": [new_output("stream", text="x" * 1000)], "execution_count": 3}
        manager = LargeFileManager(root_dir=str(tmp_path / root), config=config)
        manager.save({"type": "notebook", "content": notebook}, f"/{path}")
        return file.read_text()

    return save


@pytest.mark.parametrize(("root", "path"), [("notebooks", "06.ipynb"), ("", "notebooks/copies/06.ipynb")])
def test_a_notebook_that_was_run_is_saved_as_git_has_it(save, root, path):
    assert save(root, path) == (CHECKOUT / "notebooks/06_audition.ipynb").read_text()


def test_executed_copies_keep_their_outputs(save):
    assert "x" * 1000 in save("", "results/quick/notebooks/06.ipynb")
