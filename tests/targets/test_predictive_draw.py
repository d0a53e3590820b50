"""Data drawn anew at given unknowns: against the moments that a model states, for each way to write observed sites."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.contrib.control_flow import scan
from numpyro.handlers import mask

import vi_toolkit as vi
from tests.compilations import count_compilations
from tests.targets.test_enumeration import TRANSITION, Y as STATES, chain_by_markov, chain_by_scan
from vi_toolkit.targets.target import predictive_draws

Y = np.array([0.5, -1.0, 2.0])
NUM = 20_000
MARK = {"enumerate": "parallel"}


def drawn(target, z, num=NUM):
    """Data sets at one point z, {site: (num, ...)}."""
    points = jnp.tile(jnp.asarray(z, jnp.result_type(float)), (num, 1))
    return {name: np.asarray(values) for name, values in predictive_draws(target, jax.random.key(0), points).items()}


def assert_about(values, mean, sd):
    """Whether the means and sds over draws are within five standard errors (of a kurtosis up to 6, for the sds)."""
    np.testing.assert_allclose(values.mean(0), np.broadcast_to(mean, values.shape[1:]), atol=5 * np.max(sd) / NUM**0.5)
    spread = np.broadcast_to(sd, values.shape[1:])
    np.testing.assert_allclose(values.std(0), spread, rtol=5 * 1.2 / NUM**0.5)


def mean_only():
    return numpyro.sample("mean", dist.Normal(0.0, 1.0))


def one_normal_for_all(y):
    numpyro.sample("y", dist.Normal(mean_only(), 2.0), obs=y)


def plate(y):
    mean = mean_only()
    with numpyro.plate("row", len(y)):
        numpyro.sample("y", dist.Normal(mean, 2.0), obs=y)


def event(y):
    numpyro.sample("y", dist.Normal(mean_only(), 2.0).expand(y.shape).to_event(1), obs=y)


def conditioned(y):
    numpyro.handlers.condition(one_normal_for_all, {"y": y})(None)


def beside_a_factor(y):
    mean = mean_only()
    numpyro.factor("pull", -0.5 * mean**2)
    with mask(mask=True):
        numpyro.factor("masked", -0.5 * mean**2)
    numpyro.sample("y", dist.Normal(mean, 2.0), obs=y)


def in_a_scan(y):
    mean = mean_only()

    def step(carry, y):
        return carry, numpyro.sample("y", dist.Normal(mean, 2.0), obs=y)

    scan(step, 0.0, y)


@pytest.mark.any_precision
@pytest.mark.parametrize("model", [one_normal_for_all, plate, event, conditioned, beside_a_factor, in_a_scan])
def test_every_value_is_drawn_by_itself(model):
    target = vi.from_numpyro(model, Y)
    found = drawn(target, [7.0])
    assert list(found) == ["y"]
    assert_about(found["y"], 7.0, 2.0)
    apart = np.corrcoef(found["y"].T) - np.eye(3)
    assert np.abs(apart).max() < 5 / NUM**0.5
    np.testing.assert_array_equal(target.counted()["y"], [True] * 3)


def test_unknowns_are_constrained_and_other_observed_sites_are_followed():
    """z -> scale = e^z; the second site has the first one's new values for its mean."""

    def model(x, y):
        scale = numpyro.sample("scale", dist.HalfNormal(1.0))
        first = numpyro.sample("x", dist.Normal(3.0, scale), obs=x)
        numpyro.sample("y", dist.Normal(first, 0.5), obs=y)

    found = drawn(vi.from_numpyro(model, Y, Y), [np.log(4.0)])
    assert_about(found["x"], 3.0, 4.0)
    assert_about(found["y"] - found["x"], 0.0, 0.5)


def test_a_scan_goes_on_from_what_it_drew():
    """x_t = 0.5 x_(t-1) + noise from x_0 = z: Var x_t = sum_(s < t) 0.25^s, and 1 where it went on from the data."""

    def model(y):
        start = numpyro.sample("start", dist.Normal(0.0, 1.0))

        def step(before, y):
            now = numpyro.sample("y", dist.Normal(0.5 * before, 1.0), obs=y)
            return now, None

        scan(step, start, y)

    found = drawn(vi.from_numpyro(model, Y), [8.0])["y"]
    assert_about(found, [4.0, 2.0, 1.0], 1.0 * np.sqrt([1.0, 1.25, 1.3125]))


def test_counts_and_labels():
    def model(counts, labels):
        rate = numpyro.sample("rate", dist.Gamma(2.0, 1.0))
        numpyro.sample("counts", dist.Poisson(rate), obs=counts)
        numpyro.sample("labels", dist.Multinomial(10, jnp.array([0.2, 0.8])), obs=labels)

    found = drawn(vi.from_numpyro(model, np.array([1, 2]), np.array([[1, 9], [3, 7]])), [np.log(5.0)])
    assert found["counts"].dtype.kind == "i"
    assert_about(found["counts"], 5.0, np.sqrt(5.0))
    assert_about(found["labels"], [2.0, 8.0], np.sqrt(1.6))


def test_summed_states_are_drawn_from_their_own_weights():
    """y | z has the mean and variance of the mixture, 0.3 N(-3, 1) + 0.7 N(1, 1), whatever the data are."""

    def model(y):
        high = numpyro.sample("high", dist.Normal(0.0, 1.0))
        with numpyro.plate("row", len(y)):
            state = numpyro.sample("state", dist.Bernoulli(0.7), infer=MARK)
            numpyro.sample("y", dist.Normal(jnp.where(state == 1, high, -3.0), 1.0), obs=y)

    found = drawn(vi.from_numpyro(model, Y), [1.0])["y"]
    assert_about(found, 0.7 - 0.9, np.sqrt(1.0 + 0.21 * 16.0))


@pytest.mark.parametrize("model", [chain_by_scan, chain_by_markov])
def test_summed_chains_of_states_are_drawn_from_their_own_transitions(model):
    """P(state_t) = e_0 T^t, so that y_t has the mean P(state_t) . means."""
    target = vi.from_numpyro(model, STATES)
    found = drawn(target, [0.0, 10.0, np.log(0.5)])
    y = found["y"] if "y" in found else np.stack([found[f"y_{t}"] for t in range(4)], axis=1)
    ones = np.array([np.linalg.matrix_power(TRANSITION, t)[0, 1] for t in range(1, 5)])
    assert_about(y, 10.0 * ones, np.sqrt(0.25 + 100.0 * ones * (1.0 - ones)))


def test_a_distribution_that_cannot_be_drawn_from_is_named():
    class Tilted(dist.Distribution):
        support = dist.constraints.real

        def log_prob(self, value):
            return -jnp.abs(value)

    def model(y):
        mean = mean_only()
        numpyro.sample("y", Tilted(), obs=y - mean)

    target = vi.from_numpyro(model, 1.0)
    with pytest.raises(ValueError, match="observed site 'y' cannot be drawn anew, since Tilted has no sample method"):
        target.predictive_draw(jax.random.key(0), jnp.zeros(1))


def test_what_is_masked_is_drawn_and_does_not_count():
    seen = np.array([True, False, True])

    def masked(y, seen):
        mean = mean_only()
        with mask(mask=seen):
            numpyro.sample("y", dist.Normal(mean, 2.0), obs=y)

    def masked_events(y, seen):
        fn = dist.Normal(mean_only(), 2.0).expand([3, 2]).mask(seen[:, None]).to_event(1)
        numpyro.sample("y", fn, obs=jnp.stack([y, y], 1))

    def imputed(y, seen):
        numpyro.sample("y", dist.Normal(mean_only(), 2.0).expand([3]), obs=y, obs_mask=seen)

    holed = np.where(seen, Y, np.nan)
    target = vi.from_numpyro(masked, holed, seen)
    assert_about(drawn(target, [7.0])["y"], 7.0, 2.0)
    np.testing.assert_array_equal(target.counted()["y"], seen)
    np.testing.assert_array_equal(vi.from_numpyro(masked_events, Y, seen).counted()["y"], np.stack([seen, seen], 1))
    target = vi.from_numpyro(imputed, Y, seen)
    assert [site.name for site in target.sites] == ["mean", "y_unobserved"]
    assert_about(drawn(target, [7.0, 0.0, 0.0, 0.0])["y_observed"], 7.0, 2.0)
    np.testing.assert_array_equal(target.counted()["y_observed"], seen)


def test_a_density_has_no_data():
    target = vi.from_log_density(lambda z: -0.5 * jnp.sum(z**2), dim=2)
    assert target.predictive_draw(jax.random.key(0), jnp.zeros(2)) == {}
    assert target.counted() == {}


def test_data_are_arguments():
    def draws(y):
        return drawn(vi.from_numpyro(plate, y), [7.0], num=11)

    first, _ = count_compilations(lambda: draws(Y))
    second, _ = count_compilations(lambda: draws(Y + 1.0))
    assert first > 0
    assert second == 0
