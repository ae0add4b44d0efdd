"""The embedded corpus: synthesised commands and noises on disk, in the layouts of the real ones."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

from filelock import FileLock

from jointlib import SPLITS
from jointlib.config import EmbeddedCorpus
from jointlib.corpora.embedded.noise import write_noise
from jointlib.corpora.embedded.speech import write_split
from jointlib.support.workers import fresh_processes


def ensure_embedded(folder: Path, settings: EmbeddedCorpus) -> None:
    """Write the embedded corpus and noises into `folder`, unless they are there.

    Raises FileExistsError: the folder holds a corpus of other settings, or is no embedded corpus; or FOLDER.partial is
    somebody's own.
    """
    record, wanted = folder / "embedded.json", settings.model_dump(mode="json")
    defaults = EmbeddedCorpus().model_dump(mode="json")  # of what an older record does not know

    def is_there() -> bool:
        return record.exists() and defaults | json.loads(record.read_text()) == wanted

    if is_there():  # whole, since it appeared by being renamed; the folder around it may be read-only
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f"{folder.name}.lock")):  # another process may have the same idea
        if is_there():
            return
        if record.exists():
            raise FileExistsError(f"{record}: made with other settings than {wanted}; remove {folder} to make it anew")
        if folder.exists():
            remedy = "give the profile `embedded: null` to read it as it is"
            raise FileExistsError(f"{folder} is no embedded corpus; {remedy}")
        partial = folder.with_name(f"{folder.name}.partial")
        dataset, noises = partial / "fluent_speech_commands_dataset", partial / "MS-SNSD"
        # Either tells what an interrupted start has left from a user's folder, so that they are removed last.
        unfinished, complete = partial / "embedded.json.partial", partial / "embedded.json"
        if partial.exists() and any(partial.iterdir()) and not (unfinished.exists() or complete.exists()):
            raise FileExistsError(f"{partial} is not what an interrupted start leaves, so it stays; move it away")
        for part in (dataset, noises, partial):
            shutil.rmtree(part, ignore_errors=True)
        partial.mkdir()
        unfinished.write_text(json.dumps(wanted, indent=2))
        plain = SimpleNamespace(**settings.model_dump())  # a fresh process can read it without torch
        # espeak-ng carries state from one utterance to the next; a fresh process for each part makes the same bytes
        with fresh_processes(2, max_tasks_per_child=1) as pool:
            jobs = [pool.submit(write_split, dataset, plain, split) for split in SPLITS]
            jobs += [pool.submit(write_noise, noises, plain, split) for split in ("train", "test")]
            for job in jobs:
                job.result()
        unfinished.rename(complete)
        partial.rename(folder)  # it appears under its name when it is complete
