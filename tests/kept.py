"""Fits that a signal ends while they are kept in a file: run in a process of its own, and again, uncut, by the test."""

import os
import signal
import sys
import threading
import time
from functools import partial
from pathlib import Path

import jax

from vi_toolkit import io, windows
from vi_toolkit.algorithms import gradient, natural_gradient
from vi_toolkit.datasets import EIGHT_SCHOOLS_EFFECTS, EIGHT_SCHOOLS_SES
from vi_toolkit.exact.gaussian.eight_schools import eight_schools_model
from vi_toolkit.fit import Fit, fit
from vi_toolkit.guides import FullRankNormal
from vi_toolkit.objectives import ReverseKL
from vi_toolkit.targets import Target, from_numpyro

METHODS = {
    "gradient": gradient(FullRankNormal(), ReverseKL()),
    "default": natural_gradient(),
}


def target() -> Target:
    """The eight schools, which take some fifty steps by natural gradients and a thousand by stochastic ones."""
    model = partial(eight_schools_model, prior_mean=0.0, prior_sd=5.0, tau_scale=5.0)
    return from_numpyro(model, EIGHT_SCHOOLS_SES, EIGHT_SCHOOLS_EFFECTS)


def run(name: str, **settings) -> Fit:
    return fit(jax.random.key(0), target(), METHODS[name], **settings)


def end_by(number: int, path: Path, writings: int) -> None:
    """Sends this process a signal once the file has been written so many times."""
    seen: set[int] = set()
    while len(seen) < writings:
        if path.exists():
            seen.add(path.stat().st_mtime_ns)
        time.sleep(0.0005)
    os.kill(os.getpid(), number)


def tear(writing: int) -> None:
    """Kills this process in the middle of a writing."""
    fsync, calls = os.fsync, []

    def torn(file: int) -> None:
        calls.append(file)
        if len(calls) == writing:
            os.ftruncate(file, os.fstat(file).st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)
        fsync(file)

    os.fsync = torn


def main(name: str, how: str, path: Path) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a process in the background ignores it
    windows.SECONDS_PER_CALL = 0.001  # many short calls, and a writing after each
    if how == "torn":
        tear(6)
    else:
        threading.Thread(target=end_by, args=(getattr(signal, how), path, 6), daemon=True).start()
    ended = run(name, checkpoint=io.checkpoint(path, every=1e-6))
    print(ended.status.name)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
