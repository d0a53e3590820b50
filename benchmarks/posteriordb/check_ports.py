"""Each port's log density against the database's: ``python -m benchmarks.posteriordb.check_ports --path FOLDER``.

At every reference draw x, log p_port(x) - log p_database(x) must be the same number, to an sd of 1e-6 nats: the offset
that the port's normalised priors predict. In the model's own space the port's density is NumPyro's, and on R^dim it is
the target's; the database's comes from ``checks/``, stored in both spaces.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.infer.util import log_density

from benchmarks.posteriordb import CHECKS, MODELS, folder, posterior
from vi_toolkit.exact.posteriordb import DatabasePosterior
from vi_toolkit.targets import Target
from vi_toolkit.targets.target import log_densities

MAX_ERROR = 1e-6  # nats
ROUNDS, REPEATS = 5, 100  # the fastest round counts
HEADER = f"{'posterior':50s} dim       sd sd on R^dim       offset    predicted us/gradient"


@dataclass(frozen=True)
class Row:
    """What one port gave.

    Attributes:
        name: the posterior.
        dim: of its unconstrained space.
        sd: of the difference of the two log densities in the model's own space, over the reference draws, in nats.
        sd_unconstrained: the same on R^dim.
        offset: the mean of the difference.
        predicted: what the offset must be.
        microseconds: of one compiled gradient of the target's log density.
    """

    name: str
    dim: int
    sd: float
    sd_unconstrained: float
    offset: float
    predicted: float
    microseconds: float

    @property
    def passed(self) -> bool:
        return max(self.sd, self.sd_unconstrained, abs(self.offset - self.predicted)) < MAX_ERROR

    def __str__(self) -> str:
        return (
            f"{self.name:50s} {self.dim:3d} {self.sd:8.1e} {self.sd_unconstrained:11.1e} {self.offset:12.7f} "
            f"{self.predicted:12.7f} {self.microseconds:11.1f}  {'pass' if self.passed else 'FAIL'}"
        )


def check_port(path: Path, name: str) -> Row:
    """Holds one port against ``reference_logp.npz``."""
    found = posterior(path, name)
    assert found.target is not None
    assert found.reference is not None
    with np.load(path / CHECKS / name / "reference_logp.npz") as arrays:
        stored, stored_unconstrained = (
            arrays[f"log_density_{space}"].reshape(-1) for space in ("constrained", "unconstrained")
        )
    difference = constrained_log_densities(name, found) - stored
    draws = jnp.asarray(found.reference.draws)
    on_reals = np.asarray(log_densities(found.target, draws)) - stored_unconstrained
    return Row(
        name=name,
        dim=found.target.dim,
        sd=float(difference.std()),
        sd_unconstrained=float(on_reals.std()),
        offset=float(difference.mean()),
        predicted=MODELS[name].offset,
        microseconds=gradient_microseconds(found.target, draws[0]),
    )


def constrained_log_densities(name: str, found: DatabasePosterior) -> np.ndarray:
    """The port's log density at every reference draw, in the model's own space, without any Jacobian."""
    port = MODELS[name]
    arguments = port.arguments(found.data)
    names = [site.name for site in found.target.sites] if found.target is not None else []

    def at(draw: Any) -> Any:
        sites = draw if port.sites is None else port.sites(draw, found.data)
        return log_density(port.model, (), arguments, {name: sites[name] for name in names})[0]

    draws = {key: value.reshape(-1, *value.shape[2:]) for key, value in found.parameters.items()}
    return np.asarray(jax.jit(jax.vmap(at))(draws))


@jax.jit
def _value_and_gradient(target: Target, z: Any) -> Any:
    return jax.value_and_grad(target.log_density)(z)


def gradient_microseconds(target: Target, z: Any) -> float:
    """The time of one log density with its gradient, compiled."""
    jax.block_until_ready(_value_and_gradient(target, z))

    def one_round() -> float:
        start = time.perf_counter()
        for _ in range(REPEATS):
            result = _value_and_gradient(target, z)
        jax.block_until_ready(result)
        return (time.perf_counter() - start) / REPEATS

    return 1e6 * min(one_round() for _ in range(ROUNDS))


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the table; 1 where a port does not pass."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.posteriordb.check_ports", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="posteriors; all eighteen by default")
    parser.add_argument("--path", type=Path, help="the folder of the database; by default, POSTERIORDB")
    given = parser.parse_args(arguments)
    jax.config.update("jax_enable_x64", True)
    try:
        path = folder(given.path)
    except FileNotFoundError as error:
        parser.error(str(error))
    if unknown := [name for name in given.names if name not in MODELS]:
        parser.error(f"unknown posterior {unknown[0]!r}; there are {', '.join(MODELS)}")
    print(HEADER)
    rows = []
    for name in given.names or MODELS:
        rows.append(check_port(path, name))
        print(rows[-1], flush=True)
    failed = [row.name for row in rows if not row.passed]
    print(f"{len(rows) - len(failed)} of {len(rows)} pass" + (f"; failed: {', '.join(failed)}" if failed else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
