"""Not a distance: the counterexamples in closed form, and that none is smaller."""

from fractions import Fraction
from itertools import permutations

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.special import rel_entr

from tests.experiments.experiment_checks import check_experiment
from vi_toolkit import experiments
from vi_toolkit.experiments.experiment import Experiment


@pytest.fixture(scope="module")
def result():
    return experiments.not_a_distance()


def kl(p, q):
    return float(rel_entr(p, q) + rel_entr(1 - p, 1 - q))


@pytest.mark.any_precision
def test_counterexamples_in_closed_form(result):
    numbers = result.numbers
    np.testing.assert_allclose(numbers["triple"], [1 / 3, 1 / 2, 2 / 3])
    assert numbers["direct"] == pytest.approx(np.log(2) / 3, abs=1e-15)
    assert numbers["detour"] == pytest.approx(np.log(2) / 6, abs=1e-15)
    np.testing.assert_array_equal(numbers["asymmetric_pair"], [0.0, 0.5])
    assert numbers["asymmetry"][0] == pytest.approx(np.log(2), abs=1e-15)
    assert numbers["asymmetry"][1] == np.inf


def test_none_is_smaller_and_none_is_worse():
    """All triples with denominators up to 2 satisfy the triangle; up to 3, the factor of 2 is the largest."""
    for largest, expected in ((2, 0.0), (3, 2.0)):
        coins = sorted({float(Fraction(i, n)) for n in range(1, largest + 1) for i in range(n + 1)})
        factors = [
            kl(p, r) / (kl(p, q) + kl(q, r))
            for p, q, r in permutations(coins, 3)
            if np.isfinite(kl(p, r)) and kl(p, r) > kl(p, q) + kl(q, r) + 1e-12
        ]
        assert max(factors, default=0.0) == pytest.approx(expected)


def test_distances_hold_and_divergences_do_not(result):
    fails = result.numbers["num_violations"]
    assert (fails[:3] > 0.2 * result.numbers["num_triples"]).all()
    assert (fails[3:] == 0).all()
    assert result.numbers["largest_excess"][:3].min() > 0.1
    assert result.numbers["largest_excess"][3:].max() < 1e-14
    assert result.table["triangle holds"].to_list() == ["no", "no", "no", "yes", "yes"]


def test_lengths_by_another_route(result):
    p, q, r = result.numbers["triple"]
    root = [jensenshannon([a, 1 - a], [b, 1 - b]) for a, b in ((p, r), (p, q), (q, r))]
    direct, detour = result.numbers["direct_lengths"], result.numbers["detour_lengths"]
    np.testing.assert_allclose(direct, [kl(p, r), kl(p, r) + kl(r, p), root[0] ** 2, root[0], r - p], rtol=1e-12)
    expected = [
        kl(p, q) + kl(q, r),
        kl(p, q) + kl(q, p) + kl(q, r) + kl(r, q),
        root[1] ** 2 + root[2] ** 2,
        root[1] + root[2],
        r - p,
    ]
    np.testing.assert_allclose(detour, expected, rtol=1e-12)


def test_violations_counted_one_by_one(result):
    grid = np.linspace(0, 1, 41)
    length = np.array([[kl(p, q) for q in grid] for p in grid])
    count = sum(
        np.isfinite(length[i, k]) and length[i, k] > length[i, j] + length[j, k] + 1e-9
        for i, j, k in np.ndindex(41, 41, 41)
    )
    assert result.numbers["num_violations"][0] == count
    assert result.numbers["num_triples"] == 41**3


def test_record(result):
    check_experiment(result, panels=3)
    assert isinstance(result, Experiment)
    assert "1/3, 1/2, 2/3" in result.conclusion
