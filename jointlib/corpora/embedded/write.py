"""The embedded corpus: synthesised commands and noises on disk, in the layouts of the real ones."""

import json
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

from jointlib import CHECKOUT
from jointlib.corpora.embedded.noise import write_noise
from jointlib.corpora.embedded.speech import write_split
from jointlib.support.files import locked

PARTS = ("speech valid", "speech test", "noise train", "noise test", "speech train")  # the longest is waited for last


def ensure_embedded(folder: Path, settings: dict[str, Any]) -> None:
    """Write the embedded corpus and noises into `folder`, unless they are there; `settings` are `EmbeddedCorpus`'s.

    Raises FileExistsError: the folder holds something else. RuntimeError: a part could not be written, and why.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with locked(folder.with_name(f"{folder.name}.lock"), f"it writes {folder}"):
        record = folder / "embedded.json"
        with suppress(OSError, ValueError):  # missing, or cut short
            if json.loads(record.read_bytes()) == settings:
                return
        if folder.exists():
            remedy = "remove it, and it is written anew, or give `embedded: null` to read it as it is"
            raise FileExistsError(f"{folder} is no embedded corpus, or one of other settings than {settings}; {remedy}")
        partial = folder.with_name(f"{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)  # of an interrupted start
        partial.mkdir()
        # espeak-ng carries state from one utterance to the next: only a fresh process a part makes the same bytes
        command = [sys.executable, "-m", __name__, json.dumps(settings), str(partial.resolve())]
        writers = {part: Popen([*command, part], cwd=CHECKOUT, stderr=PIPE, text=True) for part in PARTS}
        try:
            for part, writer in writers.items():
                _, message = writer.communicate()
                if writer.returncode:
                    raise RuntimeError(f"{folder}: {part} could not be written (status {writer.returncode}): {message}")
        finally:
            for writer in writers.values():  # none outlives an error or Ctrl-C
                writer.kill()
                writer.wait()
        (partial / record.name).write_text(json.dumps(settings, indent=2))
        partial.rename(folder)


if __name__ == "__main__":
    kind, split = sys.argv[3].split()
    name, write = {"speech": ("fluent_speech_commands_dataset", write_split), "noise": ("MS-SNSD", write_noise)}[kind]
    write(Path(sys.argv[2], name), json.loads(sys.argv[1]), split)
