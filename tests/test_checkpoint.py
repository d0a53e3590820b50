"""Fits kept while they run, ended by signals and gone on with, bit for bit; and files that are no such fits."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vi_toolkit as vi
from tests import kept
from tests.test_io import assert_same, target
from vi_toolkit.interrupt import Interrupts
from vi_toolkit.io import checkpoint, load, save

ROOT = Path(__file__).resolve().parent.parent
ENDINGS = [
    ("gradient", "SIGINT"),
    ("gradient", "SIGTERM"),
    ("gradient", "torn"),
    ("default", "SIGTERM"),
    ("default", "SIGKILL"),
]


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """Every ending in a process of its own, all at once: {(method, ending): (return code, output, path)}."""
    folder = tmp_path_factory.mktemp("kept")
    env = {**os.environ, "JAX_ENABLE_X64": str(int(jax.config.read("jax_enable_x64")))}
    if jax.config.jax_compilation_cache_dir:
        env["JAX_COMPILATION_CACHE_DIR"] = jax.config.jax_compilation_cache_dir
        env["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    paths = {ending: folder / "-".join(ending) for ending in ENDINGS}
    running = {
        (name, how): subprocess.Popen(
            [sys.executable, "-m", "tests.kept", name, how, str(path)], cwd=ROOT, env=env, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for (name, how), path in paths.items()
    }  # fmt: skip
    outputs = {ending: process.communicate(timeout=300) for ending, process in running.items()}
    return {ending: (running[ending].returncode, outputs[ending], paths[ending]) for ending in ENDINGS}


@pytest.fixture(scope="module")
def uncut():
    return {name: kept.run(name) for name in kept.METHODS}


@pytest.mark.parametrize(("name", "how"), ENDINGS)
def test_a_fit_that_a_signal_ended_goes_on_bit_for_bit(name, how, ended, uncut):
    code, (out, err), path = ended[name, how]
    if how == "SIGINT":  # the fit is returned, and the program goes on
        assert code == 0, err
        assert out.strip() == "INTERRUPTED"
    else:
        number = signal.SIGTERM if how == "SIGTERM" else signal.SIGKILL
        assert (code, out) == (-number, ""), err
    part = load(path, kept.target())
    assert part.status is vi.Status.INTERRUPTED
    assert "INTERRUPTED" in part.warnings[0]
    assert 0 < part.num_steps < uncut[name].num_steps
    assert path.with_name(path.name + ".part").exists() == (how == "torn")
    assert_same(vi.resume(part), uncut[name])


class Memory:
    """Keeps fits in a list."""

    def __init__(self, every, fails=()):
        self.every = every
        self.fails = fails
        self.fits = []
        self.calls = 0

    def write(self, fit):
        self.calls += 1
        if self.calls in self.fails:
            raise OSError("no space left on device")
        self.fits.append(fit)


def test_every_snapshot_goes_on_to_the_same_end(monkeypatch, uncut):
    """From the start, halves of windows, and between them; the keeping itself changes nothing."""
    memory = Memory(every=1e-9)
    monkeypatch.setattr(vi.windows, "SECONDS_PER_CALL", 1e-9)  # one step a call, but for the first
    whole = kept.run("gradient", max_steps=130, checkpoint=memory)
    plain = kept.run("gradient", max_steps=130)
    assert_same(whole, plain)
    assert memory.fits[-1] is whole
    monkeypatch.undo()
    steps = [fit.num_steps for fit in memory.fits]
    assert steps[:2] == [0, 16]
    assert len(set(steps)) > 100
    for at in (0, 16, 49, 50, 99, 100, 129):
        part = memory.fits[steps.index(at)]
        again = vi.resume(part, max_steps=130 - at)
        assert_same(again, plain)


def test_it_is_kept_every_so_many_seconds(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(sys.modules["vi_toolkit.keeping"], "time", SimpleNamespace(monotonic=lambda: clock[0]))
    advance = sys.modules["vi_toolkit.fit"].advance

    def slow(*arguments):
        clock[0] += 10.0
        return advance(*arguments)

    monkeypatch.setattr(sys.modules["vi_toolkit.fit"], "advance", slow)
    monkeypatch.setattr(vi.windows, "SECONDS_PER_CALL", 1e-9)
    memory = Memory(every=30.0)
    kept.run("gradient", max_steps=40, checkpoint=memory)  # 16 steps, 16 steps, and then one by one
    assert [fit.num_steps for fit in memory.fits] == [0, 33, 36, 39, 40]


def test_a_file_that_cannot_be_written(monkeypatch, tmp_path):
    with pytest.raises(OSError, match="no space left"):
        kept.run("gradient", max_steps=5, checkpoint=Memory(every=1e-9, fails=(1,)))
    monkeypatch.setattr(vi.windows, "SECONDS_PER_CALL", 1e-9)
    with pytest.warns(UserWarning, match="checkpoint: step 16 could not be kept, and the fit goes on: no space left"):
        fit = kept.run("gradient", max_steps=18, checkpoint=Memory(every=1e-9, fails=(2,)))
    assert fit.num_steps == 18


def test_arguments_of_the_wrong_kind(tmp_path):
    with pytest.raises(ValueError, match="path: there is no folder"):
        checkpoint(tmp_path / "missing" / "fit.npz")
    with pytest.raises(ValueError, match=r"path: .* is a folder"):
        checkpoint(tmp_path)
    with pytest.raises(ValueError, match="every: expected a finite number above 0"):
        checkpoint(tmp_path / "fit.npz", every=0.0)


@pytest.mark.usefixtures("without_type_checks")
def test_a_path_is_no_checkpoint():
    with pytest.raises(TypeError, match=r"checkpoint: expected a Keeper, got .*Make one with vi.checkpoint"):
        kept.run("gradient", max_steps=5, checkpoint="fit.npz")


def test_signals_are_given_back_and_those_of_the_user_left_alone():
    before = signal.getsignal(signal.SIGTERM)
    with Interrupts(heeds_terminate=True):
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before
    with Interrupts():
        assert signal.getsignal(signal.SIGTERM) is before
    mine = lambda number, frame: None  # noqa: E731
    signal.signal(signal.SIGTERM, mine)
    try:
        with Interrupts(heeds_terminate=True):
            assert signal.getsignal(signal.SIGTERM) is mine
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "fit.npz"
    save(vi.fit(jax.random.key(0), target(), max_steps=3), path)
    return path.read_bytes()


def refused(path):
    """The words with which a file is refused."""
    with pytest.raises(ValueError, match="path: ") as caught:
        load(path, target())
    return str(caught.value)


def test_a_file_cut_short_is_refused_at_any_length(whole, tmp_path):
    path = tmp_path / "fit.npz"
    rng = np.random.default_rng(0)
    lengths = [0, 1, 3, 4, 30, 100, len(whole) - 22, len(whole) - 1, *rng.integers(1, len(whole), 40)]
    for length in lengths:
        path.write_bytes(whole[:length])
        assert "damaged" in refused(path)


def test_a_file_with_a_changed_byte_is_refused_or_is_the_same(whole, tmp_path):
    """A zip has bytes that nobody reads; everywhere else a check sum tells."""
    path, rng = tmp_path / "fit.npz", np.random.default_rng(1)
    path.write_bytes(whole)
    expected, told = load(path, target()), 0
    for place in rng.integers(0, len(whole), 60):
        changed = bytearray(whole)
        changed[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(bytes(changed))
        try:
            assert_same(load(path, target()), expected)
        except ValueError as error:
            assert "path: " in str(error)  # noqa: PT017 - either is right
            told += 1
    assert told > 40


def test_files_of_something_else_are_refused(tmp_path):
    path = tmp_path / "fit.npz"
    path.write_bytes(np.random.default_rng(2).bytes(5000))
    assert "damaged" in refused(path)
    np.savez(tmp_path / "arrays.npz", x=jnp.ones(3))
    assert "not a fit saved by vi.save" in refused(tmp_path / "arrays.npz")
    path.write_text("status: CONVERGED")
    assert "damaged" in refused(path)
    np.save(tmp_path / "array.npy", np.ones(3))
    assert "damaged" in refused(tmp_path / "array.npy")
