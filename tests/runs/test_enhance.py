import numpy as np
import pandas as pd
import pytest
import soundfile

from jointlib.runs.enhance import main
from jointlib.config import load_config
from jointlib.runs.fit import fit


@pytest.fixture
def folder(tmp_path):
    source = tmp_path / "input"
    (source / "deep").mkdir(parents=True)
    rng = np.random.default_rng(0)
    soundfile.write(source / "a.wav", 0.1 * rng.normal(size=4001), 8000)
    soundfile.write(source / "deep" / "a.flac", 0.1 * rng.normal(size=(50_000, 2)), 44_100)
    return source


def test_any_file_at_its_own_rate_and_length(profile, folder, tmp_path):
    run = fit(load_config(profile, strategy="jt"))
    main([str(run), str(folder), str(tmp_path / "out"), "--device", "cpu"])
    for name, frames, sample_rate in (("a.wav", 4001, 8000), ("deep/a.flac.wav", 50_000, 44_100)):
        info = soundfile.info(tmp_path / "out" / name)
        assert (info.frames, info.samplerate, info.channels) == (frames, sample_rate, 1)
    table = pd.read_csv(tmp_path / "out" / "predictions.csv")
    assert list(table) == ["file", "intent", "probability", "runner_up", "runner_up_probability"]
    assert (table.probability >= table.runner_up_probability).all() and (table.intent != table.runner_up).all()


def test_bad_input_is_named_and_the_rest_is_done(profile, folder, tmp_path):
    run = fit(load_config(profile, strategy="enhancement"))
    (folder / "broken.wav").write_bytes(b"RIFF")
    with pytest.raises(SystemExit, match=r"broken.wav: not readable as audio"):
        main([str(run), str(folder), str(tmp_path / "out")])
    assert (tmp_path / "out" / "a.wav").is_file()
    with pytest.raises(SystemExit, match="no audio file there"):
        main([str(run), str(tmp_path / "nowhere"), str(tmp_path / "out")])
    with pytest.raises(SystemExit, match="must not be the input's"):
        main([str(run), str(folder), str(folder)])
