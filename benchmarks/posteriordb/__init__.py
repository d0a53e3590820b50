"""Real posteriors with reference draws: eighteen of posteriordb's, as targets.

``target(None, name)`` and ``reference(None, name)`` read the folder that the environment variable POSTERIORDB names.
It holds ``posterior_database/``, in the layout of github.com/stan-dev/posteriordb, and beside it ``checks/<name>/``
with log densities and evidences to hold the models against.
"""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path

import numpy as np

from benchmarks.posteriordb.models import MODELS as MODELS
from vi_toolkit.exact.posterior import ExactPosterior
from vi_toolkit.exact.posteriordb import DatabaseModel, DatabasePosterior, posteriordb
from vi_toolkit.targets import Target

CHECKS = "checks"


def folder(path: str | Path | None = None) -> Path:
    """The folder that is given, or the one that POSTERIORDB names."""
    given = path or os.environ.get("POSTERIORDB")
    if not given:
        raise FileNotFoundError(
            "path: expected the folder that holds posterior_database/ and checks/, got none. Name it, or set the "
            "environment variable POSTERIORDB."
        )
    if not (Path(given) / CHECKS).is_dir():
        raise FileNotFoundError(f"path: expected {CHECKS}/ beside posterior_database/, got {given}, which has none.")
    return Path(given)


def target(path: str | Path | None, name: str) -> Target:
    """The posterior as a target, with its log evidence."""
    found = posterior(path, name).target
    assert found is not None
    return found


def reference(path: str | Path | None, name: str) -> ExactPosterior:
    """Reference draws in the target's coordinates (``draws``), their moments, and the log evidence of the port."""
    found = posterior(path, name).reference
    assert found is not None
    return found


def posterior(path: str | Path | None, name: str) -> DatabasePosterior:
    """Data, reference draws by parameter, target and reference."""
    return _posterior(folder(path), name)


@cache
def _posterior(path: Path, name: str) -> DatabasePosterior:
    if name not in MODELS:
        raise ValueError(f"name: expected one of {', '.join(MODELS)}; got {name!r}.")
    port = MODELS[name]
    evidence = json.loads((path / CHECKS / name / "facts.json").read_text())["log_evidence"]["value"] + port.offset
    model = DatabaseModel(port.model, port.arguments, port.sites, evidence)
    return posteriordb(path, name, model=model, draws=_draws(path, name))


def _draws(path: Path, name: str) -> dict[str, np.ndarray] | None:
    """Draws where the database has none, or where solving for the model's sites again would lose digits; else None."""
    own = path / CHECKS / name / "reference.npz"
    if own.is_file():
        with np.load(own) as arrays:
            return {scalar: arrays[scalar].astype(np.float64) for scalar in arrays}
    if name == "gp_pois_regr-gp_pois_regr":
        return _gp_pois_regr_draws(path / CHECKS / name / "reference_logp.npz")
    return None


def _gp_pois_regr_draws(file: Path) -> dict[str, np.ndarray]:
    """From log rho, log alpha, f_tilde: f = L f_tilde cannot be solved for f_tilde to all digits."""
    with np.load(file) as arrays:
        columns = np.moveaxis(arrays["unconstrained"], -1, 0)
    f_tilde = {f"f_tilde[{i}]": column for i, column in enumerate(columns[2:], start=1)}
    return {"rho": np.exp(columns[0]), "alpha": np.exp(columns[1]), **f_tilde}
