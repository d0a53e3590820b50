"""Ordinary NumPyro code, model, guide, optimiser and SVI, in which only the loss changes."""

import jax
import numpyro
import numpyro.distributions as dist
import optax
from numpyro.distributions import constraints
from numpyro.infer import SVI

import vi_toolkit as vi

LOSSES = {
    "reverse KL": vi.ReverseKL(),  # minus the ELBO
    "Renyi, alpha = 1/2": vi.Renyi(0.5),
    "IWAE of 16 draws": vi.IWAE(16),
    "Jensen-Shannon": vi.JensenShannon(),
    "chi-square": vi.Chi(2),
}


def model(fahrenheit, failed):
    """failed_i ~ Bernoulli(logistic(level + slope * (fahrenheit_i - 75) / 10)), on the O-rings of the space shuttle."""
    level = numpyro.sample("level", dist.Normal(0.0, 3.0))
    slope = numpyro.sample("slope", dist.Normal(0.0, 3.0))
    with numpyro.plate("launch", len(failed)):
        numpyro.sample("failed", dist.Bernoulli(logits=level + slope * (fahrenheit - 75) / 10), obs=failed)


def guide(fahrenheit, failed):
    """Two independent normals, though level and slope are correlated: each loss has its own way to be wrong."""
    for name in ("level", "slope"):
        location = numpyro.param(f"{name}_location", 0.0)
        scale = numpyro.param(f"{name}_scale", 0.3, constraint=constraints.positive)
        numpyro.sample(name, dist.Normal(location, scale))


def main():
    """Fits the same guide by every loss; the further down, the more of the posterior it has to cover."""
    jax.config.update("jax_enable_x64", True)  # before anything is computed
    rate = optax.exponential_decay(0.05, 400, 0.05, transition_begin=400)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(rate))  # chi-square is steep far away
    print(f"{'loss':20}{'level':>16}{'slope':>16}{'value':>10}")
    for name, objective in LOSSES.items():
        svi = SVI(model, guide, optimizer, loss=vi.as_numpyro_loss(objective))  # was: loss=Trace_ELBO()
        data = (vi.datasets.O_RINGS_FAHRENHEIT, vi.datasets.O_RINGS_FAILED)
        params, _, losses = svi.run(jax.random.key(0), 800, *data, progress_bar=False)
        fitted = [f"{params[f'{s}_location']:.2f} ± {params[f'{s}_scale']:.2f}" for s in ("level", "slope")]
        print(f"{name:20}{fitted[0]:>16}{fitted[1]:>16}{losses[-100:].mean():10.2f}")


if __name__ == "__main__":
    main()
