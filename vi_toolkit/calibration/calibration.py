"""What simulated data sets say of a way to fit: ranks, tests, coverage, and a verdict in words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import ndtri

from vi_toolkit.calibration import _tests
from vi_toolkit.calibration._words import in_words

COVERAGES = (0.5, 0.8, 0.95)
MOST_FAILED = 0.05  # of the fits, above which those that are left say little
BIAS, SPREAD, SHAPE, SYMMETRY = "p bias", "p spread", "p shape", "p symmetry"
FEWEST = 10  # fits that can be judged


@dataclass(frozen=True, eq=False)
class Calibration:
    """Where true values lie among the draws of fits to data that were simulated from them.

    Attributes:
        table: one row a quantity. ``bias`` (how far the truth lies above q, in standard deviations of q) and ``spread``
            (the error that q makes, as a multiple of the one it states: 1 where it is right, above where q is too
            narrow), with ``bias se`` and ``spread se``; ``covers 50 %``, ``covers 80 %``, ``covers 95 %``: how often
            central intervals of q hold the truth (%); ``p bias``, ``p spread``, ``p shape``, ``p symmetry``: p-values,
            each on its own; ``p``: the least of those that the verdict rests on, adjusted for all of them; ``found``:
            what is wrong, in words, or empty.
        names: of the quantities: ``theta[3]``, ``log likelihood``, ...
        pit: (fits, quantities), the share of draws of q below the truth: uniform on (0, 1) where q is right.
        flagged: whether something is wrong with q, or more than 5 % of the fits failed.
        sentence: the verdict in words.
        level: chance of flagging an exact q.
        num_simulations: data sets that were simulated.
        num_draws: of each q.
        statuses: {name of a `Status`: how many fits ended so}.
        failures: why fits were left out, in words.

    Example:
        >>> import jax, jax.numpy as jnp, numpyro, numpyro.distributions as dist, vi_toolkit as vi
        >>> def model(y=None):
        ...     mean = numpyro.sample("mean", dist.Normal(0.0, 1.0))
        ...     numpyro.sample("y", dist.Normal(mean, 1.0).expand([5]).to_event(1), obs=y)
        >>> found = vi.sbc(jax.random.key(0), model, observed=("y",), num_simulations=50)
        >>> found.flagged, list(found.names), found.pit.shape
        (False, ['mean', 'log likelihood', 'log density'], (50, 3))
    """

    table: pd.DataFrame
    names: tuple[str, ...]
    pit: np.ndarray
    flagged: bool
    sentence: str
    level: float
    num_simulations: int
    num_draws: int
    statuses: dict[str, int]
    failures: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.sentence}\n\n{self.table.round(3).to_string()}"


def judge(
    pit: dict[str, np.ndarray], tests: tuple[str, ...], level: float
) -> tuple[tuple[str, ...], np.ndarray, pd.DataFrame]:
    """Names, ranks (fits, quantities) and the table from {quantity: (fits, ...)}."""
    columns = {label: ranks for name, values in pit.items() for label, ranks in _scalars(name, values)}
    names, ranks = tuple(columns), np.stack(list(columns.values()), axis=1)
    table = pd.DataFrame([_row(column) for column in ranks.T], index=pd.Index(names, name="quantity"))
    adjusted = pd.DataFrame(_tests.holm(table[list(tests)].to_numpy()), index=table.index, columns=list(tests))
    table["p"] = adjusted.min(axis=1)
    table["found"] = [in_words(table.loc[name], adjusted.loc[name] <= level) for name in names]
    return names, ranks, table


def _row(pit: np.ndarray) -> dict[str, float]:
    """What is known of one quantity."""
    scores, n = ndtri(pit), len(pit)
    spread = float(scores.std(ddof=1))
    covered = {f"covers {share:.0%}".replace("%", " %"): 100 * _coverage(pit, share) for share in COVERAGES}
    return {
        "bias": float(scores.mean()),
        "bias se": spread / np.sqrt(n),
        "spread": spread,
        "spread se": spread / np.sqrt(2 * (n - 1)),
        **covered,
        BIAS: _tests.location(pit),
        SPREAD: _tests.dispersion(pit),
        SHAPE: _tests.uniformity(pit),
        SYMMETRY: _tests.symmetry(pit)[1],
    }


def _coverage(pit: np.ndarray, share: float) -> float:
    return float(np.mean(np.abs(2.0 * pit - 1.0) < share))


def _scalars(name: str, values: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """The entries of a quantity (fits, ...), labelled."""
    shape = values.shape[1:]
    places = [", ".join(map(str, place)) for place in np.ndindex(shape)]
    flat = values.reshape(len(values), -1)
    return [(f"{name}[{place}]" if shape else name, flat[:, i]) for i, place in enumerate(places)]
