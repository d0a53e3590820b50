"""Fits kept in a file while they run."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from vi_toolkit._checks import check_positive
from vi_toolkit.fit import Fit
from vi_toolkit.io.save import save


@dataclass(frozen=True)
class CheckpointFile:
    """A file that a running fit is kept in; made by `checkpoint`."""

    path: Path
    every: float  # seconds

    def write(self, fit: Fit) -> None:
        """Saves the fit as it stands, in place of the one before, which stays until the new one is whole."""
        save(fit, self.path)


def checkpoint(path: str | os.PathLike[str], *, every: float = 30.0) -> CheckpointFile:
    """Keeps a fit in a file while it runs, so that a process that is ended loses nothing but the last seconds.

    The file is written at the start of the fit, then between two calls of compiled code whenever ``every`` seconds have
    passed, and at the end. `vi.load` reads it and `vi.resume` goes on: parameters and history are then, bit for bit,
    those of a fit that was never ended. What happens at

    - Ctrl-C (SIGINT): the fit is kept and returned, with status INTERRUPTED;
    - SIGTERM: the fit is kept, and the process then ends by SIGTERM, as it would have without a fit;
    - SIGKILL, a crash, or a loss of power: the file is what it was when last written. It is whole at any time, since a
      new one is written beside it and takes its place in one stroke.

    Signals are heeded in the main thread and where the program has no handler of its own. A file that cannot be written
    is an error at the start, and a Python warning later on, when the fit matters more.

    Args:
        path: where to; a file that is there is replaced, so load it before the fit begins anew.
        every: seconds from one writing to the next.

    Returns:
        What `vi.fit` and `vi.resume` take as ``checkpoint``.

    Raises:
        TypeError: if ``every`` is not a number.
        ValueError: if ``every`` is not above 0, the folder of the path is not there, or the path is a folder.

    Example:
        >>> import jax, jax.numpy as jnp, pathlib, tempfile, vi_toolkit as vi
        >>> target = vi.from_log_density(lambda z: -0.5 * jnp.sum(z**2), dim=1)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     kept = vi.checkpoint(pathlib.Path(folder) / "fit.npz")
        ...     fit = vi.fit(jax.random.key(0), target, max_steps=2, checkpoint=kept)
        ...     again = vi.resume(vi.load(kept.path, target), checkpoint=kept)  # as after a loss of power
        >>> fit.num_steps, again.status.name
        (2, 'CONVERGED')
    """
    path = Path(path)
    every = check_positive(every, "every")
    if path.is_dir():
        raise ValueError(f"path: {path} is a folder. Name a file in it, such as {path / 'fit.npz'}.")
    if not path.absolute().parent.is_dir():
        raise ValueError(f"path: there is no folder {path.absolute().parent}. Make it first.")
    return CheckpointFile(path, every)
