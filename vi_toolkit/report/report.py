"""Reports: the verdict first, then the numbers, the figures, and how to make the fit again."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import jax

from vi_toolkit._checks import check_instance, check_key, describe
from vi_toolkit._types import Key, typed_key
from vi_toolkit.compare import Comparison
from vi_toolkit.diagnostics import Diagnosis, diagnose
from vi_toolkit.exact.posterior import ExactPosterior
from vi_toolkit.fit import Fit
from vi_toolkit.report._comparison import comparison_page
from vi_toolkit.report._findings import findings_of
from vi_toolkit.report._fit import fit_page
from vi_toolkit.tree import to_datatree

NUM_DRAWS = 4000
OWN = 0x5EED  # folded into the fit's own key, for the draws of its report


def report(
    fit: Fit | Comparison,
    path: str | Path,
    *,
    key: Key | None = None,
    reference: ExactPosterior | None = None,
    diagnosis: Diagnosis | None = None,
) -> Path:
    """Writes one self-contained HTML page about a fit, or about several that were compared.

    The verdicts on means, spreads, tails and modes come first, with their reasons and what to try next; then the
    parameters, the numbers and figures behind the verdicts, how the fit went, and what it takes to make it again:
    method, key, versions and the model's source. The page needs no network and runs no script; it is readable on a
    phone and on paper.

    Args:
        fit: from `vi.fit`, or a comparison from `vi.compare`.
        path: where the page goes, such as ``"report.html"``; a file that is there is replaced.
        key: a JAX random key for the diagnosis and the draws. By default one folded from the fit's own key, so that the
            same fit gives the same page.
        reference: the posterior as it is known by other means, from `vi.exact`; a comparison brings its own.
        diagnosis: from `vi.diagnose` of this fit, where it has been made already; a comparison brings its own.

    Returns:
        The path.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if a reference or a diagnosis is given for a comparison, or the reference is of another posterior.
        OSError: if the page cannot be written.

    Example:
        >>> import jax, jax.numpy as jnp, pathlib, tempfile, vi_toolkit as vi
        >>> fit = vi.fit(jax.random.key(0), vi.from_log_density(lambda z: -0.5 * jnp.sum(z**2), dim=2))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     page = vi.report(fit, pathlib.Path(folder) / "report.html").read_text()
        >>> page.startswith("<!DOCTYPE html>"), "Good: " in page, "http://" in page
        (True, True, False)
    """
    check_instance(fit, (Fit, Comparison), "fit", "Pass what vi.fit or vi.compare returned.")
    _check_folder(path)
    if key is not None:
        check_key(key)
    if isinstance(fit, Comparison):
        if reference is not None or diagnosis is not None:
            raise ValueError("reference, diagnosis: a comparison brings its own; give them to vi.compare instead.")
        return _write(path, comparison_page(_own_key(next(iter(fit.fits.values()))) if key is None else key, fit))
    key_diagnosis, key_draws = jax.random.split(_own_key(fit) if key is None else key)
    if diagnosis is None:
        diagnosis = diagnose(key_diagnosis, fit, reference=reference)
    tree = to_datatree(key_draws, fit, num_draws=NUM_DRAWS, diagnosis=diagnosis, reference=reference)
    return report_of_tree(tree, path)


def report_of_tree(tree: Any, path: str | Path) -> Path:
    """Writes the page of a fit from its tree: what `report` does with one that it makes.

    Args:
        tree: from `vi.to_datatree`, best with a ``diagnosis``, or read back with ``arviz.from_netcdf``.
        path: where the page goes.

    Returns:
        The path.

    Raises:
        ValueError: if the tree was made by something else.
        OSError: if the page cannot be written.

    Example:
        >>> import jax, jax.numpy as jnp, pathlib, tempfile, vi_toolkit as vi
        >>> from vi_toolkit.report import report_of_tree
        >>> fit = vi.fit(jax.random.key(0), vi.from_log_density(lambda z: -0.5 * jnp.sum(z**2), dim=2))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = report_of_tree(vi.to_datatree(jax.random.key(1), fit), pathlib.Path(folder) / "report.html")
        ...     print("No diagnosis was kept" in path.read_text())
        True
    """
    if not hasattr(tree, "children"):
        raise TypeError(f"tree: expected a DataTree from vi.to_datatree, got {describe(tree)}.")
    return _write(path, fit_page(findings_of(tree)))


def report_of_file(tree: str | Path, path: str | Path) -> Path:
    """Writes the page of a fit from the file that its tree was saved in.

    Args:
        tree: a file that ``vi.to_datatree(...).to_netcdf(...)`` or ``vi-toolkit fit`` wrote.
        path: where the page goes.

    Returns:
        The path.

    Raises:
        ValueError: if the file is no such tree.
        OSError: if a file cannot be read or written.

    Example:
        >>> from vi_toolkit.report import report_of_file
        >>> report_of_file("nowhere.nc", "report.html")
        Traceback (most recent call last):
        FileNotFoundError: [Errno 2] No such file or directory: 'nowhere.nc'
    """
    import xarray as xr

    with open(tree, "rb"):  # says in its own words what is wrong with a file that is not there or may not be read
        pass
    try:
        opened = xr.open_datatree(tree, engine="h5netcdf")
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"tree: {tree} is no file of an ArviZ tree: {' '.join(str(error).split())}") from error
    with opened:
        return report_of_tree(opened, path)


def _check_folder(path: str | Path) -> None:
    """Finds out before the work begins whether there is a folder for the page."""
    folder = Path(path).parent
    if not folder.is_dir():
        raise FileNotFoundError(errno.ENOENT, "there is no such folder for the page", str(folder))


def _own_key(fit: Fit) -> Key:
    point = fit.checkpoint
    return jax.random.fold_in(typed_key(point.key, point.key_kind), OWN)


def _write(path: str | Path, page: str) -> Path:
    where = Path(path)
    where.write_text(page, encoding="utf-8")
    return where
