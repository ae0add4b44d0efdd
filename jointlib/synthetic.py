"""The embedded corpus: synthesised commands and noises on disk, in the layouts of the real ones."""

import json
import shutil
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path

from jointlib.synthetic_noise import write_noise
from jointlib.synthetic_speech import SPLITS, EmbeddedSettings, write_split


def ensure_embedded(folder: Path, settings: EmbeddedSettings) -> None:
    """Write the embedded corpus and noises into `folder`, unless they are there.

    Every part is written by a fresh process: espeak-ng carries state from one utterance to the next, and only the same
    sequence from the start gives the same bytes. The folder appears under its name when it is complete.

    Raises:
        FileExistsError: the folder holds a corpus of other settings.
    """
    record = folder / "embedded.json"
    wanted = json.loads(json.dumps(asdict(settings)))
    if record.exists():
        if json.loads(record.read_text()) != wanted:
            raise FileExistsError(f"{record}: made with other settings than {wanted}; remove {folder} to make it anew")
        return
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    dataset, noises = partial / "fluent_speech_commands_dataset", partial / "MS-SNSD"
    with ProcessPoolExecutor(2, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        jobs = [pool.submit(write_split, dataset, settings, split) for split in SPLITS]
        jobs += [pool.submit(write_noise, noises, settings, split) for split in ("train", "test")]
        for job in jobs:
            job.result()
    (partial / record.name).write_text(json.dumps(wanted, indent=2))
    partial.rename(folder)
