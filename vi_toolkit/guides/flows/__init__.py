"""Flows: normal noise bent by layers that are fitted, through flowjax; each begins at a normal.

Which way is cheap, one pass through the layers? Reverse KL, and all that looks at q's own draws, needs draws (their
log q comes from the same pass); forward KL with draws of p, and all that looks at given points, needs scores.

| guide | a draw with its log q | log q of a point | dims |
|---|---|---|---|
| any normal, Student t, mixture | cheap | cheap | from 1 |
| `AffineCouplingFlow`, `SplineCouplingFlow` | cheap | cheap | from 2 |
| `TriangularSplineFlow` | cheap | cheap | from 1 |
| `AutoregressiveFlow(cheap="sample")` (IAF) | cheap | dim passes | from 2 |
| `AutoregressiveFlow(cheap="score")` (MAF) | dim passes | cheap | from 2 |
| `BlockAutoregressiveFlow(cheap="sample")` | cheap | a root search, tens of passes | from 1 |
| `BlockAutoregressiveFlow(cheap="score")` | a root search, tens of passes | cheap | from 1 |

Where scoring is not cheap, reverse KL wants ``vi.ReverseKL(vi.estimators.reparameterised)``, which takes log q from the
draws; its default, stick-the-landing, scores them. Which coupling or autoregressive flow to take: the affine ones
bend a posterior smoothly and fit fast; splines and block autoregressive flows go further from the normal within a
layer, at a cost. A good order is to fit ``vi.FullRankNormal()`` first, and to go on from there:

Example:
    >>> import jax, vi_toolkit as vi
    >>> target = vi.zoo.banana().target
    >>> normal = vi.fit(jax.random.key(0), target, vi.gradient(vi.FullRankNormal(), vi.ReverseKL()), max_steps=500)
    >>> flow = vi.AffineCouplingFlow(num_layers=2, width=8)
    >>> start = flow.start_at(jax.random.key(1), normal.posterior)
    >>> method = vi.gradient(flow, vi.ReverseKL(vi.estimators.reparameterised), start=start)
    >>> fit = vi.fit(jax.random.key(2), target, method, max_steps=1000)
    >>> bool(fit.history["elbo"][-100:].mean() > normal.history["elbo"][-100:].mean() + 0.2)
    True
"""

from vi_toolkit.guides.flows.autoregressive import AutoregressiveFlow as AutoregressiveFlow
from vi_toolkit.guides.flows.block_autoregressive import BlockAutoregressiveFlow as BlockAutoregressiveFlow
from vi_toolkit.guides.flows.couplings import (
    AffineCouplingFlow as AffineCouplingFlow,
    SplineCouplingFlow as SplineCouplingFlow,
)
from vi_toolkit.guides.flows.flow import Flow as Flow
from vi_toolkit.guides.flows.triangular_spline import TriangularSplineFlow as TriangularSplineFlow
