"""What a command settles before JAX computes anything: the precision, and a cache of compiled programs on disk."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import jax
from numpyro.distributions import Distribution

CACHE_VARIABLE = "VI_TOOLKIT_CACHE"


def cache_directory() -> Path | None:
    """Where compiled programs are kept between runs, or None where they are not.

    The environment variable VI_TOOLKIT_CACHE names a directory; empty or "0", it switches the cache off. Unset or "1"
    stands for vi-toolkit/jax in the user's cache directory: XDG_CACHE_HOME, or else ~/.cache.

    Example:
        >>> from unittest.mock import patch
        >>> from vi_toolkit.runtime import cache_directory
        >>> with patch.dict("os.environ", {"VI_TOOLKIT_CACHE": ""}):
        ...     print(cache_directory())
        None
    """
    named = os.environ.get(CACHE_VARIABLE, "1")
    if named in ("", "0"):
        return None
    if named != "1":
        return Path(named).expanduser()
    home = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(home) if Path(home).is_absolute() else Path.home() / ".cache") / "vi-toolkit" / "jax"


def configure(*, float32: bool = False) -> None:
    """Settles precision and cache for this process; to be called once, before anything is computed.

    For programs that own their process, such as the command line: a library does not change JAX's settings.

    Args:
        float32: single precision; by default double.

    Example:
        >>> from vi_toolkit import runtime
        >>> runtime.configure.__module__  # called by the command line, not here: it changes the whole process
        'vi_toolkit.runtime'
    """
    jax.config.update("jax_enable_x64", not float32)
    directory = cache_directory()
    if directory is None or not _is_writable(directory):
        return
    jax.config.update("jax_compilation_cache_dir", str(directory))
    # Most programs of a fit compile in less than the second below which JAX keeps nothing by default.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    settle_order_of_fields()


def settle_order_of_fields() -> None:
    """Makes NumPyro list the fields of a distribution in one order in every process.

    NumPyro (0.22) collects them in sets of strings, whose order follows PYTHONHASHSEED. A distribution that goes into
    or out of a compiled program, a `scan` or a `cond` is flattened in that order, so the program and its key in the
    cache would differ from process to process. Sorted, they do not. Only before the first distribution is flattened:
    a program compiled under another order would take the fields for one another.

    Example:
        >>> from vi_toolkit import runtime
        >>> runtime.settle_order_of_fields.__name__  # called by `configure`
        'settle_order_of_fields'
    """
    for name in ("gather_pytree_data_fields", "gather_pytree_aux_fields"):
        gather = Distribution.__dict__[name].__func__
        if not isinstance(gather, _Sorted):
            setattr(Distribution, name, classmethod(_Sorted(gather)))


@dataclass(frozen=True)
class _Sorted:
    """A class method's function that returns the same names, sorted."""

    gather: Callable[[type], Iterable[str]]

    def __call__(self, kind: type) -> tuple[str, ...]:
        return tuple(sorted(self.gather(kind)))


def _is_writable(directory: Path) -> bool:
    """Whether programs can be kept there; where not, a run is slower and otherwise the same."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(directory, os.W_OK)
