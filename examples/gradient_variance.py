"""Which estimator of reverse KL's gradient is the least noisy for the same work, from the start of a fit to its end.

    python examples/gradient_variance.py [FOLDER]

writes gradient_variance_end.png and gradient_variance_path.png into the folder, by default the working directory.
"""

import sys
from pathlib import Path

import jax
import matplotlib
import numpyro
import numpyro.distributions as dist

import vi_toolkit as vi


def model(temperature, failed=None):
    """failed_i ~ Bernoulli(logistic(level + slope * (temperature_i - 70) / 10))."""
    level = numpyro.sample("level", dist.Normal(0.0, 3.0))
    slope = numpyro.sample("slope", dist.Normal(0.0, 3.0))
    numpyro.sample("failed", dist.Bernoulli(logits=level + slope * (temperature - 70) / 10), obs=failed)


def main(folder="."):
    """Measures every estimator that is valid for reverse KL with a mean-field normal."""
    jax.config.update("jax_enable_x64", True)  # before anything is computed
    matplotlib.use("Agg")
    target = vi.from_numpyro(model, vi.datasets.O_RINGS_FAHRENHEIT, failed=vi.datasets.O_RINGS_FAILED)
    guide, reverse_kl = vi.MeanFieldNormal(), vi.ReverseKL()
    objectives = {
        name.replace("_", " "): vi.ReverseKL(getattr(vi.estimators, name))
        for name in vi.estimators.valid(reverse_kl.shape, guide)
    }
    for noise in (vi.estimators.independent, vi.estimators.quasi_random):
        name = f"stick the landing, {noise.__name__.replace('_', ' ')}"
        objectives[name] = vi.ReverseKL(vi.estimators.stick_the_landing.drawing(noise))
    objectives["log-variance"] = vi.LogVariance()

    fit = vi.fit(jax.random.key(0), target, vi.gradient(guide, reverse_kl))
    settings = {"fit": fit, "num_draws": 16}
    end = vi.gradient_variance(jax.random.key(1), target, guide, objectives, reference="stick the landing", **settings)
    path = vi.gradient_variance(jax.random.key(1), target, guide, objectives, num_points=5, repeats=300, **settings)
    columns = ["objective", "work", "variance", "variance x work", "signal to noise", "bias", "bias se"]
    print(end.table[columns].sort_values("variance x work").round(4).to_string(index=False))
    for name, result in (("end", end), ("path", path)):
        file = Path(folder) / f"gradient_variance_{name}.png"
        vi.plot_gradient_variance(result).savefig(file)
        print(f"The picture: {file}")


if __name__ == "__main__":
    main(*sys.argv[1:2])
