"""The models that come with the project, on the corpus that they were recorded on."""

import numpy as np
import pytest
import soundfile

from jointlib.__main__ import main
from jointlib.corpora.batches import load_data
from jointlib.findings.scores import read_run
from jointlib.metrics import quality
from jointlib.runs.folder import SHIPPED, finished, read_config
from jointlib.runs.run import load_run

FOLDERS = sorted(filter(finished, SHIPPED.glob("*")))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The test split of quick; written here, as a user's data folder is not the tests'."""
    folder, (config, _) = tmp_path_factory.mktemp("quick") / "quick", read_config(FOLDERS[0])
    return load_data(
        config.replace(
            corpus=str(folder / "fluent_speech_commands_dataset"), noise=str(folder / "MS-SNSD"), metric_workers=1
        )
    )


def test_they_are_small_and_have_names():
    names = [folder.name.partition("_seed")[0].removesuffix("_alpha0.5") for folder in FOLDERS]
    assert [load_run(name).folder for name in names] == FOLDERS
    assert names == [
        "bn", "classifier_clean", "classifier_noisy", "detached", "jt",
    ]  # fmt: skip
    assert sum((folder / "weights.safetensors").stat().st_size for folder in FOLDERS) < 6e6


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_their_recorded_scores_are_what_they_score(folder, data):
    run, scores = load_run(folder), read_run(folder).head(32)
    batch = data.mix("test", data.plan("test").head(32))
    output = run.model(batch.noisy[:, None])
    predicted = [run.intents[label] for label in output.logits.argmax(dim=1)]
    assert (scores.predicted == predicted).mean() > 0.9  # another processor rounds otherwise
    for row in (0, 7, 31) if output.enhanced is not None else ():
        length = int(batch.lengths[row])
        pair = batch.clean[row, :length].numpy(), output.enhanced[row, 0, :length].detach().numpy()
        found = quality(pair, ("pesq_wb", "si_sdr"))
        assert found["pesq_wb"] == pytest.approx(scores.pesq_wb_enhanced[row], abs=0.05)
        assert found["si_sdr"] == pytest.approx(scores.si_sdr_enhanced[row], abs=0.1)


def test_a_strategys_name_enhances_a_file(tmp_path, data):
    clean, noisy, _ = data.example()
    soundfile.write(tmp_path / "noisy.wav", noisy.numpy(), 16_000)
    with pytest.raises(SystemExit, match="0"):
        main(["enhance", "detached", str(tmp_path / "noisy.wav"), str(tmp_path / "out.wav")])
    enhanced, _ = soundfile.read(tmp_path / "out.wav")
    before, after = (quality((clean.numpy(), np.float32(wave)), ("si_sdr",))["si_sdr"] for wave in (noisy, enhanced))
    assert after > before + 1
