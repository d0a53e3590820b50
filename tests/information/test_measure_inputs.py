"""What every measure says to arguments that do not fit, and what a measurement prints."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import vi_toolkit as vi
from tests.typecheck import as_users_call_it
from vi_toolkit import information

NORMAL, THREE = dist.Normal(0.0, 1.0), dist.MultivariateStudentT(3.0, jnp.zeros(3), jnp.eye(3))
TWO_ARGUMENTS = {
    "cross_entropy": information.cross_entropy,
    "kl_divergence": information.kl_divergence,
    "jeffreys": information.jeffreys,
    "jensen_shannon": information.jensen_shannon,
    "jensen_shannon_distance": information.jensen_shannon_distance,
    "renyi_divergence": lambda p, q, **how: information.renyi_divergence(p, q, order=0.5, **how),
    "tsallis_divergence": lambda p, q, **how: information.tsallis_divergence(p, q, order=0.5, **how),
    "chi_square": information.chi_square,
    "hellinger": information.hellinger,
    "total_variation": information.total_variation,
    "decompose": information.decompose,
}
PAIRS = {
    "a sum that is not 1": (([0.5, 0.6], [0.5, 0.5]), ValueError, "p: expected probabilities that sum to 1 .*1.1. D"),
    "counts": (([3, 5], [0.5, 0.5]), ValueError, "p: .* got a sum of 8"),
    "a negative entry": (([0.5, 0.5], [1.5, -0.5]), ValueError, r"q: expected probabilities, got -0.5 at index \(1,\)"),
    "NaN": (([0.5, np.nan], [0.5, 0.5]), ValueError, "p: 1 of 2 entries are NaN or infinite"),
    "infinity": (([0.5, 0.5], [np.inf, 0.5]), ValueError, "q: 1 of 2 entries are NaN or infinite"),
    "lengths": (([0.5, 0.5], [0.2, 0.3, 0.5]), ValueError, "q: expected 2 outcomes along the last axis, .* got 3"),
    "one outcome beside two": (([1.0], [0.5, 0.5]), ValueError, "q: expected 1 outcomes along the last axis"),
    "batches": ((np.full((2, 2), 0.5), np.full((3, 2), 0.5)), ValueError, r"a shape that goes with p's, \(2, 2\)"),
    "a number": ((0.5, [0.5, 0.5]), ValueError, "p: expected probabilities along the last axis"),
    "nothing": (([], []), ValueError, "p: expected probabilities along the last axis"),
    "None": ((None, [0.5, 0.5]), TypeError, "p: expected a probability vector, .* got NoneType None"),
    "words": ((["0.5", "0.5"], [0.5, 0.5]), TypeError, "p: expected a probability vector"),
    "complex numbers": (([0.5, 0.5], [0.5 + 0j, 0.5]), TypeError, "q: expected a probability vector"),
    "ragged rows": (([[0.5, 0.5], [1.0]], [0.5, 0.5]), TypeError, "p: expected a probability vector"),
    "a class": ((NORMAL, dist.Normal), TypeError, "q: expected a distribution, got the class Normal itself; give its"),
    "a function": ((lambda z: z, NORMAL), TypeError, r"got the function <lambda>. A log density becomes a target"),
    "a vector and a distribution": (([0.5, 0.5], NORMAL), TypeError, "p and q of one kind, got a probability vec"),
    "discrete and continuous": ((dist.Poisson(1.0), NORMAL), ValueError, "q: Poisson and Normal are not of one space"),
    "event shapes": ((NORMAL, THREE), ValueError, r"q: expected event shape \(\), that of p \(Normal\), got \(3,\)"),
    "batch shapes": (
        (dist.Gamma(jnp.ones(2), 1.0), dist.Gamma(jnp.ones(3), 1.0)),
        ValueError,
        r"q: expected a batch shape that goes with p's, \(2,\), got \(3,\)",
    ),
    "a batch without a closed form": (
        (dist.Laplace(jnp.zeros(2), 1.0), dist.Laplace(0.0, 1.0)),
        ValueError,
        r"there is no closed form of Laplace and Laplace, .* Write .to_event\(\)",
    ),
    "a point mass": ((dist.Delta(0.0), NORMAL), TypeError, "p: expected a distribution with a density, got Delta"),
    "a point mass inside": (
        (NORMAL.expand((2,)).to_event(1), dist.Delta(jnp.zeros(2)).to_event(1)),
        TypeError,
        "q: expected a distribution with a density, got Delta",
    ),
    "a mask": ((NORMAL, NORMAL.mask(False)), TypeError, "q: .* got MaskedDistribution: a mask leaves terms"),
    "an improper uniform": (
        (dist.ImproperUniform(dist.constraints.real, (), ()), NORMAL),
        TypeError,
        "p: expected a distribution with a density, got ImproperUniform: its density has no finite integral",
    ),
    "an atom": ((dist.HurdleGamma(0.3, 2.0, 1.0), dist.Gamma(1.0, 1.0)), ValueError, "p: .* integrates to 1, got 0.7"),
    "no key": ((THREE, dist.Normal(jnp.zeros(3), 1.0).to_event(1)), ValueError, r"key: .* key=jax.random.key\(0\)"),
}  # fmt: skip


@pytest.mark.parametrize("measure", ["kl_divergence", "total_variation", "renyi_divergence", "decompose"])
@pytest.mark.parametrize("name", PAIRS)
def test_pairs_that_do_not_fit(name, measure):
    pair, error, message = PAIRS[name]
    with pytest.raises(error, match=message):
        TWO_ARGUMENTS[measure](*pair)


@pytest.mark.parametrize("name", TWO_ARGUMENTS)
def test_every_measure_names_itself_and_its_argument(name):
    measure = TWO_ARGUMENTS[name]
    with pytest.raises(ValueError, match="q: expected probabilities that sum to 1"):
        measure([0.5, 0.5], [0.5, 0.4])
    with pytest.raises(ValueError, match=r"key: .* has no closed form, sum or quadrature, and Monte Carlo needs"):
        measure(THREE, dist.Laplace(jnp.zeros(3), 1.0).to_event(1))
    with pytest.raises(ValueError, match="num_draws: expected at least 100, for a standard error, got 10"):
        measure(THREE, dist.Laplace(jnp.zeros(3), 1.0).to_event(1), key=jax.random.key(0), num_draws=10)
    with pytest.raises(ValueError, match="num_draws: expected at least 1, got 0"):
        measure([0.5, 0.5], [0.5, 0.5], num_draws=0)


@pytest.mark.parametrize(
    "measure",
    [information.entropy, lambda p: information.renyi_entropy(p, order=2.0)],
    ids=["entropy", "renyi_entropy"],
)
def test_one_argument(measure):
    with pytest.raises(ValueError, match="p: expected probabilities that sum to 1"):
        measure([0.5, 0.4])
    with pytest.raises(TypeError, match="p: expected a distribution, got the class Gamma itself"):
        measure(dist.Gamma)
    with pytest.raises(TypeError, match="p: expected a distribution with a density, got Delta"):
        measure(dist.Delta(0.0))
    with pytest.raises(ValueError, match=r"p: expected a density that integrates to 1, got 0\.7"):
        measure(dist.HurdleGamma(0.3, 2.0, 1.0))


@pytest.mark.parametrize(
    ("order", "error", "message"),
    [
        (-0.5, ValueError, "order: expected a finite number of at least 0, got -0.5"),
        (np.inf, ValueError, "order: expected a finite number of at least 0, got inf"),
        (np.nan, ValueError, "order: expected a finite number of at least 0, got nan"),
        ("2", TypeError, "order: expected a number, got str '2'"),
        (True, TypeError, "order: expected a number, got bool True"),
        (None, TypeError, "order: expected a number, got NoneType None"),
        ([2.0], TypeError, "order: expected a number, got list"),
    ],
)
def test_orders(order, error, message, without_type_checks):
    for measure in (information.renyi_divergence, information.tsallis_divergence):
        with pytest.raises(error, match=message):
            as_users_call_it(measure)([0.5, 0.5], [0.5, 0.5], order=order)
    for measure in (information.renyi_entropy, information.tsallis_entropy):
        with pytest.raises(error, match=message):
            as_users_call_it(measure)([0.5, 0.5], order=order)


def test_whole_orders_are_numbers_too(without_type_checks):
    for order in (2, np.int64(2), np.float32(2.0)):
        found = as_users_call_it(information.renyi_divergence)([0.5, 0.5], [0.25, 0.75], order=order)
        assert found.value == information.renyi_divergence([0.5, 0.5], [0.25, 0.75], order=2.0).value


def test_units():
    in_nats = information.kl_divergence([0.5, 0.5], [0.25, 0.75]).value
    for unit, size in (("nats", 1.0), ("bits", np.log(2.0)), ("bans", np.log(10.0))):
        found = information.kl_divergence([0.5, 0.5], [0.25, 0.75], unit=unit)
        assert found.value == pytest.approx(in_nats / size, rel=1e-14)
        assert found.unit == unit
    key = jax.random.key(0)
    other = dist.Normal(jnp.zeros(3), 1.0).to_event(1)
    nats, bits = (information.kl_divergence(other, THREE, key=key, unit=unit) for unit in ("nats", "bits"))
    assert bits.se == pytest.approx(nats.se / np.log(2.0), rel=1e-12)
    for measure in (
        information.entropy,
        lambda p, **how: information.cross_entropy(p, p, **how),
        lambda p, **how: information.jeffreys(p, p, **how),
        lambda p, **how: information.jensen_shannon(p, p, **how),
        lambda p, **how: information.renyi_divergence(p, p, order=2.0, **how),
        lambda p, **how: information.renyi_entropy(p, order=2.0, **how),
        lambda p, **how: information.decompose(p, p, **how),
    ):
        with pytest.raises(ValueError, match="unit: expected one of 'nats', 'bits', 'bans', got 'bytes'"):
            measure([0.5, 0.5], unit="bytes")


def test_keys(without_type_checks):
    for key in (0, "key", np.zeros(2, np.uint32)):
        with pytest.raises(TypeError, match="key: expected one JAX random key"):
            information.kl_divergence([0.5, 0.5], [0.5, 0.5], key=key)
    with pytest.raises(TypeError, match="num_draws: expected a whole number"):
        information.kl_divergence([0.5, 0.5], [0.5, 0.5], num_draws=1.5)


def test_a_density_that_is_nan_says_so():
    target = vi.from_log_density(lambda z: jnp.sum(jnp.where(z > 1.0, jnp.nan, -(z**2))), dim=1)
    with pytest.raises(ValueError, match="NaN"):
        information.entropy(target)


def test_what_a_measurement_prints():
    assert str(information.entropy([0.5, 0.25, 0.25], unit="bits")) == "1.5 bits (exact sum)"
    assert str(information.total_variation([1.0, 0.0], [0.0, 1.0])) == "1 (exact sum)"
    assert str(information.entropy([1.0])) == "0 nats (exact sum)"
    assert str(information.kl_divergence([1.0, 0.0], [0.0, 1.0])) == "inf nats (exact sum)"
    batch = information.entropy([[0.5, 0.5], [1.0, 0.0]], unit="bits")
    assert str(batch) == "[1. 0.] bits (exact sum)"
    found = information.kl_divergence(THREE, dist.Normal(jnp.zeros(3), 2.0).to_event(1), key=jax.random.key(0))
    assert " ± " in str(found)
    assert str(found).endswith(" nats (Monte Carlo, 10,000 draws)")
    assert float(found) == found.value
    assert isinstance(found.value, float)
    assert isinstance(found.se, float)


def test_jax_arrays_and_lists_are_as_good_as_numpy():
    expected = information.kl_divergence(np.array([0.5, 0.5]), np.array([0.25, 0.75])).value
    assert information.kl_divergence([0.5, 0.5], (0.25, 0.75)).value == expected
    assert information.kl_divergence(jnp.array([0.5, 0.5]), jnp.array([0.25, 0.75])).value == expected
    assert information.kl_divergence([True, False], [0.5, 0.5]).value == pytest.approx(np.log(2.0))
    assert information.kl_divergence([1, 0], [0.5, 0.5]).value == pytest.approx(np.log(2.0))
    halves = np.array([0.1, 0.2, 0.7], np.float16)
    exact = halves.astype(np.float64) / halves.astype(np.float64).sum()
    assert information.entropy(halves).value == pytest.approx(-np.sum(exact * np.log(exact)), rel=1e-14)
