"""Real posteriors with reference draws, from any local clone of the database posteriordb."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vi_toolkit._checks import check_instance, describe
from vi_toolkit.exact._posteriordb_files import check_draws, find_root, group_scalars, read_data, read_draws, read_entry
from vi_toolkit.exact.posterior import ExactPosterior
from vi_toolkit.targets import Target, from_numpyro
from vi_toolkit.targets.target import constrain_draws


@dataclass(frozen=True)
class DatabaseModel:
    """A NumPyro model of a posterior of the database, and how the database's words are its own.

    Attributes:
        model: the NumPyro model.
        arguments: {name: value} of the data -> {argument: value} of the model. By default, every argument of the model
            is the datum of its name.
        sites: ({name: array} of ONE reference draw, {name: value} of the data) -> {site: array} of the model, traced
            by JAX. By default, every site is the parameter of its name.
        log_evidence: log Z of the model in nats where it is known, else None.

    Example:
        >>> import numpyro, numpyro.distributions as dist
        >>> from vi_toolkit import exact
        >>> def model(y, scale):
        ...     mean = numpyro.sample("mean", dist.Normal(0.0, 10.0))
        ...     numpyro.sample("y", dist.Normal(mean, scale), obs=y)
        >>> entry = exact.DatabaseModel(model, arguments=lambda data: {"y": data["y"], "scale": data["sigma"]})
        >>> entry.arguments({"N": 2, "y": [1.0, 3.0], "sigma": 2.0})
        {'y': [1.0, 3.0], 'scale': 2.0}
    """

    model: Callable[..., Any]
    arguments: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None
    sites: Callable[[Mapping[str, Any], Mapping[str, Any]], Mapping[str, Any]] | None = None
    log_evidence: float | None = None


@dataclass(frozen=True, eq=False)
class DatabasePosterior:
    """A posterior of the database: its data, its reference draws, and with a model its target and reference.

    Attributes:
        name: the posterior's name in the database.
        info: the database's own entry: names of model and data, keywords, and so on.
        data: {name: array}, numbers staying numbers.
        dimensions: {parameter: the size or sizes of it}, as the database states them.
        draws: {scalar name: (chains, draws)}, such as "beta[1]", in float64; empty where none were asked for.
        parameters: the same draws, {parameter: (chains, draws, ...)}.
        target: log p~ on R^dim by the model that was given, else None.
        reference: the draws as a posterior on the target's space, for `vi.check`, `vi.diagnose` and `vi.compare`; None
            without a model or draws.

    Example:
        >>> import numpy as np
        >>> from vi_toolkit import exact
        >>> draws = {"beta[1]": np.zeros((4, 100)), "beta[2]": np.ones((4, 100))}
        >>> parameters = {"beta": np.stack([draws["beta[1]"], draws["beta[2]"]], axis=-1)}
        >>> found = exact.DatabasePosterior("a-b", {}, {"N": 3}, {"beta": 2}, draws, parameters)
        >>> found.parameters["beta"].shape, found.reference is None
        ((4, 100, 2), True)
    """

    name: str
    info: Mapping[str, Any]
    data: Mapping[str, Any]
    dimensions: Mapping[str, Any]
    draws: Mapping[str, np.ndarray]
    parameters: Mapping[str, np.ndarray]
    target: Target | None = None
    reference: ExactPosterior | None = None


def posteriordb(
    path: str | Path,
    name: str,
    *,
    model: DatabaseModel | None = None,
    draws: Mapping[str, Any] | None = None,
) -> DatabasePosterior:
    r"""Data and reference draws of a posterior in a local clone of posteriordb, and with a model its target.

    The database holds data, Stan programs, and for many posteriors some ten thousand draws that are nearly independent.
    NumPyro models are not in it: a program of one's own keeps them in a dictionary {name: DatabaseModel} and passes
    ``model=MODELS[name]``. The draws x_i are then taken to the target's space, z_i = T^-1(x_i), and ``reference`` has
    their mean and covariance with Monte-Carlo standard errors. The draws are those that the entry's
    ``reference_posterior_name`` names, which may be another posterior's.

    Args:
        path: the clone, or its folder ``posterior_database``. Data and draws may be zipped, as they come, or not.
        name: the posterior's name, such as "eight_schools-eight_schools_noncentered".
        model: the NumPyro model of this posterior.
        draws: {scalar name: (chains, draws)}, draws of one's own to be used instead of the database's; ``{}`` asks for
            none.

    Returns:
        The posterior; ``target`` and ``reference`` are on the unconstrained space of the model, in JAX's precision.

    Raises:
        FileNotFoundError: if ``path`` holds no database, or a file that the entry names is not there.
        ValueError: if there is no posterior of this name, it has no reference draws, or model, data and draws do not
            fit together.
        TypeError: if an argument is of the wrong kind.

    Example:
        >>> import json, pathlib, tempfile
        >>> import numpyro, numpyro.distributions as dist
        >>> from vi_toolkit import exact
        >>> clone = pathlib.Path(tempfile.mkdtemp())
        >>> def write(file, content):
        ...     file = clone / "posterior_database" / file
        ...     file.parent.mkdir(parents=True)
        ...     _ = file.write_text(json.dumps(content))
        >>> entry = {"data_name": "coin", "reference_posterior_name": "coin-beta", "dimensions": {"p": 1}}
        >>> write("posteriors/coin-beta.json", entry)
        >>> write("data/data/coin.json", {"heads": 7, "tosses": 10})
        >>> write("reference_posteriors/draws/draws/coin-beta.json", [{"p": [0.5, 0.7]}, {"p": [0.6, 0.8]}])
        >>> def model(heads, tosses):
        ...     p = numpyro.sample("p", dist.Beta(1.0, 1.0))
        ...     numpyro.sample("heads", dist.Binomial(tosses, p), obs=heads)
        >>> coin = exact.posteriordb(clone, "coin-beta", model=exact.DatabaseModel(model))
        >>> coin.draws["p"].shape, coin.reference.draws.shape
        ((2, 2), (4, 1))
        >>> coin.reference.constrained_moments["p"][0].round(3)
        np.float64(0.65)

    Source: Magnusson, Torgander, Buerkner, Zhang, Carpenter and Vehtari (2025), posteriordb: Testing, benchmarking and
    developing Bayesian inference algorithms, arXiv:2407.04967.
    """
    check_instance(model, (DatabaseModel, type(None)), "model", "Wrap it: vi.exact.DatabaseModel(model).")
    root = find_root(path)
    info = read_entry(root, name)
    data = read_data(root, info["data_name"])
    chains = read_draws(root, name, info) if draws is None else check_draws(draws)
    parameters = group_scalars(chains)
    posterior = DatabasePosterior(name, info, data, info.get("dimensions", {}), chains, parameters)
    if model is None:
        return posterior
    target = replace(from_numpyro(model.model, **_arguments(model, data)), log_evidence=model.log_evidence)
    posterior = replace(posterior, target=target)
    source = "reference draws of posteriordb" if draws is None else "draws that were given"
    return replace(posterior, reference=_reference(posterior, target, model, source) if parameters else None)


def _arguments(model: DatabaseModel, data: Mapping[str, Any]) -> Mapping[str, Any]:
    if model.arguments is not None:
        return model.arguments(data)
    names = inspect.signature(model.model).parameters
    missing = [name for name, parameter in names.items() if name not in data and parameter.default is parameter.empty]
    if missing:
        raise ValueError(
            f"model: its argument {missing[0]!r} is not among the data ({', '.join(data)}). Say how the data become "
            "its arguments: vi.exact.DatabaseModel(model, arguments=lambda data: {...})."
        )
    return {name: data[name] for name in names if name in data}


def _reference(posterior: DatabasePosterior, target: Target, model: DatabaseModel, source: str) -> ExactPosterior:
    """The draws in the target's coordinates, with what is known by them alone."""
    import arviz  # it takes long to import, and only this needs it

    num_chains, num_draws = next(iter(posterior.parameters.values())).shape[:2]
    draws = np.asarray(_unconstrained(target, model, posterior), np.float64)
    if not np.isfinite(draws).all():
        raise ValueError(f"model: {posterior.name} has reference draws outside the support of the model's sites.")
    chains = draws.reshape(num_chains, num_draws, target.dim)
    errors = [np.asarray(arviz.mcse(chains, method=method), np.float64) for method in ("mean", "sd")]
    sites = constrain_draws(target, jnp.asarray(draws))
    values = {name: np.asarray(value, np.float64) for name, value in sites.items()}
    return ExactPosterior(
        name=posterior.name,
        target=target,
        how=f"{source}, {num_chains} chains of {num_draws}",
        sampler=partial(_resample, draws),
        log_evidence=model.log_evidence,
        mean=draws.mean(axis=0),
        covariance=np.atleast_2d(np.cov(draws.T)),
        constrained_moments={name: (value.mean(axis=0), value.std(axis=0, ddof=1)) for name, value in values.items()},
        draws=draws,
        mcse=errors[0],
        sd_mcse=errors[1],
    )


def _unconstrained(target: Target, model: DatabaseModel, posterior: DatabasePosterior) -> jax.Array:
    """Every draw as a point of R^dim, (draws, dim), chain after chain."""

    def point(target: Target, draw: Mapping[str, Any]) -> Any:
        sites = draw if model.sites is None else model.sites(draw, posterior.data)
        return target.unconstrain({site.name: _fitted(site, sites) for site in target.sites})[0]

    draws = {name: jnp.asarray(x.reshape(-1, *x.shape[2:])) for name, x in posterior.parameters.items()}
    return jax.jit(jax.vmap(point, in_axes=(None, 0)))(target, draws)


def _fitted(site: Any, sites: Mapping[str, Any]) -> Any:
    value = sites.get(site.name)
    if value is None or jnp.size(value) != int(np.prod(site.shape, dtype=int)):
        found = f"{', '.join(sites)}" if value is None else describe(value)
        raise ValueError(
            f"model: its site {site.name!r} of shape {site.shape} is not what the reference draws hold: {found}. Say "
            "how a draw becomes the model's sites: vi.exact.DatabaseModel(model, sites=lambda draw, data: {...})."
        )
    return jnp.reshape(value, site.shape)


def _resample(draws: np.ndarray, generator: np.random.Generator, num_draws: int) -> np.ndarray:
    return draws[generator.integers(len(draws), size=num_draws)]
