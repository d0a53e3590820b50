"""The fits of the bench, by what is right or wrong with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

import vi_toolkit as vi
from benchmarks.verdicts.wrong import HalfNormalGuide, in_single_precision, moved, stretched
from vi_toolkit.exact.gallery import EXAMPLES
from vi_toolkit.exact.posterior import ExactPosterior

Making = Callable[[Any, ExactPosterior], vi.Fit]
SEEDS = (0, 1, 2)
SEEDS_HELD_OUT = 200  # 100 and on were looked at
RIGHT = "none: the right family"  # converged
NEAR = "none: a family near by"


@dataclass(frozen=True)
class Case:
    """One way to come to a fit, and what is to be expected of it."""

    name: str
    cause: str  # what is wrong by design
    posterior: Callable[[], ExactPosterior]
    fit: Making
    seeds: tuple[int, ...] = SEEDS


def cases() -> Iterator[Case]:
    """All of them: about half good, half bad."""
    yield from _good()
    yield from _missed_modes()
    yield from _spoilt()
    yield from _wrong_family()
    yield from _wrong_model()


def held_out() -> Iterator[Case]:
    """Cases that had no say when the rules of the verdict were settled: other posteriors, faults and seeds."""
    for case in (*cases(), *_other_posteriors(), *_other_faults()):
        yield replace(case, seeds=tuple(SEEDS_HELD_OUT + seed for seed in case.seeds))
    yield from _scarce_data()


@cache
def known(name: str) -> ExactPosterior:
    """An entry of the gallery, made once."""
    return EXAMPLES[name]()


@cache
def zoo(name: str, **settings: Any) -> ExactPosterior:
    """An entry of the zoo, made once."""
    return getattr(vi.zoo, name)(**settings)


def _default(key: Any, posterior: ExactPosterior) -> vi.Fit:
    return vi.fit(key, posterior.target)


def _by(method: Any, **options: Any) -> Making:
    return lambda key, posterior: vi.fit(key, posterior.target, method(), **options)


def _gradient(guide: vi.Guide) -> Callable[[], vi.Method]:
    return lambda: vi.gradient(guide, vi.ReverseKL())


def _good() -> Iterator[Case]:
    for name in (
        "linear_regression", "linear_gaussian", "gaussian_process", "linear_state_space", "random_effects",
        "normal_unknown_mean",
    ):  # fmt: skip
        yield Case(name, RIGHT, lambda name=name: known(name), _default)
    for name in (
        "multivariate_normal", "gamma_poisson", "beta_binomial", "gamma_exponential", "linear_regression_g_prior",
        "probit_regression",
    ):  # fmt: skip
        yield Case(name, NEAR, lambda name=name: known(name), _default)
    yield Case("skewed, sinh-arcsinh", NEAR, lambda: zoo("skewed", dim=1), _by(_gradient(vi.SinhArcsinhNormal())))
    for dim in (1, 2, 10, 50):
        make = lambda dim=dim: zoo("correlated_gaussian", dim=dim)  # noqa: E731
        yield Case(f"normal, {dim} dims", RIGHT, make, _default)
    yield Case(
        "normal, 10 dims, by gradients", RIGHT, lambda: zoo("correlated_gaussian", dim=10),
        _by(_gradient(vi.FullRankNormal())),
    )  # fmt: skip
    independent = lambda: zoo("correlated_gaussian", dim=5, condition_number=1.0)  # noqa: E731
    yield Case("independent normal, mean-field", RIGHT, independent, _by(_gradient(vi.MeanFieldNormal())))
    two = lambda: zoo("two_modes", separation=8.0, weights=(0.7, 0.3), dim=2)  # noqa: E731
    yield Case("two modes, mixture", RIGHT, two, _by(lambda: vi.natural_gradient(vi.NormalMixture(2))))
    ring = lambda: zoo("ring_of_modes", num_modes=4, radius=8.0)  # noqa: E731
    yield Case("ring of four, mixture", RIGHT, ring, _by(lambda: vi.natural_gradient(vi.NormalMixture(4))))
    student = lambda: zoo("student_t", dim=2, degrees_of_freedom=6.0)  # noqa: E731
    yield Case("Student's t by its own family", RIGHT, student, _by(_gradient(vi.StudentT())))


def _missed_modes() -> Iterator[Case]:
    for first in (0.5, 0.7, 0.95):
        for separation, dim in ((6.0, 1), (10.0, 2), (20.0, 5)):
            yield _one_of_two(first, separation, dim, f"missed mode {round(100 * first)}/{round(100 - 100 * first)}")
    yield Case("one of eight modes", "missed mode, others", lambda: zoo("ring_of_modes"), _default, (0, 1))


def _one_of_two(first: float, separation: float, dim: int, cause: str) -> Case:
    """A normal on two modes, the first of which has the weight ``first``."""
    name = f"one of two modes, {first:.0%}, {separation:.0f} sd apart, {dim} dims"
    make = lambda: zoo("two_modes", separation=separation, weights=(first, 1 - first), dim=dim)  # noqa: E731
    return Case(name, cause, make, _default, (0, 1))


def _spoilt() -> Iterator[Case]:
    for name in ("linear_regression", "random_effects", "gaussian_process"):
        yield from _off_by(name, factors=(0.8, 0.5, 1.25, 2.0), shifts=(0.2, 1.0))
    normal = lambda: zoo("correlated_gaussian", dim=10)  # noqa: E731
    for steps in (5, 20, 60):
        yield Case(f"from 3 sd away, {steps} steps", "unconverged", normal, _cut_short(steps), (0, 1))
    singular = lambda: zoo("correlated_gaussian", dim=5, condition_number=1e10)  # noqa: E731
    yield Case("condition 1e10, mean-field", "near-singular posterior", singular, _by(_gradient(vi.MeanFieldNormal())))
    yield Case(
        "condition 1e10, gradients cut short", "near-singular posterior", singular,
        _by(_gradient(vi.FullRankNormal()), max_steps=500), (0, 1),
    )  # fmt: skip
    mean = lambda: known("normal_unknown_mean")  # noqa: E731
    for step in (4.0, 16.0):
        yield Case(
            f"single precision, steps of {step:.0f} sd", "float32 breakdown", mean,
            lambda key, p, step=step: in_single_precision(key, p, step), (0, 1),
        )  # fmt: skip


def _off_by(name: str, *, factors: Sequence[float], shifts: Sequence[float]) -> Iterator[Case]:
    """Good fits of which all sds are then multiplied, or all means moved."""
    make = lambda: known(name)  # noqa: E731
    for factor in factors:
        yield Case(
            f"{name}, sds times {factor}", "too narrow" if factor < 1 else "too wide", make,
            lambda key, p, f=factor: stretched(vi.fit(key, p.target), f), (0,),
        )  # fmt: skip
    for shift in shifts:
        yield Case(
            f"{name}, means off by {shift} sd", "biased", make,
            lambda key, p, s=shift: moved(vi.fit(key, p.target), s), (0,),
        )  # fmt: skip


def _cut_short(steps: int) -> Making:
    """Gradients that begin three standard deviations away, and are stopped early."""

    def fit(key: Any, posterior: ExactPosterior) -> vi.Fit:
        away = moved(vi.fit(key, posterior.target), 3.0)
        method = vi.gradient(vi.FullRankNormal(), vi.ReverseKL(), start=away.params)
        return vi.fit(key, posterior.target, method, max_steps=steps)

    return fit


def _wrong_family() -> Iterator[Case]:
    for nu in (2.5, 3.0, 5.0):
        make = lambda nu=nu: zoo("student_t", dim=2, degrees_of_freedom=nu)  # noqa: E731
        yield Case(f"Student's t of {nu} degrees, normal", "heavy tails", make, _default, (0, 1))
    yield Case("funnel, normal", "funnel", zoo_of("funnel"), _default)
    yield Case("funnel of 3 dims, normal", "funnel", lambda: zoo("funnel", dim=3), _default)
    yield Case("centred eight schools, normal", "funnel", lambda: vi.exact.eight_schools(centred=True), _default, (0,))
    yield Case("banana, normal", "banana", zoo_of("banana"), _default)
    yield Case("bent banana, normal", "banana", lambda: zoo("banana", curvature=1.5), _default)
    yield Case("donut, normal", "banana", zoo_of("donut"), _default, (0,))
    correlated = lambda: zoo("correlated_gaussian", dim=5, condition_number=30.0)  # noqa: E731
    yield Case("correlated normal, mean-field", "too narrow", correlated, _by(_gradient(vi.MeanFieldNormal())))


def _other_posteriors() -> Iterator[Case]:
    for name in (
        "normal_unknown_variance", "normal_unknown_mean_and_variance", "linear_regression_unknown_noise",
        "logistic_regression", "eight_schools", "dirichlet_multinomial",
    ):  # fmt: skip
        yield Case(name, NEAR, lambda name=name: known(name), _default, (0, 1))
    skewed = lambda: zoo("skewed", dim=3, slant=2.0)  # noqa: E731
    yield Case("skewed, normal", NEAR, skewed, _default, (0, 1))
    mild = lambda: zoo("student_t", dim=3, degrees_of_freedom=30.0)  # noqa: E731
    yield Case("Student's t of 30 degrees, normal", NEAR, mild, _default, (0, 1))
    wells = lambda: zoo("many_well", dim=4)  # noqa: E731
    yield Case("four wells of 4 dims, mixture", NEAR, wells, _mixture(4), (0,))
    yield Case("label switching, normal", "missed mode, others", lambda: known("label_switching"), _default, (0, 1))
    yield Case("wells of 8 dims, normal", "missed mode, others", lambda: zoo("many_well", dim=8), _default, (0, 1))
    yield Case("forty modes, mixture of 4", "missed mode, others", zoo_of("forty_modes"), _mixture(4), (0, 1))


def _scarce_data() -> Iterator[Case]:
    """Models whose posteriors are skewed by how little there is to learn from, by the default and by mixtures."""
    made = {
        "one count of 1": lambda: vi.exact.gamma_poisson([1], shape=0.6, rate=0.5),
        "two counts": lambda: vi.exact.gamma_poisson([3, 7], shape=1.0, rate=0.1),
        "1 of 20": lambda: vi.exact.beta_binomial([1], [20], a=1.0, b=1.0),
        "one duration": lambda: vi.exact.gamma_exponential([2.0], shape=1.0, rate=1.0),
        "variance of 5": lambda: vi.exact.normal_unknown_variance(
            [0.3, -1.2, 2.0, 0.1, -0.4], mean=0.0, shape=2.0, rate=1.0
        ),
        "mean and variance of 4": lambda: vi.exact.normal_unknown_mean_and_variance(
            [1.0, 2.5, 1.7, 3.0], prior_mean=0.0, prior_count=0.1, shape=3.0, rate=2.0
        ),
        "counts of 4 kinds": lambda: vi.exact.dirichlet_multinomial([4, 1, 0, 7], concentration=[1.0] * 4),
    }
    for name, make in made.items():
        yield Case(f"{name}, normal", NEAR, cache(make), _default, (0,))
        yield Case(f"{name}, mixture of 2", NEAR, cache(make), _mixture(2), (0,))


def _mixture(size: int) -> Making:
    return _by(lambda: vi.natural_gradient(vi.NormalMixture(size)))


def _other_faults() -> Iterator[Case]:
    for separation, dim, weight in ((5.0, 2, 0.6), (30.0, 3, 0.5), (12.0, 10, 0.8), (9.0, 1, 0.98), (40.0, 20, 0.7)):
        yield _one_of_two(weight, separation, dim, "missed mode, others")
    for name in ("linear_gaussian", "multivariate_normal", "gamma_poisson"):
        yield from _off_by(name, factors=(0.7, 0.87, 1.15, 1.6), shifts=(0.13, 0.5))


def zoo_of(name: str) -> Callable[[], ExactPosterior]:
    return lambda: zoo(name)


def _wrong_model() -> Iterator[Case]:
    make = lambda: known("linear_regression")  # noqa: E731
    yield Case("half of the support", "wrong support", make, lambda key, p: HalfNormalGuide.fit(key, p))
    yield Case("an interval for a probability", "wrong support", lambda: known("beta_binomial"), _interval, (0,))
    yield Case("y of shape (50, 1)", "broadcasting bug", lambda: known("normal_unknown_mean"), _broadcast, (0,))
    yield Case(
        "y of shape (50, 1) in a plate", "broadcasting bug", lambda: known("normal_unknown_mean"), _in_plate, (0,)
    )


def _column(n: int = 50) -> Any:
    return jnp.asarray(np.random.default_rng(0).normal(1.0, 1.0, (n, 1)))


def _broadcast(key: Any, posterior: ExactPosterior) -> vi.Fit:
    def model(y: Any) -> None:
        mean = numpyro.sample("mean", dist.Normal(0.0, 10.0))
        numpyro.sample("y", dist.Normal(jnp.full(50, mean), 1.0), obs=y)

    return vi.fit(key, vi.from_numpyro(model, _column()))


def _in_plate(key: Any, posterior: ExactPosterior) -> vi.Fit:
    def model(y: Any) -> None:
        mean = numpyro.sample("mean", dist.Normal(0.0, 10.0))
        with numpyro.plate("rows", 50):
            numpyro.sample("y", dist.Normal(mean, 1.0), obs=y)

    return vi.fit(key, vi.from_numpyro(model, _column()))


def _interval(key: Any, posterior: ExactPosterior) -> vi.Fit:
    def model(y: Any) -> None:
        p = numpyro.sample("p", dist.Beta(1.0, 1.0))
        numpyro.sample("y", dist.Binomial(10, p), obs=y)

    def guide(y: Any) -> None:
        high = numpyro.param("high", 0.8, constraint=dist.constraints.interval(0.3, 1.0))
        numpyro.sample("p", dist.Uniform(0.2, high))

    target = vi.from_numpyro(model, jnp.asarray(9.0))
    return vi.fit(key, target, vi.gradient(vi.from_numpyro_guide(guide, target), vi.ReverseKL()))


def run_case(case: Case, seed: int) -> tuple[ExactPosterior, vi.Fit]:
    """The fit of a case; what refuses raises ValueError."""
    posterior = case.posterior()
    fit = case.fit(jax.random.key(seed), posterior)
    return posterior, replace(fit)
