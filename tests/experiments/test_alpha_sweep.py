"""The sweep over orders: its table against minimisers that are known, and its figure against its table."""

import jax
import matplotlib.pyplot as plt
import numpy as np
import pytest

import vi_toolkit as vi
from scripts.optima.cases import gaussian
from scripts.optima.divergences import DIVERGENCES
from scripts.optima.minimise import best_mean_field_scale

ALPHAS = {-0.5: "Renyi -0.5", 0.0: "forward KL", 0.5: "Renyi 0.5", 1.0: "reverse KL", 2.0: "Renyi 2"}


@pytest.fixture(scope="module")
def swept():
    correlated = vi.exact.gaussian_mixture([1.0], [[0.0, 1.0]], [[[1.0, 1.2], [1.2, 4.0]]])  # a correlation of 0.6
    result = vi.experiments.alpha_sweep(
        jax.random.key(0),
        alphas=list(ALPHAS),
        posteriors={"correlated": correlated},
        guides={"mean field": vi.MeanFieldNormal()},
    )
    yield result
    plt.close(result.figure)


def test_sd_ratios_are_those_of_the_minimisers(swept):
    exact = [best_mean_field_scale(DIVERGENCES[name], gaussian(2, 0.6)) for name in ALPHAS.values()]
    np.testing.assert_allclose(swept.table["max sd ratio"], exact, rtol=0.02)
    np.testing.assert_allclose(swept.table["min sd ratio"], exact, rtol=0.02)
    entropies = np.log(2 * np.pi * np.e * 2.0) + 2 * np.log(exact)  # of sds 1 and 2, times the ratio
    np.testing.assert_allclose(swept.table["entropy (nats)"], entropies, atol=0.04)
    np.testing.assert_array_equal(swept.numbers["entropy of mean field on correlated"], swept.table["entropy (nats)"])


def test_the_figure_holds_the_table_and_p(swept):
    entropy, ratios, masses = swept.figure.axes
    for axes, column in ((entropy, "entropy (nats)"), (ratios, "max sd ratio")):
        drawn = {line.get_xydata().tobytes() for line in axes.lines}
        assert swept.table[["alpha", column]].to_numpy().tobytes() in drawn
    exact = np.log(2 * np.pi * np.e) + 0.5 * np.log(4 * (1 - 0.36))
    assert any(np.allclose(line.get_ydata(), exact, atol=0.01) for line in entropy.lines)
    assert [text.get_text() for text in masses.texts if "mode" in text.get_text()] == ["p has one mode"]


def test_the_conclusion_says_the_numbers(swept):
    first, last = swept.table["entropy (nats)"].iloc[[0, -1]]
    assert f"from {first:.2f} to {last:.2f} nats" in swept.conclusion
