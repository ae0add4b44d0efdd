"""What Jupyter writes when a notebook is saved, with the settings of `make lab`."""

import shutil

import nbformat
import pytest
from jupyter_server.services.contents.largefilemanager import LargeFileManager
from nbformat.v4 import new_output
from traitlets.config.loader import PyFileConfigLoader

from jointlib.config import CHECKOUT


@pytest.mark.parametrize(("path", "kept"), [("notebooks/06.ipynb", False), ("results/quick/notebooks/06.ipynb", True)])
def test_notebooks_are_saved_without_outputs_and_executed_copies_with_them(tmp_path, path, kept):
    shutil.copytree(CHECKOUT / ".config", tmp_path / ".config")
    config = PyFileConfigLoader("jupyter_server_config.py", path=str(tmp_path / ".config")).load_config()
    (tmp_path / path).parent.mkdir(parents=True)
    notebook = nbformat.read(source := CHECKOUT / "notebooks/06_audition.ipynb", as_version=4)
    notebook.metadata |= {"widgets": {"state": "x" * 1000}, "language_info": {"name": "python", "version": "3"}}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell |= {"outputs": [new_output("stream", text="x" * 1000)], "execution_count": 3}
    LargeFileManager(root_dir=str(tmp_path), config=config).save({"type": "notebook", "content": notebook}, f"/{path}")
    saved = (tmp_path / path).read_text()
    assert "x" * 1000 in saved if kept else saved == source.read_text()
