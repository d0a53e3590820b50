"""Simulation-based calibration of a way to fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vi_toolkit._checks import check_instance, check_key, check_positive_int, describe
from vi_toolkit._types import Key
from vi_toolkit.algorithms import Method
from vi_toolkit.calibration._fits import Work, simulate_and_fit
from vi_toolkit.calibration._model import Model
from vi_toolkit.calibration._words import sentence
from vi_toolkit.calibration.calibration import (
    BIAS,
    FEWEST,
    MOST_FAILED,
    SHAPE,
    SPREAD,
    SYMMETRY,
    Calibration,
    judge,
)


def sbc(
    key: Key,
    model: Model,
    *args: Any,
    observed: Sequence[str],
    method: Method | None = None,
    fit_model: Model | None = None,
    sites: Sequence[str] | None = None,
    num_simulations: int = 500,
    num_draws: int = 999,
    level: float = 0.01,
    **kwargs: Any,
) -> Calibration:
    r"""Simulation-based calibration: whether fits to simulated data are as uncertain as they should be.

    For n = 1 .. num_simulations, unknowns and data are drawn from the model, theta_n ~ p(theta), y_n ~ p(y | theta_n),
    q_n is fitted to y_n, and each scalar f of theta, in the model's own space, is ranked among its draws under q_n:

        p_n = (#{f(z) < f(theta_n)} + u_n (1 + #{f(z) = f(theta_n)})) / (num_draws + 1),   u_n ~ U(0, 1),  z ~ q_n

    If q_n is the posterior of y_n, p_n is uniform on (0, 1), whatever f. Beside every unknown, the log likelihood and
    the log density (of `Target.log_density`) at (theta_n, y_n) are ranked, which see correlations that no single
    unknown sees. With x_n = Phi^-1(p_n), normal where p_n is uniform, three exact tests are made of every quantity:

    - of its place, by the mean of x_n (Student's t): *bias*, in standard deviations of q;
    - of its width, by their standard deviation (chi-square): *spread*, the error of q over the one that it states;
    - of its shape, by the distribution function of p_n, between simultaneous bounds.

    Holm's correction is for all of them. The data sets are simulated side by side. The fits share one compiled program
    and run one after another, in a thread for every core: side by side by `vmap`, each step would wait for the slowest
    of them (for the eight schools, 1.4 times the work with two side by side, and 3 times with sixteen).

    What is tested is the average over data sets from the prior, not q at the data at hand: a prior that is far from
    the data says little of them.

    Args:
        key: a JAX random key.
        model: a NumPyro model with proper priors.
        *args: passed to the model, without the data.
        observed: names of the sites that are data, such as ``("y",)``; they are simulated and then conditioned on.
        method: of `vi.fit`; None for the default.
        fit_model: the model that is fitted, with the same unknowns and arguments, where it is not the one that data are
            simulated from: to see what a wrong prior or likelihood does.
        sites: names of the sites to rank, deterministic ones too; None for all unknown ones.
        num_simulations: data sets, at least 10; the error of what is found falls like one over its square root.
        num_draws: draws of each q.
        level: the chance of flagging an exact q.
        **kwargs: passed to the model.

    Returns:
        The ranks, the tests and a verdict in words. Ctrl-C ends it with the fits that there are.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if the model cannot be simulated from (improper priors, factors, sites that were given data), a
            named site is not there, or none of the first fits finds a place to begin.

    Example:
        >>> import jax, jax.numpy as jnp, numpyro, numpyro.distributions as dist, vi_toolkit as vi
        >>> def model(scale, y=None):
        ...     mean = numpyro.sample("mean", dist.Normal(0.0, 1.0))
        ...     numpyro.sample("y", dist.Normal(mean, scale).expand([5]).to_event(1), obs=y)
        >>> def narrow(scale, y=None):
        ...     model(0.5 * scale, y)
        >>> found = vi.sbc(jax.random.key(0), model, 1.0, observed=("y",), fit_model=narrow, num_simulations=50)
        >>> found.flagged, found.table.loc["mean", "found"][:10]
        (True, 'too narrow')

    Source: Talts, Betancourt, Simpson, Vehtari & Gelman (2018), Validating Bayesian inference algorithms with
    simulation-based calibration, arXiv:1804.06788; Modrák et al. (2023), Simulation-based calibration checking for
    Bayesian computation: the choice of test quantities shapes sensitivity, arXiv:2211.02383; Säilynoja, Bürkner &
    Vehtari (2022), Graphical test for discrete uniformity, arXiv:2103.10522.
    """
    work = _work(model, args, kwargs, observed, method, fit_model, sites, num_simulations, num_draws, joint=True)
    return _calibrate(key, work, (BIAS, SPREAD, SHAPE), level)


def vsbc(
    key: Key,
    model: Model,
    *args: Any,
    observed: Sequence[str],
    method: Method | None = None,
    fit_model: Model | None = None,
    sites: Sequence[str] | None = None,
    num_simulations: int = 500,
    num_draws: int = 999,
    level: float = 0.01,
    **kwargs: Any,
) -> Calibration:
    """Variational simulation-based calibration: whether the place of q is right on average, whatever its width.

    As `sbc`, but only p_n = q_n(theta < theta_n) of the unknowns is looked at, and only whether it is symmetric about
    1/2: an approximation whose mean is right may be too narrow, as mean-field guides are, and still pass. p and 1 - p
    are compared by Kolmogorov and Smirnov's distance, at its exact law under symmetry. p that leans to 1 says that q is
    too low, p that leans to 0 that it is too high.

    Args:
        key: a JAX random key.
        model: as for `sbc`.
        *args: passed to the model, without the data.
        observed: as for `sbc`.
        method: of `vi.fit`; None for the default.
        fit_model: as for `sbc`.
        sites: as for `sbc`.
        num_simulations: as for `sbc`.
        num_draws: draws of each q.
        level: the chance of flagging a q that is right.
        **kwargs: passed to the model.

    Returns:
        As `sbc` does; ``found`` is about bias alone.

    Raises:
        TypeError: as `sbc` does.
        ValueError: as `sbc` does.

    Example:
        >>> import jax, jax.numpy as jnp, numpyro, numpyro.distributions as dist, vi_toolkit as vi
        >>> def model(shift, y=None):
        ...     mean = numpyro.sample("mean", dist.Normal(0.0, 1.0))
        ...     numpyro.sample("y", dist.Normal(mean + shift, 1.0).expand([5]).to_event(1), obs=y)
        >>> def higher(shift, y=None):
        ...     model(shift + 1.0, y)
        >>> found = vi.vsbc(jax.random.key(0), model, 0.0, observed=("y",), fit_model=higher, num_simulations=50)
        >>> bool(found.table.loc["mean", "bias"] > 1.5), found.table.loc["mean", "found"][:7]
        (True, 'too low')

    Source: Yao, Vehtari, Simpson & Gelman (2018), Yes, but did it work? Evaluating variational inference,
    arXiv:1802.02538.
    """
    work = _work(model, args, kwargs, observed, method, fit_model, sites, num_simulations, num_draws, joint=False)
    return _calibrate(key, work, (SYMMETRY,), level)


def _calibrate(key: Key, work: Work, tests: tuple[str, ...], level: float) -> Calibration:
    check_key(key)
    if not 0.0 < level < 0.5:
        raise ValueError(f"level: expected the chance of a false alarm, such as 0.01, got {level}.")
    found = simulate_and_fit(key, work)
    num_fits = len(next(iter(found.pit.values()), ()))
    if found.interrupted and num_fits < FEWEST:
        raise KeyboardInterrupt
    if num_fits < FEWEST:
        raise ValueError(
            f"model: only {num_fits} of {work.num_simulations} simulated data sets could be fitted, and {FEWEST} are "
            f"needed. The first that could not: {found.failures[0]}"
        )
    names, pit, table = judge(found.pit, tests, level)
    failed = len(found.failures)
    said = sentence(table, num_fits, work.num_simulations, failed, len(tests) * len(names), level)
    return Calibration(
        table=table,
        names=names,
        pit=pit,
        flagged=bool((table["found"] != "").any()) or failed > MOST_FAILED * (num_fits + failed),
        sentence=f"Interrupted. {said}" if found.interrupted else said,
        level=level,
        num_simulations=work.num_simulations,
        num_draws=work.num_draws,
        statuses=found.statuses,
        failures=found.failures,
    )


def _work(
    model: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    observed: Any,
    method: Any,
    fit_model: Any,
    sites: Any,
    num_simulations: Any,
    num_draws: Any,
    *,
    joint: bool,
) -> Work:
    """The arguments, checked."""
    for value, name in ((model, "model"), (model if fit_model is None else fit_model, "fit_model")):
        if not callable(value):
            raise TypeError(f"{name}: expected a NumPyro model (a function), got {describe(value)}.")
    if method is not None:
        check_instance(method, Method, "method", "Make one with vi.gradient(guide, objective).")
    num_simulations = check_positive_int(num_simulations, "num_simulations")
    if num_simulations < FEWEST:
        raise ValueError(f"num_simulations: expected at least {FEWEST}, got {num_simulations}.")
    return Work(
        model=model,
        fit_model=model if fit_model is None else fit_model,
        args=args,
        kwargs=kwargs,
        observed=_names(observed, "observed"),
        method=method,
        sites=() if sites is None else _names(sites, "sites"),
        joint=joint,
        num_simulations=num_simulations,
        num_draws=check_positive_int(num_draws, "num_draws"),
    )


def _names(given: Any, name: str) -> tuple[str, ...]:
    """Names of sites, one or several, without repetition."""
    names = (given,) if isinstance(given, str) else tuple(given) if isinstance(given, Sequence) else ()
    if not names or not all(isinstance(one, str) for one in names):
        raise TypeError(f'{name}: expected names of sites, such as ("y",), got {describe(given)}.')
    return tuple(dict.fromkeys(names))
