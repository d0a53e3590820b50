"""The gallery: an example of every entry, written down in docs/GALLERY.md, and right as its entry says."""

import inspect
import re
from pathlib import Path

import jax
import numpy as np
import pytest

from tests.exact.checks import check_draws
from vi_toolkit import exact
from vi_toolkit.exact.gallery import EXAMPLES

GENERAL = {"grid", "reference", "posteriordb", "gallery"}  # for any target or database, and the gallery itself
PAGE = Path(__file__).resolve().parents[2] / "docs" / "GALLERY.md"
ROWS = dict(re.findall(r"^\| `(\w+)` \|[^|]*\| (-?[\d.]+) \|", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE))


def test_every_entry_has_an_example():
    entries = {name for name, thing in vars(exact).items() if inspect.isfunction(thing) and not name.startswith("_")}
    assert set(EXAMPLES) == entries - GENERAL


def test_the_page_has_every_entry():
    assert list(ROWS) == list(EXAMPLES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_evidence_moments_and_draws(name):
    posterior = EXAMPLES[name]()
    assert f"{posterior.log_evidence:.4f}" == ROWS[name], "the page is out of date: make gallery"
    if isinstance(posterior, exact.DiscretePosterior):
        check_states(posterior)
        return
    check_draws(posterior, 20_000)
    z = posterior.sample(jax.random.key(1), 1)[0]
    assert posterior.log_prob(z) == posterior.target.log_density(z) - posterior.log_evidence
    for site, (mean, sd) in posterior.constrained_moments.items():
        if site in posterior.marginals:
            marginal = posterior.marginals[site]
            np.testing.assert_allclose(marginal.mean, mean, rtol=1e-7, atol=1e-9)
            if site != "covariance":  # NumPyro 0.22 is wrong about the variance of an inverse Wishart off the diagonal
                np.testing.assert_allclose(np.sqrt(marginal.variance), sd, rtol=1e-6)


def check_states(posterior):
    """The shares of states among draws are the marginals, and no draw is likelier than the mode."""
    draws = posterior.sample(jax.random.key(0), 4000)
    shares = np.eye(posterior.marginals.shape[-1])[draws].reshape(len(draws), -1)
    error = np.sqrt(posterior.marginals * (1 - posterior.marginals) / len(draws)).ravel()
    assert np.all(np.abs(shares.mean(axis=0) - posterior.marginals.ravel()) <= 5 * error + 1e-12)
    likeliest = posterior.log_prob(posterior.mode)
    assert all(posterior.log_prob(x) <= likeliest + 1e-12 for x in draws[:100])
