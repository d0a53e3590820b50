"""A user's model fitted to a user's table: the fit, its diagnosis, and the files that keep them."""

from __future__ import annotations

import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import matplotlib.pyplot as plt
import pandas as pd

from vi_toolkit._checks import check_key
from vi_toolkit._types import Key
from vi_toolkit.algorithms import Method
from vi_toolkit.diagnostics import Diagnosis, diagnose
from vi_toolkit.fit import Fit, fit
from vi_toolkit.io import save
from vi_toolkit.model_file import InputError, ModelData, load_model, make_target, match_arguments, read_table
from vi_toolkit.plots import plot_fit
from vi_toolkit.report import report_of_file
from vi_toolkit.tables import diagnosis_data, markdown, plain, site_moments, site_table
from vi_toolkit.targets import Target
from vi_toolkit.tree import to_datatree, versions

NUM_TREE_DRAWS = 2000
PREDICTOR_PLATE = "predictor"


@dataclass(frozen=True, eq=False)
class ModelFit:
    """A fitted model, and where its files are.

    Example:
        >>> from vi_toolkit.model_fit import ModelFit
        >>> list(ModelFit.__dataclass_fields__)[:3]
        ['fit', 'diagnosis', 'sites']
    """

    fit: Fit
    diagnosis: Diagnosis
    sites: pd.DataFrame  # mean, sd and the middle 90 % of every scalar, as text
    moments: dict[str, dict[str, float]]
    model_data: ModelData
    description: dict[str, str]  # what was asked for
    seconds: float
    folder: Path
    files: tuple[str, ...]

    def data(self) -> dict[str, Any]:
        """Everything as plain data; what ``summary.json`` holds."""
        return {
            **self.description,
            "status": self.fit.status.name,
            "num_steps": self.fit.num_steps,
            "num_gradients": plain(self.fit.num_gradients),
            "seconds": round(self.seconds, 2),
            "precision": "float64" if jax.config.read("jax_enable_x64") else "float32",
            "versions": versions(),
            "predictors": list(self.model_data.predictors),
            "unused_columns": list(self.model_data.unused),
            "warnings": list(self.fit.warnings),
            "diagnosis": diagnosis_data(self.diagnosis),
            "sites": plain(self.moments),
            "folder": str(self.folder),
            "files": list(self.files),
        }


def prepare(model: str, data: Path, response: str) -> tuple[Target, ModelData]:
    """The target of a model, by name, and a table, by path; see `vi_toolkit.model_file` for the rules.

    Raises:
        InputError: if any of them is wrong.

    Example:
        >>> from pathlib import Path
        >>> from vi_toolkit.model_fit import prepare
        >>> prepare("nowhere.py:model", Path("data.csv"), "y")
        Traceback (most recent call last):
        vi_toolkit.model_file.InputError: model: there is no file nowhere.py.
    """
    function = load_model(model)
    model_data = match_arguments(function, read_table(data), response)
    return make_target(function, model_data.arguments), model_data


def check_folder(folder: Path) -> None:
    """Makes a folder, and finds out before the work begins whether it can be written.

    Raises:
        InputError: if it cannot.

    Example:
        >>> import pathlib, tempfile
        >>> from vi_toolkit.model_fit import check_folder
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     check_folder(pathlib.Path(folder) / "new")
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(f"output: the folder {folder} cannot be written: {error.strerror or error}.") from None


def fit_model(
    key: Key,
    target: Target,
    method: Method,
    *,
    folder: Path,
    model_data: ModelData,
    description: dict[str, str],
    max_steps: int | None = None,
    progress: bool = False,
) -> ModelFit:
    """Fits, diagnoses, and writes ``fit.npz``, ``posterior.nc``, ``fit.png``, ``summary.md`` and ``summary.json``.

    Args:
        key: a JAX random key.
        target: from `prepare`.
        method: how to fit it.
        folder: where the files go.
        model_data: from `prepare`.
        description: what was asked for, in words; it goes into the summaries.
        max_steps: an upper bound on the steps.
        progress: whether to show a progress line.

    Raises:
        InputError: if the target has no finite density to begin with, or the method does not go with it.

    Example:
        >>> import jax, jax.numpy as jnp, pathlib, tempfile, vi_toolkit as vi
        >>> from vi_toolkit.model_file import ModelData
        >>> from vi_toolkit.model_fit import fit_model
        >>> target = vi.from_log_density(lambda z: -0.5 * jnp.sum(z**2), dim=1)
        >>> method = vi.gradient(vi.MeanFieldNormal(), vi.ReverseKL())
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     result = fit_model(jax.random.key(0), target, method, folder=pathlib.Path(folder),
        ...                        model_data=ModelData({}, (), ()), description={"model": "normal"})
        >>> result.files
        ('fit.npz', 'posterior.nc', 'fit.png', 'summary.md', 'summary.json')
    """
    check_key(key)
    key_fit, key_diagnosis, key_tree = jax.random.split(key, 3)
    began = time.perf_counter()
    try:
        fitted = fit(key_fit, target, method, max_steps=max_steps, progress=progress)
    except ValueError as error:
        raise InputError(" ".join(str(error).split())) from error
    seconds = time.perf_counter() - began
    diagnosis = diagnose(key_diagnosis, fitted)
    # A plate of this name runs over the columns of X; of another name, nobody but the model's author knows.
    named = any(PREDICTOR_PLATE in dims for dims in target.dims.values())
    coords = {PREDICTOR_PLATE: list(model_data.predictors)} if named and model_data.predictors else {}
    tree = to_datatree(key_tree, fitted, num_draws=NUM_TREE_DRAWS, coords=coords, diagnosis=diagnosis)
    files = ("fit.npz", "posterior.nc", "fit.png", "summary.md", "summary.json")
    result = ModelFit(
        fitted, diagnosis, site_table(tree), site_moments(tree), model_data, description, seconds, folder, files
    )
    save(fitted, folder / files[0])
    tree.to_netcdf(folder / files[1], engine="h5netcdf")
    figure = plot_fit(fitted) if fitted.num_steps else plt.figure()
    figure.savefig(folder / files[2])
    plt.close(figure)
    (folder / files[3]).write_text(summary(result), encoding="utf-8")
    (folder / files[4]).write_text(json.dumps(result.data(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return result


def report_of_saved(tree: Path, page: Path) -> Path:
    """Writes the page of a fit from the ``posterior.nc`` that `fit_model` wrote.

    Raises:
        InputError: if the file is no such tree.

    Example:
        >>> from pathlib import Path
        >>> from vi_toolkit.model_fit import report_of_saved
        >>> report_of_saved(Path("nowhere.nc"), Path("report.html"))
        Traceback (most recent call last):
        vi_toolkit.model_file.InputError: tree: there is no file nowhere.nc.
    """
    if not tree.is_file():
        raise InputError(f"tree: there is no file {tree}.")
    try:
        return report_of_file(tree, page)
    except ValueError as error:
        raise InputError(" ".join(str(error).split())) from error


def summary(result: ModelFit) -> str:
    """A fit in Markdown.

    Example:
        >>> from vi_toolkit.model_fit import summary
        >>> summary.__name__
        'summary'
    """
    asked = "\n".join(f"- {name}: {value}" for name, value in result.description.items())
    columns = [f"- columns of X: {', '.join(result.model_data.predictors)}"] if result.model_data.predictors else []
    columns += [f"- columns not used: {', '.join(result.model_data.unused)}"] if result.model_data.unused else []
    ended = (
        f"The fit ended after {result.fit.num_steps:,} steps and {result.seconds:.1f} seconds, "
        f"{result.fit.status.name}: {result.fit.status.value}."
    )
    parts = [
        f"# {result.description.get('model', 'A fit')}",
        "\n".join([asked, *columns]),
        f"**{result.diagnosis.sentence}**",
        ended,
        "\n".join(f"- {warning}" for warning in result.fit.warnings),
        "## The posterior",
        markdown(result.sites),
        "## How good it is",
        f"```text\n{result.diagnosis}\n```",
        f"## How the fit went\n\n![the course of the fit]({result.files[2]})",
        f"Files: the fit [{result.files[0]}]({result.files[0]}), an ArviZ tree [{result.files[1]}]({result.files[1]}), "
        f"[{result.files[4]}]({result.files[4]}).",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"
