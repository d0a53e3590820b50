"""Random probability vectors and distributions for hypothesis."""

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from hypothesis import strategies as st

SCALES = st.floats(-2.0, 2.0).map(np.exp)
PLACES = st.floats(-3.0, 3.0)
SHAPES = st.floats(0.6, 8.0)


@st.composite
def vectors(draw, count=2, size=None, zeros=True):
    """``count`` probability vectors of one length, with zeros here and there."""
    number = draw(st.integers(2, 6)) if size is None else size
    entry = st.floats(1e-6, 1.0)
    entry = st.one_of(st.just(0.0), entry) if zeros else entry
    rows = [draw(st.lists(entry, min_size=number, max_size=number).filter(any)) for _ in range(count)]
    return [np.array(row) / sum(row) for row in rows]


def numbers(value):
    return jnp.asarray(value)


LINE = st.one_of(
    st.builds(dist.Normal, PLACES, SCALES),
    st.builds(dist.Laplace, PLACES, SCALES),
    st.builds(dist.Logistic, PLACES, SCALES),
    st.builds(dist.StudentT, st.floats(1.0, 9.0), PLACES, SCALES),
    st.builds(dist.Gumbel, PLACES, SCALES),
)
HALF_LINE = st.one_of(
    st.builds(dist.Gamma, SHAPES, SCALES),
    st.builds(dist.LogNormal, PLACES, st.floats(0.3, 2.0)),
    st.builds(dist.HalfNormal, SCALES),
    st.builds(dist.Weibull, SCALES, SHAPES),
    st.builds(dist.InverseGamma, SHAPES, SCALES),
)
INTERVAL = st.one_of(
    st.builds(dist.Beta, SHAPES, SHAPES),
    st.builds(dist.Kumaraswamy, SHAPES, SHAPES),
    st.just(dist.Uniform(0.0, 1.0)),
)
COUNTS = st.one_of(
    st.builds(dist.Poisson, st.floats(0.1, 30.0)),
    st.builds(dist.Geometric, st.floats(0.05, 0.9)),
    st.builds(dist.NegativeBinomial2, st.floats(0.5, 20.0), st.floats(0.3, 10.0)),
    st.builds(dist.ZeroInflatedPoisson, st.floats(0.05, 0.9), st.floats(0.1, 10.0)),
    st.builds(lambda p, n: dist.Binomial(n, p), st.floats(0.05, 0.95), st.integers(1, 20)),
)
PAIRS = st.one_of(*(st.tuples(family, family) for family in (LINE, HALF_LINE, INTERVAL, COUNTS)))
