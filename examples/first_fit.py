"""A first fit: a model of one's own, a posterior in seconds, and whether to trust it."""

import arviz as az
import jax
import numpyro
import numpyro.distributions as dist

import vi_toolkit as vi


def model(temperature, failed=None):
    """failed_i ~ Bernoulli(logistic(level + slope * (temperature_i - 70) / 10))."""
    level = numpyro.sample("level", dist.Normal(0.0, 3.0))
    slope = numpyro.sample("slope", dist.Normal(0.0, 3.0))
    numpyro.sample("failed", dist.Bernoulli(logits=level + slope * (temperature - 70) / 10), obs=failed)


def main():
    """Fits two guides, says how far to trust each, and summarises the second with ArviZ."""
    jax.config.update("jax_enable_x64", True)  # before anything is computed
    target = vi.from_numpyro(model, vi.datasets.O_RINGS_FAHRENHEIT, failed=vi.datasets.O_RINGS_FAILED)
    for guide in (vi.FullRankNormal(), vi.NormalMixture(2)):  # the posterior is skewed: one normal is not enough
        fit = vi.fit(jax.random.key(0), target, vi.gradient(guide, vi.ReverseKL()))
        print(f"{guide}\n{vi.diagnose(jax.random.key(1), fit)}\n")
    tree = vi.to_datatree(jax.random.key(2), fit)
    print(az.summary(tree, kind="stats"))
    slope = tree["posterior"]["slope"]
    print(f"The colder, the likelier a failure: with probability {float((slope < 0).mean()):.3f}.")


if __name__ == "__main__":
    main()
