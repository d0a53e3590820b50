"""Two sets of draws: the bias and the spread of nearest-neighbour estimates over many sets, within stated bounds.

The bounds are of the bias and not of rounding: nearest neighbours see densities that are not flat within their reach.
"""

import numpy as np
import numpyro.distributions as dist
import pytest

from vi_toolkit import information
from vi_toolkit.information import from_draws

NUM_SETS = 20
SHIFT, WIDER = 0.4, 1.2


def sets(dim, n=1000, m=1000):
    """Draws of N(0, I) and N(SHIFT, WIDER^2 I), many times."""
    rng = np.random.default_rng(0)
    return [(rng.normal(size=(n, dim)), SHIFT + WIDER * rng.normal(size=(m, dim))) for _ in range(NUM_SETS)]


def truths(dim):
    p = dist.Normal(np.zeros(dim), 1.0).to_event(1)
    return p, dist.Normal(np.full(dim, SHIFT), WIDER).to_event(1)


MEASURES = {
    # name: the measure, and the largest bias of 1000 draws of each in one and in three dimensions
    "cross-entropy": (information.cross_entropy, 0.02, 0.02),
    "KL": (information.kl_divergence, 0.02, 0.06),
    "Jeffreys": (information.jeffreys, 0.06, 0.18),
    "Jensen-Shannon": (information.jensen_shannon, 0.02, 0.02),
    "Renyi of order 1/2": (lambda p, q: information.renyi_divergence(p, q, order=0.5), 0.02, 0.10),
    "Renyi of order 3/2": (lambda p, q: information.renyi_divergence(p, q, order=1.5), 0.02, 0.04),
    "Tsallis of order 2": (lambda p, q: information.tsallis_divergence(p, q, order=2.0), 0.03, 0.06),
    "chi-square": (information.chi_square, 0.03, 0.06),
    "Hellinger": (information.hellinger, 0.02, 0.04),
}


QUICK = [("KL", 1), ("KL", 3), ("cross-entropy", 1), ("Hellinger", 1), ("Tsallis of order 2", 1)]
CASES = [(name, dim) for name in MEASURES for dim in (1, 3)]


@pytest.mark.parametrize(
    ("name", "dim"), [each if each in QUICK else pytest.param(*each, marks=pytest.mark.slow) for each in CASES]
)
def test_bias_and_spread(name, dim):
    measure, *bounds = MEASURES[name]
    truth = jensen_shannon(dim) if name == "Jensen-Shannon" else measure(*truths(dim)).value
    found = [measure(from_draws(x), from_draws(y)) for x, y in sets(dim)]
    values, errors = np.array([each.value for each in found]), np.array([each.se for each in found])
    assert abs(values.mean() - truth) < bounds[dim > 1]
    assert 0.4 < values.std() / errors.mean() < 1.2  # rather too large than too small
    assert found[0].route == "5 nearest neighbours"


def jensen_shannon(dim):
    if dim == 1:
        return information.jensen_shannon(dist.Normal(0.0, 1.0), dist.Normal(SHIFT, WIDER)).value
    rng = np.random.default_rng(1)
    p, q = truths(dim)
    x, y = rng.normal(size=(400_000, dim)), SHIFT + WIDER * rng.normal(size=(400_000, dim))
    log_p, log_q = ((np.asarray(d.log_prob(x)), np.asarray(d.log_prob(y))) for d in (p, q))
    halves = [
        (own - np.logaddexp(one, other) + np.log(2.0)).mean()
        for own, one, other in ((log_p[0], log_p[0], log_q[0]), (log_q[1], log_p[1], log_q[1]))
    ]
    return 0.5 * sum(halves)


@pytest.mark.parametrize("dim", [1, 2, 5])
def test_entropy(dim):
    rng = np.random.default_rng(2)
    scale = np.exp(rng.normal(size=dim))
    truth = 0.5 * dim * np.log(2 * np.pi * np.e) + np.log(scale).sum()
    found = [information.entropy(from_draws(scale * rng.normal(size=(1000, dim)))) for _ in range(3 * NUM_SETS)]
    values, errors = np.array([each.value for each in found]), np.array([each.se for each in found])
    assert abs(values.mean() - truth) < {1: 0.01, 2: 0.04, 5: 0.3}[dim]
    assert 0.4 < values.std() / errors.mean() < 1.2


def test_unequal_numbers_of_draws():
    """The noise of the smaller set counts too."""
    for n, m in ((400, 2000), (2000, 400)):
        found = [information.kl_divergence(from_draws(x), from_draws(y)) for x, y in sets(1, n, m)]
        truth = information.kl_divergence(dist.Normal(0.0, 1.0), dist.Normal(SHIFT, WIDER)).value
        values, errors = np.array([each.value for each in found]), np.array([each.se for each in found])
        assert abs(values.mean() - truth) < 0.03
        assert 0.4 < values.std() / errors.mean() < 1.2


def test_more_draws_come_closer():
    p, q = dist.Normal(0.0, 1.0), dist.Normal(SHIFT, WIDER)
    truth = information.kl_divergence(p, q).value
    errors = []
    for n in (100, 6400):
        pairs = sets(1, n, n)[:8]
        found = [information.kl_divergence(from_draws(x), from_draws(y)) for x, y in pairs]
        errors.append(np.sqrt(np.mean([(each.value - truth) ** 2 for each in found])))
    assert errors[1] < 0.25 * errors[0]


def test_total_variation_is_too_large_by_as_much_as_it_says():
    x, y = sets(1)[0]
    found = information.total_variation(from_draws(x), from_draws(y))
    truth = information.total_variation(dist.Normal(0.0, 1.0), dist.Normal(SHIFT, WIDER)).value
    assert truth - 0.05 < found.value < truth + 1000 ** (-0.25)
    same = information.total_variation(from_draws(x), from_draws(sets(1)[1][0]))
    assert 0.0 < same.value < 1000 ** (-0.25)
    assert "biased upwards" in found.route
    far = information.total_variation(from_draws(x), from_draws(y + 100.0))
    assert far.value > 0.999


def test_the_identity_and_scales():
    x, y = sets(2)[0]
    parts = information.decompose(from_draws(x), from_draws(y))
    assert abs(parts.residual) < 1e-14
    assert parts.kl_divergence.value == information.kl_divergence(from_draws(x), from_draws(y)).value
    units = np.array([1e6, 1e-3])  # of the coordinates, which change no divergence
    moved = information.decompose(from_draws(units * x + 3.0), from_draws(units * y + 3.0))
    assert moved.kl_divergence.value == pytest.approx(parts.kl_divergence.value, abs=1e-6)
    assert moved.entropy.value == pytest.approx(parts.entropy.value + np.log(units).sum(), abs=1e-6)
    in_bits = information.entropy(from_draws(x), unit="bits")
    assert in_bits.value == pytest.approx(parts.entropy.value / np.log(2.0), rel=1e-9)
    assert in_bits.se == pytest.approx(parts.entropy.se / np.log(2.0), rel=1e-6)


def test_order_one_and_the_limit():
    x, y = (from_draws(each) for each in sets(1)[0])
    kl = information.kl_divergence(x, y).value
    assert information.renyi_divergence(x, y, order=1.0).value == kl
    near = information.renyi_divergence(x, y, order=1.0001).value
    assert near == pytest.approx(kl, abs=0.02)


def test_the_same_draws_as_one_or_two_axes():
    x, y = sets(1)[0]
    flat = information.kl_divergence(from_draws(x[:, 0]), from_draws(y[:, 0].tolist()))
    assert flat.value == information.kl_divergence(from_draws(x), from_draws(y)).value
    assert repr(from_draws(x[:, 0])) == "Sample(1000 draws of dim 1)"


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: from_draws([1.0]), ValueError, "at least two draws"),
        (lambda: from_draws(np.zeros((3, 2, 2))), ValueError, r"got \(3, 2, 2\)"),
        (lambda: from_draws([]), ValueError, "at least two draws"),
        (lambda: from_draws(np.zeros((3, 0))), ValueError, r"got \(3, 0\)"),
        (lambda: from_draws([1.0, np.nan]), ValueError, "draws: 1 of 2 entries are NaN"),
        (lambda: from_draws(["a", "b"]), TypeError, "draws: expected numbers"),
        (lambda: from_draws(dist.Normal(0.0, 1.0)), TypeError, "draws: expected numbers"),
        (
            lambda: information.kl_divergence(from_draws(np.ones(20)), from_draws(np.arange(20.0))),
            ValueError,
            "coordinate 0 is the same in all draws|at distance 0",
        ),
        (
            lambda: information.entropy(from_draws(np.repeat(np.arange(5.0), 9))),
            ValueError,
            "a draw has 5 others at distance 0",
        ),
        (
            lambda: information.entropy(from_draws(np.column_stack([np.arange(20.0), np.ones(20)]))),
            ValueError,
            "coordinate 1 is the same in all draws",
        ),
        (
            lambda: information.kl_divergence(from_draws([1.0, 2.0]), from_draws([1.5, 2.5])),
            ValueError,
            "expected at least 10 of each, got 2",
        ),
        (
            lambda: information.kl_divergence(from_draws(np.eye(9)), from_draws(np.arange(9.0))),
            ValueError,
            "q: expected draws of dim 9, as p has, got 1",
        ),
        (
            lambda: information.jensen_shannon_distance(from_draws(np.arange(9.0)), from_draws(np.arange(9.0))),
            ValueError,
            "Jensen-Shannon distance: it cannot be estimated",
        ),
        (lambda: information.renyi_entropy(from_draws(np.arange(9.0)), order=2.0), ValueError, "cannot be estimated"),
        (
            lambda: information.renyi_divergence(from_draws(np.arange(20.0)), from_draws(np.arange(20.0)), order=7.0),
            ValueError,
            "order: expected below 6",
        ),
        (
            lambda: information.kl_divergence(from_draws(np.arange(9.0)), dist.Normal(0.0, 1.0)),
            TypeError,
            r"expected p and q of one kind, got Sample\(9 draws of dim 1\) and Normal",
        ),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
