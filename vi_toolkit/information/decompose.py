"""Entropy, cross-entropy and KL divergence together: H(p, q) = H(p) + D(p‖q)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from vi_toolkit._types import Key
from vi_toolkit.information import _closed_forms, _neighbours
from vi_toolkit.information._functionals import DECOMPOSED
from vi_toolkit.information._measure import Measure, take
from vi_toolkit.information.measurement import Measurement, in_unit, plain


@dataclass(frozen=True, eq=False)
class Decomposition:
    """H(p, q) = H(p) + D(p‖q), each part found the same way: on the same outcomes, nodes or draws.

    Attributes:
        entropy: H(p), what cannot be saved.
        cross_entropy: H(p, q), what it costs to take q for p.
        kl_divergence: D(p‖q), what taking q for p adds.

    Example:
        >>> from vi_toolkit import information
        >>> print(information.decompose([0.5, 0.5], [0.25, 0.75], unit="bits"))
        H(p)      entropy        1        bits
        D(p‖q)    KL divergence  0.207519 bits
        H(p, q)   cross-entropy  1.20752  bits   = H(p) + D(p‖q)
        exact sum
    """

    entropy: Measurement
    cross_entropy: Measurement
    kl_divergence: Measurement

    @property
    def residual(self) -> Any:
        """H(p, q) - H(p) - D(p‖q): zero but for rounding, or NaN where both sides are infinite."""
        with np.errstate(invalid="ignore"):
            return plain(self.cross_entropy.value - np.add(self.entropy.value, self.kl_divergence.value))

    def __str__(self) -> str:
        rows = [
            ("H(p)", "entropy", self.entropy, ""),
            ("D(p‖q)", "KL divergence", self.kl_divergence, ""),
            ("H(p, q)", "cross-entropy", self.cross_entropy, "   = H(p) + D(p‖q)"),
        ]
        texts = [_text(part) for _, _, part, _ in rows]
        width = max(map(len, texts))
        lines = [
            f"{symbol:<9} {name:<14} {text:<{width}} {part.unit}{note}"
            for (symbol, name, part, note), text in zip(rows, texts, strict=True)
        ]
        return "\n".join([*lines, self.entropy.route])


def _text(part: Measurement) -> str:
    with np.printoptions(precision=6):
        value = f"{part.value:.6g}" if np.ndim(part.value) == 0 else str(part.value)
        return value if np.all(np.asarray(part.se) <= 1e-8 * np.abs(part.value)) else f"{value} ± {part.se:.2g}"


def decompose(p: Any, q: Any, *, unit: str = "nats", key: Key | None = None, num_draws: int = 10_000) -> Decomposition:
    r"""H(p), H(p, q) and D(p‖q), whose identity H(p, q) = H(p) + D(p‖q) holds to rounding.

    With p fixed, minimising the cross-entropy over q and minimising D(p‖q) are the same: they differ by H(p).

    Args:
        p: a probability vector, a NumPyro distribution, a target, or draws wrapped by `from_draws`.
        q: another of the same kind and space; one of the two may be a target.
        unit: "nats", "bits" or "bans".
        key: a JAX random key, needed where only Monte Carlo is left: the same draws then serve all three.
        num_draws: how many draws Monte Carlo takes, at least 100.

    Returns:
        The three; printing them shows a table.

    Raises:
        TypeError, ValueError: as `kl_divergence` does.

    Example:
        >>> import numpyro.distributions as dist
        >>> from vi_toolkit import information
        >>> found = information.decompose(dist.Gamma(2.0, 1.0), dist.LogNormal(0.0, 1.0))
        >>> abs(found.residual) < 1e-6, found.kl_divergence.route
        (True, 'quadrature')

    Source: Cover and Thomas (2006), Elements of Information Theory, chapter 2, doi:10.1002/047174882X.
    """
    measure = Measure(DECOMPOSED, _closed_forms.decomposed, _neighbours.decomposed)
    found = take(measure, p, q, key=key, num_draws=num_draws)
    parts = zip(np.moveaxis(found.value, -1, 0), np.moveaxis(found.se, -1, 0), strict=True)
    return Decomposition(*(in_unit(Measurement(value, se, found.route), unit) for value, se in parts))
