"""Which way through a flow is cheap: counted in its program, operation by operation."""

import math

import jax
import jax.numpy as jnp
import pytest

from tests.registry import FLOWS, start

DIM = 6


def work(jaxpr):
    """Multiplications and other operations on numbers, a loop's times its length; infinite where that is not known."""
    total = 0.0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "while":
            return math.inf
        inner = [getattr(p, "jaxpr", p) for p in jax.tree.leaves(equation.params, is_leaf=is_program) if is_program(p)]
        if inner:
            total += equation.params.get("length", 1) * sum(work(part) for part in inner)
            continue
        size = sum(math.prod(getattr(out.aval, "shape", ())) for out in equation.outvars)
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            size *= math.prod(equation.invars[0].aval.shape[axis] for axis in contracted)
        total += size
    return total


def is_program(value):
    return hasattr(getattr(value, "jaxpr", value), "eqns")


def test_the_count_knows_loops_and_products():
    def looped(x):
        return jax.lax.scan(lambda x, _: (x @ x, None), x, None, length=5)[0]

    x = jnp.ones((3, 3))
    assert work(jax.make_jaxpr(lambda x: x @ x)(x).jaxpr) == 27
    assert work(jax.make_jaxpr(looped)(x).jaxpr) == 5 * 27
    assert work(jax.make_jaxpr(lambda x: jax.lax.while_loop(lambda x: x.sum() < 9, lambda x: 2 * x, x))(x)) == math.inf


@pytest.mark.parametrize("name", FLOWS)
def test_the_cheap_ways_are_cheap(name):
    flow = FLOWS[name]()
    params = jax.eval_shape(flow.init, jax.random.key(0), start(DIM))
    points = jax.ShapeDtypeStruct((32, DIM), params["base"]["location"].dtype)

    def draw(params, noise):
        return flow.draw(jax.random.key(0), params, 32, noise=lambda *_: noise)[::2]

    def score(params, points):
        return flow.distribution(params).log_prob(points)

    to_draw, to_score = (work(jax.make_jaxpr(f)(params, points).jaxpr) for f in (draw, score))
    cheapest = min(to_draw, to_score)
    assert cheapest < math.inf
    for cost, cheap in ((to_draw, flow.samples_cheaply), (to_score, flow.scores_cheaply)):
        assert (cost < 1.5 * cheapest) if cheap else (cost > 0.9 * DIM * cheapest)
    assert flow.samples_cheaply or flow.scores_cheaply
