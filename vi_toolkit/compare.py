"""Several methods on one target, side by side."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import pandas as pd

from vi_toolkit._checks import check_instance, check_key, describe
from vi_toolkit._types import Key
from vi_toolkit.algorithms import Method
from vi_toolkit.diagnostics import Diagnosis, diagnose
from vi_toolkit.exact.posterior import ExactPosterior
from vi_toolkit.fit import Fit, fit
from vi_toolkit.targets import Target


@dataclass(frozen=True, eq=False)
class Comparison:
    """Fits of several methods to one target, and how good they are.

    Attributes:
        table: one row a method. ``status``, ``steps``, ``gradients``, ``seconds``, ``ELBO (nats)``,
            ``ELBO se (nats)``, ``k-hat``, ``ESS (%)``; with a reference ``D(q||p) (nats)``, ``D(p||q) (nats)``,
            ``max mean error (sd)``, ``max |log sd ratio|``, ``min sd ratio``, ``max sd ratio`` (sd of q / sd of p) and
            ``mode masses``; ``verdict``.
        fits: {name: fit}.
        diagnoses: {name: diagnosis}.
        reference: the posterior that they were held against, or None.
        target: what they were fitted to.

    Example:
        >>> import jax, jax.numpy as jnp, vi_toolkit as vi
        >>> target = vi.from_log_density(lambda z: -0.5 * jnp.sum(z**2), dim=1)
        >>> method = vi.gradient(vi.MeanFieldNormal(), vi.ReverseKL())
        >>> vi.compare(jax.random.key(0), target, {"mean field": method}).fits["mean field"].status.name
        'CONVERGED'
    """

    table: pd.DataFrame
    fits: dict[str, Fit]
    diagnoses: dict[str, Diagnosis]
    reference: ExactPosterior | None
    target: Target

    def __str__(self) -> str:
        return str(rounded(self.table).T.to_string())


def compare(
    key: Key,
    target: Target,
    methods: Mapping[str, Method],
    *,
    reference: ExactPosterior | None = None,
    max_steps: int | None = None,
    num_draws: int = 4000,
) -> Comparison:
    """Fits several methods to one target and diagnoses each.

    Every method is given the same key for its fit and the same key for its diagnosis, so that it starts from the same
    points, and a row does not change when other rows are added. ``seconds`` are wall time of the fit alone, on this
    machine, compiling included: a method whose program another fit has compiled before seems faster.

    Args:
        key: a JAX random key.
        target: from `vi.from_numpyro` or `vi.from_log_density`.
        methods: {name: method}, such as ``{"mean field": vi.gradient(vi.MeanFieldNormal(), vi.ReverseKL())}``.
        reference: the posterior as it is known by other means, from `vi.exact`.
        max_steps: an upper bound on the steps of each fit; see `vi.fit`.
        num_draws: draws for each diagnosis, at least 25.

    Returns:
        The table, the fits and the diagnoses. Printing it shows the table, rounded.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if there are no methods, or a method or the reference does not go with the target.

    Example:
        >>> import jax, vi_toolkit as vi
        >>> exact = vi.exact.gaussian_mixture([1.0], [[0.0, 0.0]], [[[1.0, 0.8], [0.8, 1.0]]])
        >>> methods = {"mean field": vi.gradient(vi.MeanFieldNormal(), vi.ReverseKL()),
        ...            "full rank": vi.gradient(vi.FullRankNormal(), vi.ReverseKL())}
        >>> table = vi.compare(jax.random.key(0), exact.target, methods, reference=exact).table
        >>> table["min sd ratio"].round(2).to_dict()  # mean field: sqrt(1 - 0.8^2)
        {'mean field': 0.6, 'full rank': 1.0}
    """
    check_key(key)
    check_instance(
        target, Target, "target", "Make one with vi.from_numpyro(model, ...) or vi.from_log_density(f, dim=...)."
    )
    _check_methods(methods)
    key_fit, key_diagnosis = jax.random.split(key)
    fits, seconds, diagnoses = {}, {}, {}
    for name, method in methods.items():
        began = time.perf_counter()
        fits[name] = fit(key_fit, target, method, max_steps=max_steps)
        seconds[name] = time.perf_counter() - began
        diagnoses[name] = diagnose(
            key_diagnosis, fits[name], reference=reference, num_draws=num_draws, search=reference is None, explain=False
        )
    rows = {name: _row(fits[name], seconds[name], diagnoses[name]) for name in methods}
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("method")
    return Comparison(table, fits, diagnoses, reference, target)


def _row(fitted: Fit, seconds: float, diagnosis: Diagnosis) -> dict[str, Any]:
    row: dict[str, Any] = {
        "status": fitted.status.name,
        "steps": fitted.num_steps,
        "gradients": round(fitted.num_gradients),
        "seconds": seconds,
        "ELBO (nats)": diagnosis.elbo,
        "ELBO se (nats)": diagnosis.elbo_se,
        "k-hat": diagnosis.khat,
        "ESS (%)": 100 * diagnosis.ess / diagnosis.num_draws,
    }
    if diagnosis.reference is not None:
        row["D(q||p) (nats)"] = diagnosis.reverse_kl
        row["D(p||q) (nats)"] = diagnosis.forward_kl
    if diagnosis.log_sd_ratios is not None:
        row["max mean error (sd)"] = diagnosis.mean_error
        row["max |log sd ratio|"] = diagnosis.log_sd_ratio
        row["min sd ratio"] = float(np.exp(diagnosis.log_sd_ratios.min()))
        row["max sd ratio"] = float(np.exp(diagnosis.log_sd_ratios.max()))
    if diagnosis.mode_masses is not None:
        row["mode masses"] = tuple(float(mass) for mass in diagnosis.mode_masses)
    return {**row, "verdict": diagnosis.verdict.value}


_DECIMALS = {"seconds": 1, "ESS (%)": 1}


def rounded(table: pd.DataFrame) -> pd.DataFrame:
    """A comparison's table as text, each number rounded to what its column is worth.

    Example:
        >>> import pandas as pd
        >>> from vi_toolkit.compare import rounded
        >>> rounded(pd.DataFrame({"k-hat": [0.12345], "steps": [100]})).iloc[0].to_list()
        ['0.123', '100']
    """
    return pd.DataFrame(
        {name: [_text(value, _DECIMALS.get(str(name), 3)) for value in column] for name, column in table.items()},
        index=table.index,
    )


def _text(value: Any, decimals: int) -> str:
    if isinstance(value, tuple):
        return ", ".join(f"{mass:.2f}" for mass in value)
    return f"{round(value, decimals) + 0.0:.{decimals}f}" if isinstance(value, float) else str(value)


def _check_methods(methods: Any) -> None:
    hint = 'Write for example {"mean field": vi.gradient(vi.MeanFieldNormal(), vi.ReverseKL())}.'
    if not isinstance(methods, Mapping):
        raise TypeError(f"methods: expected a dict of names and methods, got {describe(methods)}. {hint}")
    if not methods:
        raise ValueError(f"methods: expected at least one method, got none. {hint}")
    for name, method in methods.items():
        if not isinstance(name, str):
            raise TypeError(f"methods: expected names that are text, got {describe(name)}. {hint}")
        check_instance(method, Method, f"methods[{name!r}]", "Make one with vi.gradient(guide, objective).")
