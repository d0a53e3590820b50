"""A model for the command line: a regression with unknown noise.

    vi-toolkit fit examples/user_model.py:model --data examples/data/diabetes.csv --response progression

The response goes to the argument ``y``, and every other numeric column becomes a column of ``X``.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

import vi_toolkit as vi
from vi_toolkit.model_fit import prepare

DATA = Path(__file__).parent / "data" / "diabetes.csv"


def model(X, y=None):
    """y_i ~ Normal(intercept + x_i . slope, noise), with the columns of X standardised."""
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    intercept = numpyro.sample("intercept", dist.Normal(150.0, 100.0))
    noise = numpyro.sample("noise", dist.HalfNormal(100.0))
    with numpyro.plate("predictor", X.shape[1]):  # of this name, so that the output names the columns
        slope = numpyro.sample("slope", dist.Normal(0.0, 50.0))
    numpyro.sample("y", dist.Normal(intercept + X @ slope, noise), obs=y)


def main():
    """What the command does, in five lines."""
    jax.config.update("jax_enable_x64", True)
    target, data = prepare(f"{__file__}:model", DATA, "progression")
    fit = vi.fit(jax.random.key(0), target)
    slopes = jax.vmap(target.constrain)(fit.posterior.sample(jax.random.key(1), (4000,)))["slope"]
    for name, mean, sd in zip(data.predictors, jnp.mean(slopes, axis=0), jnp.std(slopes, axis=0), strict=True):
        print(f"{name:>15}: {mean:6.1f} ± {sd:.1f} points for one standard deviation")


if __name__ == "__main__":
    main()
