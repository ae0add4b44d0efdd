"""The benchmarks that need a device or minutes, tried on a CPU at the sizes of smoke."""

from benchmarks.gpu import step
from benchmarks.roofline import count
from benchmarks.step import CLASSES, noise_batch
from jointlib.config import load_config
from jointlib.runs.run import build_network


def test_a_step_is_timed_and_what_it_computes_and_moves_is_counted():
    config = load_config("smoke", strategy="bn", device="cpu")
    assert set(step(config, compiled=False, steps=1)) == {"first_s", "s"}
    one, two = (count(build_network(config, CLASSES), noise_batch(config, size).noisy) for size in (1, 2))
    assert all(0 < single < double <= 2 * single for single, double in zip(one, two, strict=True))
