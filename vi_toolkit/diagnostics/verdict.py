"""What a verdict is, and what it is made of."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from vi_toolkit.diagnostics._limits import KHAT_USABLE
from vi_toolkit.diagnostics.moments import Measured
from vi_toolkit.diagnostics.weights.evidence import Estimate, is_nearly_even

UNKNOWN = Estimate(float("nan"), float("inf"))


class Verdict(enum.Enum):
    """How far an approximation can be trusted.

    Example:
        >>> import vi_toolkit as vi
        >>> vi.Verdict.USABLE_AFTER_REWEIGHTING.value
        'usable after reweighting'
    """

    GOOD = "good"
    USABLE_AFTER_REWEIGHTING = "usable after reweighting"
    NOT_TRUSTED = "not to be trusted"
    CANNOT_TELL = "cannot tell"


@dataclass(frozen=True)
class Distances:
    """How far one set of draws, weighted or not, is from the truth; None where that could not be measured.

    Attributes:
        means: errors of means in posterior standard deviations, of shape (dim,).
        spreads: log ratios of standard deviations, of shape (dim,).
        modes: differences of the mass at each mode, of shape (modes,).

    Example:
        >>> from vi_toolkit import diagnostics
        >>> diagnostics.Distances(means=diagnostics.mean_errors([1.0], [0.0], [2.0])).means.values
        array([0.5])
    """

    means: Measured | None = None
    spreads: Measured | None = None
    modes: Measured | None = None


@dataclass(frozen=True)
class Searched:
    """What a search beyond the draws of q came upon; see `Basins`.

    Attributes:
        khat: the tail index of the search's own weights; from 0.7 on its numbers are not to be relied on.
        moves: how far q's means, log sds and masses at the modes have to go to be those that the search found.
        left: how far q's reweighted draws still have to go.
        missed: in words, what q misses.
        beyond: p's mass where q's density is so low that 5 % of q is there, less that 5 %.

    Example:
        >>> from vi_toolkit import diagnostics
        >>> diagnostics.Searched(0.1, diagnostics.Distances(), diagnostics.Distances(), ()).missed
        ()
    """

    khat: float
    moves: Distances
    left: Distances
    missed: tuple[str, ...] = ()
    beyond: Estimate = UNKNOWN

    @property
    def conclusive(self) -> bool:
        """Whether the search's weights are even enough to go by its numbers."""
        return self.khat < KHAT_USABLE


@dataclass(frozen=True)
class Evidence:
    """All that a verdict is made of.

    Attributes:
        converged: whether the fit converged.
        status: how it ended, in words.
        khat: the tail index of the weights.
        ess: effective number of draws, of ``num_draws``.
        num_draws: how many draws of q were looked at.
        num_zero: how many of them lie where p is zero.
        num_bad: how many of them have a log weight that is NaN or +inf.
        reverse_kl: D(q||p), measured against a reference or estimated by importance sampling.
        moves: how far reweighting moves q's means and spreads.
        measured: how far q is from a reference; None without one.
        reweighted: how far q's reweighted draws are from it.
        forward_kl: D(p||q), with a reference.
        searched: what was found beyond q's draws; None where nothing was looked for.
        khat_se: the standard error of k-hat.
        diverged: whether the fit ended so.
        rough: whether the log density does not follow its own gradient.
        no_posterior: signs that there is no posterior to approximate, in words.

    Example:
        >>> from vi_toolkit import diagnostics
        >>> evidence = diagnostics.Evidence(
        ...     converged=True, status="it converged", khat=0.9, ess=30.0, num_draws=4000, num_zero=0, num_bad=0,
        ...     reverse_kl=diagnostics.Estimate(2.0, 0.1), moves=diagnostics.Distances())
        >>> diagnostics.judge(evidence).verdict.name
        'NOT_TRUSTED'
    """

    converged: bool
    status: str
    khat: float
    ess: float
    num_draws: int
    num_zero: int
    num_bad: int
    reverse_kl: Estimate
    moves: Distances
    measured: Distances | None = None
    reweighted: Distances | None = None
    forward_kl: Estimate | None = None
    searched: Searched | None = None
    khat_se: float = 0.0
    diverged: bool = False
    rough: bool = False
    no_posterior: tuple[str, ...] = ()

    @property
    def correctable(self) -> bool:
        """Whether q's draws can be corrected by their weights."""
        return self.khat < KHAT_USABLE or self.nearly_even

    @property
    def nearly_even(self) -> bool:
        """Whether the importance weights are nearly all alike, so that a fit to their tail means little."""
        finite = not self.num_zero and not self.num_bad
        return finite and is_nearly_even(self.ess / self.num_draws, self.reverse_kl)


@dataclass(frozen=True)
class Judgement:
    """The verdicts on the parts and on the whole, and the evidence in one sentence.

    Attributes:
        verdict: on the whole: the worst of the parts that can be told.
        verdicts: on ``means``, ``spreads``, ``tails`` and ``modes``.
        sentence: why, in plain words.

    Example:
        >>> from vi_toolkit import diagnostics
        >>> good = diagnostics.Verdict.GOOD
        >>> diagnostics.Judgement(good, {"means": good}, "Good.").verdict.value
        'good'
    """

    verdict: Verdict
    verdicts: dict[str, Verdict]
    sentence: str
