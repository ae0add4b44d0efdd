"""The pipeline as a whole, and the servers that make starts."""

import secrets
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from conftest import unused_port
from filelock import FileLock

from jointlib.config import CHECKOUT

pytestmark = pytest.mark.trust


def test_a_second_pipeline_says_so(tmp_path):
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--nolock", "--quiet", "rules", "host"]
    (tmp_path / "smoke").mkdir()
    with FileLock(tmp_path / "smoke" / ".pipeline.lock"):
        options = ["--config", "profile=smoke", f"results={tmp_path}"]
        ended = subprocess.run(command + options, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "another pipeline is running on" in ended.stderr
    assert not (tmp_path / "smoke" / "runs").exists()


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_arguments):
        return None


def _status(address, token=None):
    headers = {"Authorization": f"token {token}"} if token else {}
    request = urllib.request.Request(address, headers=headers)
    try:
        return urllib.request.build_opener(_Stay).open(request, timeout=60).status
    except urllib.error.HTTPError as error:
        return error.code


def _listening(pid, port):
    """The addresses at which a process and its children listen on a port, once they do."""
    for _ in range(300):
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        places = []
        for process in family:
            with suppress(psutil.NoSuchProcess):
                places += [place for place in process.net_connections("tcp") if place.status == "LISTEN"]
        addresses = {place.laddr.ip for place in places if place.laddr.port == port}
        if addresses:
            return addresses
        time.sleep(0.1)
    return pytest.fail(f"nobody listens on port {port}")


@pytest.mark.parametrize(("target", "guarded"), [("lab", "/api/contents"), ("page", "/")])
def test_make_serves_this_machine_only_and_asks_for_its_token(target, guarded, tmp_path):
    """The Makefile's own command, with a user's settings that would open the door."""
    (tmp_path / "jupyter_server_config.py").write_text(
        'c.ServerApp.ip = "0.0.0.0"\nc.IdentityProvider.token = ""\nc.ServerApp.allow_remote_access = True\n'
    )
    shutil.copy(tmp_path / "jupyter_server_config.py", tmp_path / "voila.py")
    port = unused_port()
    options = f"LAB=--port={port} --no-browser" + (" --allow-root" if target == "lab" else "")
    wanted = ["make", "-n", target, options, f"BIN={Path(sys.executable).parent}", "-o", ".venv/installed"]
    shell = subprocess.run(wanted, cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout
    token = secrets.token_hex(24)
    environment = {"JUPYTER_CONFIG_DIR": str(tmp_path), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "TOKEN": token}
    server = subprocess.Popen(["sh", "-c", shell], cwd=CHECKOUT, env=environment, start_new_session=True)
    try:
        addresses = _listening(server.pid, port)
        assert addresses == {"127.0.0.1"}
        assert _status(f"http://127.0.0.1:{port}{guarded}") in (302, 403)
        family = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
        assert not any(token in part for process in family for part in process.cmdline())  # which anybody can read
        assert _status(f"http://127.0.0.1:{port}{guarded}?token=wrong") in (302, 403)
        if target == "lab":  # the page would begin to execute its notebook
            assert _status(f"http://127.0.0.1:{port}{guarded}", token) == 200
    finally:
        for process in [*psutil.Process(server.pid).children(recursive=True), psutil.Process(server.pid)]:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        server.wait()
