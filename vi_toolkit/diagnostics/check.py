"""A fit held against a posterior that is known: every error with its uncertainty, against stated tolerances."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import numpy as np
import pandas as pd

from vi_toolkit._checks import check_instance, check_key, check_positive, check_positive_int
from vi_toolkit._types import Key
from vi_toolkit.diagnostics._against import Against, hold_against
from vi_toolkit.diagnostics.diagnose import check_reference
from vi_toolkit.diagnostics.scores._scores import draw_and_score
from vi_toolkit.diagnostics.weights.psis import MIN_DRAWS, smooth
from vi_toolkit.exact.posterior import ExactPosterior
from vi_toolkit.fit import Fit
from vi_toolkit.targets.coordinates import coordinate_names

NUM_SES = 3.0
PASS, FAIL, CANNOT_TELL = "pass", "fail", "cannot tell"


@dataclass(frozen=True)
class Tolerances:
    """How large an error may be for a fit to pass; None leaves that kind of error unjudged.

    Attributes:
        mean: of a coordinate's mean, in posterior standard deviations.
        spread: of |log(sd of q / sd of p)|: 0.1 is about 10 %.
        reverse_kl: of D(q‖p), in nats.
        forward_kl: of D(p‖q), in nats.
        mode_mass: of the mass at a mode.

    Example:
        >>> import vi_toolkit as vi
        >>> vi.Tolerances(mean=0.02, spread=None)
        Tolerances(mean=0.02, spread=None, reverse_kl=0.1, forward_kl=0.1, mode_mass=0.05)
    """

    mean: float | None = 0.1
    spread: float | None = 0.1
    reverse_kl: float | None = 0.1
    forward_kl: float | None = 0.1
    mode_mass: float | None = 0.05

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is not None:
                check_positive(value, name)


@dataclass(frozen=True, eq=False)
class Check:
    """What `check` found.

    Attributes:
        table: a row for each error: ``quantity``, ``of`` (the coordinate or mode), ``error``, ``se`` (its standard
            error; 0 where both sides are known), ``tolerance``, and ``result``: "pass" or "fail" where that is so
            beyond the uncertainty, else "cannot tell"; None where there is no tolerance.
        exact: the name of the posterior that the fit was held against, and how that is known.

    Example:
        >>> import jax, vi_toolkit as vi
        >>> exact = vi.exact.gaussian_mixture([1.0], [[0.0]], [[[4.0]]])
        >>> found = vi.check(vi.fit(jax.random.key(0), exact.target), exact)
        >>> found.passed, found.table["quantity"].to_list()
        (True, ['mean', 'log sd ratio', 'D(q‖p)', 'D(p‖q)'])
    """

    table: pd.DataFrame
    exact: str

    @property
    def passed(self) -> bool:
        """Whether every error that has a tolerance passes."""
        return bool((self.table["result"].isna() | (self.table["result"] == PASS)).all())

    def __str__(self) -> str:
        shown = self.table.assign(
            error=[f"{value:.4g}" for value in self.table["error"]],
            se=["exact" if value == 0 else f"{value:.2g}" for value in self.table["se"]],
            tolerance=["" if np.isnan(value) else f"{value:g}" for value in self.table["tolerance"]],
            result=["" if pd.isna(value) else value for value in self.table["result"]],
        )
        counts = self.table["result"].value_counts()
        tally = ", ".join(f"{counts[result]} {result}" for result in (PASS, FAIL, CANNOT_TELL) if result in counts)
        return f"{shown.to_string(index=False)}\n\nAgainst {self.exact}: {tally or 'nothing judged'}."


def check(
    fit: Fit,
    exact: ExactPosterior,
    *,
    tolerances: Tolerances = Tolerances(),
    key: Key | None = None,
    num_draws: int = 4000,
) -> Check:
    """Holds a fit against a posterior that is known, error by error, each with its uncertainty.

    The errors are those of the means, (E_q[z_i] - E_p[z_i]) / sd_p(z_i), and of the spreads, log(sd_q(z_i) /
    sd_p(z_i)), of every unconstrained coordinate; D(q‖p) and D(p‖q); and of q's mass at each mode where there are
    several. An error passes (fails) if it is within (beyond) its tolerance by more than three standard errors, which
    are those of draws on either side; where neither is so, the table says that it cannot tell: more draws, or a longer
    reference, would. Means and spreads that the posterior does not have are left out.

    Args:
        fit: from `vi.fit`.
        exact: from `vi.exact` or `vi.zoo`, on the same unconstrained space as the fit's target.
        tolerances: how large the errors may be.
        key: a JAX random key for the draws; by default ``jax.random.key(0)``, so that a fit has one table.
        num_draws: draws of q, at least 25, and of an exact posterior.

    Returns:
        The table; ``passed`` says whether all of it passes, and printing it shows it.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if there are fewer than 25 draws, or ``exact`` is of another posterior than the fit.

    Example:
        >>> import jax, vi_toolkit as vi
        >>> exact = vi.exact.linear_regression([[1.0], [2.0]], [1.0, 3.0], noise_sd=1.0, prior_sd=1.0)
        >>> print(vi.check(vi.fit(jax.random.key(0), exact.target), exact).passed)
        True
    """
    check_instance(fit, Fit, "fit", "Pass what vi.fit returned.")
    check_instance(tolerances, Tolerances, "tolerances", "Write for example vi.Tolerances(mean=0.05).")
    check_reference(exact, fit, "exact")
    key = jax.random.key(0) if key is None else key
    check_key(key)
    if check_positive_int(num_draws, "num_draws") < MIN_DRAWS:
        raise ValueError(f"num_draws: expected at least {MIN_DRAWS}, to fit the tail of the weights, got {num_draws}.")
    key_q, key_p = jax.random.split(key)
    scores = draw_and_score(key_q, fit, num_draws)
    log_weights = smooth(scores.log_weights, rounding=scores.rounding).log_weights
    against = hold_against(key_p, fit, scores, log_weights, exact, num_draws)
    rows = _rows(against, coordinate_names(fit.target), tolerances)
    columns = ["quantity", "of", "error", "se", "tolerance", "result"]
    return Check(pd.DataFrame([_judged(*row) for row in rows], columns=columns), f"{exact.name} ({exact.how})")


def _rows(
    against: Against, names: tuple[str, ...], tolerances: Tolerances
) -> list[tuple[str, str, float, float, float | None]]:
    """Quantity, of what, error, standard error, tolerance."""
    measured = against.measured
    modes = [f"mode {i}" for i in range(len(measured.modes.values))] if measured.modes is not None else []
    kinds = [
        ("mean", names, measured.means, tolerances.mean),
        ("log sd ratio", names, measured.spreads, tolerances.spread),
        ("mode mass", modes, measured.modes if len(modes) > 1 else None, tolerances.mode_mass),
    ]
    rows = [
        (quantity, of, float(error), float(se), tolerance)
        for quantity, labels, values, tolerance in kinds
        if values is not None
        for of, error, se in zip(labels, values.values, values.ses, strict=True)
    ]
    divergences = [
        ("D(q‖p)", "", against.reverse_kl.value, against.reverse_kl.se, tolerances.reverse_kl),
        ("D(p‖q)", "", against.forward_kl.value, against.forward_kl.se, tolerances.forward_kl),
    ]
    return [*rows, *divergences]


def _judged(
    quantity: str, of: str, error: float, se: float, tolerance: float | None
) -> tuple[str, str, float, float, float, str | None]:
    if tolerance is None:
        return quantity, of, error, se, float("nan"), None
    margin = NUM_SES * se
    result = PASS if abs(error) + margin <= tolerance else FAIL if abs(error) - margin > tolerance else CANNOT_TELL
    return quantity, of, error, se, tolerance, result
