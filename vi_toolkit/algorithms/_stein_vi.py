"""NumPyro's SteinVI on a flat log density and a family of distributions with flat parameters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array
from numpyro.contrib.einstein import SteinVI
from numpyro.contrib.einstein.stein_kernels import SteinKernel
from numpyro.distributions import Distribution
from numpyro.handlers import block

from vi_toolkit._types import Scalar, Vector
from vi_toolkit.kernels import Kernel

PARAM = "parameters"  # the name of the flat parameters among NumPyro's


@dataclass(frozen=True)
class NumPyroKernel(SteinKernel):
    """A kernel of this package as one of NumPyro's."""

    kernel: Kernel
    mode: str = "norm"

    def compute(self, rng_key: Any, particles: Any, particle_info: Any, loss_fn: Any) -> Callable[[Any, Any], Any]:
        factor = 1 / np.sqrt(2 * np.log(len(particles) + 1))
        return self.kernel.settle(particles, factor=factor).value


def stein_vi(
    log_density: Callable[[Vector], Scalar],
    family: Callable[[Array], Distribution],
    zeros: tuple[Vector, Array],
    **settings: Any,
) -> SteinVI:
    """SteinVI of a log density of one point and of the family: flat parameters -> distribution of the point.

    ``zeros`` are a point and flat parameters, for their shapes. What density and family do in NumPyro of their own (a
    target may be a model, a guide an autoguide) is kept from SteinVI's eyes.
    """
    point, parameters = zeros

    def model() -> None:
        x = numpyro.sample("x", dist.Normal(point, 1.0).to_event(1).mask(False))
        with block():
            log_p = log_density(x)
        numpyro.factor("log_density", log_p)

    def guide() -> None:
        flat = numpyro.param(PARAM, parameters)
        with block():
            q = family(flat)
        numpyro.sample("x", q)

    return SteinVI(model, guide, **settings)
