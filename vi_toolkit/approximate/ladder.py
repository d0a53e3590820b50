"""Rung by rung from a cheap normal upwards, with a diagnosis at each."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace

import jax
import pandas as pd

from vi_toolkit._checks import check_instance, check_key
from vi_toolkit._types import Key
from vi_toolkit.approximate._rungs import RUNGS, Found
from vi_toolkit.approximate.budget import Budget, Purse, as_budget
from vi_toolkit.diagnostics import Diagnosis, Verdict, diagnose
from vi_toolkit.fit import Fit
from vi_toolkit.targets import Target
from vi_toolkit.windows import Status


@dataclass(frozen=True)
class Rung:
    """One step of the ladder.

    Attributes:
        name: what was fitted.
        gradients: log-density gradients it cost.
        seconds: wall time it cost, compiling included.
        status: how the fit ended.
        elbo: in nats, by fresh draws.
        khat: of the importance weights.
        verdict: on the whole.
        reason: why the ladder went on, or stopped.

    Example:
        >>> import jax, vi_toolkit as vi
        >>> rung = vi.approximate(jax.random.key(0), vi.zoo.correlated_gaussian(dim=4).target).ladder[0]
        >>> rung.name, rung.verdict.name, rung.reason
        ('normal', 'GOOD', 'good: stopped here')
    """

    name: str
    gradients: float
    seconds: float
    status: Status
    elbo: float
    khat: float
    verdict: Verdict
    reason: str


@dataclass(frozen=True, eq=False)
class Approximation:
    """The best fit that the ladder found.

    Attributes:
        fit: of all rungs the one of the highest ELBO.
        diagnosis: of that fit.
        ladder: every rung, in order.

    Example:
        >>> import jax, vi_toolkit as vi
        >>> found = vi.approximate(jax.random.key(0), vi.zoo.banana().target, budget=3000)
        >>> found.ladder[0].name
        'normal'
    """

    fit: Fit
    diagnosis: Diagnosis
    ladder: tuple[Rung, ...]

    @property
    def num_gradients(self) -> float:
        """Log-density gradients that the whole ladder cost; diagnoses, which look at bare densities, not counted."""
        return sum(rung.gradients for rung in self.ladder)

    @property
    def table(self) -> pd.DataFrame:
        """The ladder, one row a rung."""
        rows = [
            {
                "gradients": round(rung.gradients),
                "seconds": round(rung.seconds, 2),
                "status": rung.status.name,
                "ELBO (nats)": rung.elbo,
                "k-hat": rung.khat,
                "verdict": rung.verdict.name,
                "and then": rung.reason,
            }
            for rung in self.ladder
        ]
        return pd.DataFrame(rows, index=pd.Index([rung.name for rung in self.ladder], name="rung"))

    def __str__(self) -> str:
        return f"{self.table.round(3).to_string()}\n\n{self.diagnosis.sentence}"


def approximate(key: Key, target: Target, *, budget: float | int | Budget | None = None) -> Approximation:
    """Finds an approximation that can be trusted, without any choice: the first whose diagnosis is good, or the best.

    The rungs, each begun at what the ones before have found:

    1. a full-rank normal by `vi.natural_gradient`, from the most promising of a few climbs and from two others; the
       best is kept (of low rank in many dimensions, from one start);
    2. where the starts ended in places apart, or the diagnosis found modes that the normal misses, a mixture of one
       normal for each;
    3. a normal with skewness and tails of its own in every coordinate, `vi.SinhArcsinhNormal`;
    4. a flow that begins at the normal, `vi.AffineCouplingFlow`.

    After each, `vi.diagnose` looks at fresh draws, and beyond them. The ladder stops where the verdict is GOOD, where
    the budget is spent, or at its end, and returns the fit of the highest ELBO, with all that can be said of it.

    Args:
        key: a JAX random key; the same key gives the same approximation, unless seconds cut it short.
        target: from `vi.from_numpyro` or `vi.from_log_density`.
        budget: a number of gradients, or ``vi.Budget(gradients=..., seconds=...)``. It bounds when a rung is begun and
            how long stochastic gradients go on; the first normal is fitted in any case.

    Returns:
        The fit, its diagnosis, and the ladder with the cost, ELBO and k-hat of each rung and why it went on.
        Printing it shows all of that.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if the budget is not positive, or as `vi.fit` does.

    Example:
        >>> import jax, vi_toolkit as vi
        >>> target = vi.zoo.correlated_gaussian(dim=4).target
        >>> found = vi.approximate(jax.random.key(0), target)
        >>> found.diagnosis.verdict.name, len(found.ladder)
        ('GOOD', 1)

    Source: Yao, Vehtari, Simpson and Gelman (2018), Yes, but did it work?, arXiv:1802.02538 (the diagnosis); Zhang,
    Carpenter, Gelman & Vehtari (2022), Pathfinder, arXiv:2108.03782 (several starts); Jones & Pewsey (2009),
    Sinh-arcsinh distributions, doi:10.1093/biomet/asp053; Dinh, Sohl-Dickstein & Bengio (2017), Density estimation
    using Real NVP, arXiv:1605.08803.
    """
    check_key(key)
    check_instance(
        target, Target, "target", "Make one with vi.from_numpyro(model, ...) or vi.from_log_density(f, dim=...)."
    )
    purse = Purse(as_budget(budget))
    found, best, lacks = Found(), None, ""
    ladder: list[Rung] = []
    for number, rung in enumerate(RUNGS):
        key_fit, key_look = jax.random.split(jax.random.fold_in(key, number))
        if not rung.serves(target, found):
            continue
        if ladder and purse.empty:
            ladder[-1] = _with_reason(ladder[-1], f"{lacks}; the budget is spent")
            break
        before, began = purse.spent, time.monotonic()
        fitted, found = rung.fit(key_fit, target, found, purse)
        diagnosis = diagnose(key_look, fitted, explain=False)
        found = found.with_modes(diagnosis.basins)
        lacks = _lacks(diagnosis)
        if number == 0 and len(found.places) > 1:
            lacks = f"{len(found.places)} places apart were found"
        ladder.append(
            Rung(
                rung.name, purse.spent - before, time.monotonic() - began, fitted.status, diagnosis.elbo,
                diagnosis.khat, diagnosis.verdict, lacks or "good: stopped here",
            )
        )  # fmt: skip
        if best is None or diagnosis.elbo > best[1].elbo or not math.isfinite(best[1].elbo):
            best = (fitted, diagnosis, key_look)
        if not lacks or fitted.status is Status.INTERRUPTED:
            break
    else:
        ladder[-1] = _with_reason(ladder[-1], f"{lacks}; the ladder ends here") if lacks else ladder[-1]
    assert best is not None  # the first rung serves every target
    fitted, _, key_look = best
    return Approximation(fitted, diagnose(key_look, fitted), tuple(ladder))


def _lacks(diagnosis: Diagnosis) -> str:
    """What keeps a diagnosis from being good, in a few words; empty where nothing does."""
    if diagnosis.verdict is Verdict.GOOD:
        return ""
    fine = (Verdict.GOOD, Verdict.CANNOT_TELL)
    parts = [name for name, verdict in diagnosis.verdicts.items() if verdict not in fine]
    said = f"k-hat {diagnosis.khat:.2f}"
    return f"{said}, {' and '.join(parts)} not good" if parts else f"{said}, the fit did not converge"


def _with_reason(rung: Rung, reason: str) -> Rung:
    return replace(rung, reason=reason)
