"""How good a fit is: the record that `diagnose` makes."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from vi_toolkit.diagnostics._sentence import percent
from vi_toolkit.diagnostics.convergence.agreement import Agreement
from vi_toolkit.diagnostics.convergence.convergence import Convergence
from vi_toolkit.diagnostics.scores.stein_test import SteinTest
from vi_toolkit.diagnostics.search.basins import Basins
from vi_toolkit.diagnostics.shape.shape import Shape
from vi_toolkit.diagnostics.verdict import Verdict
from vi_toolkit.diagnostics.weights.bounds import Bracket
from vi_toolkit.diagnostics.weights.error_bounds import ErrorBounds
from vi_toolkit.diagnostics.weights.evidence import Estimate


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """What is known about how good a fit is. Nats unless said otherwise; what needs a reference is None without one.

    Attributes:
        khat: the tail index of the importance weights: below 0.5 fine, above 0.7 not to be trusted.
        ess: the effective number of draws, 1 / sum w^2, of ``num_draws``.
        num_draws: how many draws of q were looked at.
        num_zero: how many of them lie where p is zero.
        elbo: the lower bound of log Z.
        elbo_se: its standard error.
        log_evidence: log Z by importance sampling.
        log_evidence_se: its standard error, which means little where k-hat is above 0.7.
        verdict: on the whole.
        verdicts: on ``means``, ``spreads``, ``tails`` and ``modes``.
        sentence: the evidence in plain words.
        warnings: those of the fit.
        reference: the reference's name.
        reference_log_evidence: log Z of the fit's target as the reference knows it, or by bridge sampling.
        reference_log_evidence_se: its standard error; zero where it is known.
        reverse_kl: D(q||p).
        reverse_kl_se: its standard error.
        forward_kl: D(p||q).
        forward_kl_se: its standard error.
        mean_error: the largest error of a mean, in posterior standard deviations.
        mean_errors: the errors of all coordinates' means, with signs, of shape (dim,).
        log_sd_ratio: the largest |log(sd of q / sd of p)|.
        log_sd_ratios: those of all coordinates, below 0 where q is too narrow, of shape (dim,).
        mode_masses: q's mass at each mode of the reference, of shape (modes,).
        reference_mode_masses: p's mass at each mode.
        khat_se: the standard error of k-hat.
        reasons: for each part of the verdict, a sentence with the numbers behind it.
        advice: what to try next; nothing where all is good.
        bracket: bounds of log Z from below and above.
        error_bounds: bounds of the errors of means and sds that follow, or None where none is valid.
        parameter_khats: k-hat for the mean and variance of each coordinate, of shape (dim,).
        basins: what a search beyond q's draws found; None where nothing was looked for.
        stein: the test of q's draws by the gradients of log p~; None where nothing was explained.
        fisher: E_q |grad log p~ - grad log q|^2, in units of q's standard deviations.
        shape: what makes p hard to approximate, with the sites.
        convergence: whether the fit is at rest, by fresh noise.
        roughness: how far the log density is from following its own gradient, as a share; see
            `vi.diagnostics.roughness`.
        no_posterior: signs that there is no posterior to approximate, in words.
        agreement: R-hat across the runs of a fit by `vi.restarts`, each run a chain; None for other fits.
        draws: of q, (num_draws, dim).
        log_weights: log p~ - log q at these draws, (num_draws,).

    Example:
        >>> import jax, jax.numpy as jnp, vi_toolkit as vi
        >>> target = vi.from_log_density(lambda z: -0.5 * jnp.sum(z**2), dim=2)
        >>> report = vi.diagnose(jax.random.key(1), vi.fit(jax.random.key(0), target))
        >>> report.verdict.name, report.verdicts["modes"].name
        ('GOOD', 'GOOD')
    """

    khat: float
    ess: float
    num_draws: int
    num_zero: int
    elbo: float
    elbo_se: float
    log_evidence: float
    log_evidence_se: float
    verdict: Verdict
    verdicts: dict[str, Verdict]
    sentence: str
    warnings: tuple[str, ...] = ()
    reference: str | None = None
    reference_log_evidence: float | None = None
    reference_log_evidence_se: float | None = None
    reverse_kl: float | None = None
    reverse_kl_se: float | None = None
    forward_kl: float | None = None
    forward_kl_se: float | None = None
    mean_error: float | None = None
    mean_errors: np.ndarray | None = field(default=None, repr=False)
    log_sd_ratio: float | None = None
    log_sd_ratios: np.ndarray | None = field(default=None, repr=False)
    mode_masses: np.ndarray | None = None
    reference_mode_masses: np.ndarray | None = None
    khat_se: float = 0.0
    reasons: dict[str, str] = field(default_factory=dict, repr=False)
    advice: tuple[str, ...] = field(default=(), repr=False)
    bracket: Bracket | None = field(default=None, repr=False)
    error_bounds: ErrorBounds | None = field(default=None, repr=False)
    parameter_khats: np.ndarray | None = field(default=None, repr=False)
    basins: Basins | None = field(default=None, repr=False)
    stein: SteinTest | None = field(default=None, repr=False)
    fisher: Estimate | None = field(default=None, repr=False)
    shape: Shape | None = field(default=None, repr=False)
    convergence: Convergence | None = field(default=None, repr=False)
    roughness: float | None = field(default=None, repr=False)
    no_posterior: tuple[str, ...] = field(default=(), repr=False)
    agreement: Agreement | None = field(default=None, repr=False)
    draws: np.ndarray | None = field(default=None, repr=False)
    log_weights: np.ndarray | None = field(default=None, repr=False)

    def __str__(self) -> str:
        rows = [
            ("k-hat", f"{self.khat:.2f} ± {self.khat_se:.1g}" if np.isfinite(self.khat) else f"{self.khat:.2f}"),
            ("effective draws", f"{self.ess:.0f} of {self.num_draws} ({percent(self.ess / self.num_draws)})"),
            ("ELBO", _with_error(self.elbo, self.elbo_se)),
            ("log evidence, importance sampling", _with_error(self.log_evidence, self.log_evidence_se)),
            *self._bound_rows(),
            *self._reference_rows(),
            *((name, self.reasons.get(name, verdict.value)) for name, verdict in self.verdicts.items()),
        ]
        width = max(len(name) for name, _ in rows)
        table = [f"{name:<{width}}  {value}" for name, value in rows]
        said = [self.sentence, *(f"Warning: {warning}" for warning in self.warnings)]
        return "\n".join([*table, "", *said, *(f"Next: {advice}" for advice in self.advice)])

    def _bound_rows(self) -> list[tuple[str, str]]:
        """The lines on bounds, Stein's test, the optimisation and its restarts, where there are any."""
        rows = []
        if self.bracket is not None and self.bracket.cubo is not None:
            rows.append(("CUBO, an upper bound", _with_error(*self.bracket.cubo)))
        if self.stein is not None:
            rows.append(("Stein's test of q's draws", f"p = {self.stein.p_value:.2g}"))
        if self.convergence is not None:
            rows.append(("optimisation", self.convergence.sentence))
        if self.agreement is not None:
            rows.append(("restarts", self.agreement.sentence))
        return rows

    def _reference_rows(self) -> list[tuple[str, str]]:
        """The lines of the table that need a reference."""
        rows = [
            ("log evidence, reference", _with_error(self.reference_log_evidence, self.reference_log_evidence_se)),
            ("D(q||p)", _with_error(self.reverse_kl, self.reverse_kl_se)),
            ("D(p||q)", _with_error(self.forward_kl, self.forward_kl_se)),
            ("largest error of a mean", f"{self.mean_error:.3g} sd" if self.mean_error is not None else ""),
        ]
        if self.log_sd_ratios is not None:
            low, high = np.exp(self.log_sd_ratios.min()), np.exp(self.log_sd_ratios.max())
            rows.append(("sd of q / sd of p", f"{low:.3g} to {high:.3g}"))
        if self.mode_masses is not None and self.reference_mode_masses is not None:
            masses, wanted = ([f"{mass:.2f}" for mass in m] for m in (self.mode_masses, self.reference_mode_masses))
            rows.append(("mass at each mode", f"{', '.join(masses)} (reference {', '.join(wanted)})"))
        return [row for row in rows if row[1]]


def _with_error(value: float | None, se: float | None) -> str:
    """A number with its standard error, rounded to two digits of the error."""
    if value is None or se is None:
        return ""
    if not (np.isfinite(value) and np.isfinite(se)):
        return f"{value:.4g} nats"
    digits = 4 if se == 0 else int(np.clip(1 - np.floor(np.log10(se)), 0, 4))
    text = f"{round(value, digits) + 0.0:.{digits}f}"  # adding zero makes -0.0 positive
    return f"{text} ± {se:.{digits}f} nats" if se else f"{text} nats"
