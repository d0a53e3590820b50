"""A verdict in one sentence."""

from __future__ import annotations

import numpy as np

from vi_toolkit.diagnostics._limits import GAP_LIMIT, KHAT_USABLE
from vi_toolkit.diagnostics.moments import Measured
from vi_toolkit.diagnostics.verdict import Distances, Evidence, Verdict


def sentence(verdict: Verdict, verdicts: dict[str, Verdict], evidence: Evidence) -> str:
    parts = [_khat(evidence), f"{percent(evidence.ess / evidence.num_draws)} of the draws are effective"]
    if evidence.num_bad:
        parts.append(f"{evidence.num_bad} of {evidence.num_draws} draws have no usable log density")
    if evidence.num_zero:
        parts.append(f"{evidence.num_zero} of {evidence.num_draws} draws lie where the posterior is zero")
    if evidence.measured is None and evidence.searched is not None:
        parts += [f"q misses a mode ({words})" for words in evidence.searched.missed]
    parts += _moves(evidence) if evidence.measured is None else _errors(evidence, evidence.measured)
    parts += [words[0].lower() + words[1:].rstrip(".") for words in evidence.no_posterior]
    if evidence.rough:
        parts.append("the log density does not follow its own gradient, as where digits are lost in rounding")
    if not evidence.converged:
        parts.append(f"the fit did not converge ({evidence.status})")
    unknown = [name for name, value in verdicts.items() if value is Verdict.CANNOT_TELL and name != "modes"]
    if unknown:
        parts.append(f"{' and '.join(unknown)} cannot be told from this")
    if verdicts["modes"] is Verdict.CANNOT_TELL:
        parts.append("whether a mode is missed cannot be told from this")
    return f"{verdict.value.capitalize()}: {', '.join(parts[:-1])}, and {parts[-1]}."


def _khat(evidence: Evidence) -> str:
    khat = evidence.khat
    if khat == -np.inf:
        return "all importance weights are the same (k-hat is -inf)"
    if khat < KHAT_USABLE:
        return f"k-hat is {khat:.2f}" if khat < KHAT_USABLE - 0.005 else f"k-hat is {khat:.3f}"
    if evidence.nearly_even:
        return f"k-hat is {khat:.2f}, though of weights that are nearly all alike"
    return f"k-hat is {khat:.2f} (not below {KHAT_USABLE}: the weights are too uneven to correct by)"


def _moves(evidence: Evidence) -> list[str]:
    means, spreads, gap = evidence.moves.means, evidence.moves.spreads, evidence.reverse_kl.value
    if not (evidence.khat < KHAT_USABLE or evidence.nearly_even) or means is None or spreads is None:
        return []
    parts = [f"reweighting moves means by {_up_to(means)} sd", f"spreads by {_up_to_percent(spreads)}"]
    return [*parts, f"D(q||p) is about {gap:.2g} nats"] if np.isfinite(gap) and gap > GAP_LIMIT else parts


def _errors(evidence: Evidence, measured: Distances) -> list[str]:
    parts = []
    if measured.means is not None:
        parts.append(f"against the reference means are off by {_up_to(measured.means)} sd")
    if measured.spreads is not None:
        parts.append(f"spreads by {_up_to_percent(measured.spreads)}")
    if measured.modes is not None and len(measured.modes.values) > 1:
        parts.append(f"the mass at a mode by {_up_to(measured.modes)}")
    parts.append(f"D(q||p) is {_nats(evidence.reverse_kl.value)}")
    return [*parts, f"D(p||q) is {_nats(evidence.forward_kl.value)}"] if evidence.forward_kl else parts


def _up_to(measured: Measured) -> str:
    largest = float(np.max(np.abs(measured.values), initial=0.0, where=np.isfinite(measured.values)))
    return "less than 0.01" if largest < 0.01 else f"up to {largest:.2g}"


def _up_to_percent(measured: Measured) -> str:
    """The largest log ratio as a change in per cent, with its sign: -37 % is too narrow."""
    largest = float(measured.values[np.argmax(np.where(np.isfinite(measured.values), np.abs(measured.values), -1.0))])
    if not abs(largest) >= 0.01:
        return "less than 1 %"
    return (
        f"up to {100 * np.expm1(largest):+.0f} %"
        if largest < np.log(10)
        else f"a factor of up to {np.exp(largest):.2g}"
    )


def _nats(value: float) -> str:
    return f"{value:.2g} nats" if not abs(value) < 0.001 else "less than 0.001 nats"


def percent(share: float) -> str:
    """A share as a percentage, to two digits."""
    return f"{100 * share:.0f} %" if share >= 0.1 else f"{100 * share:.2g} %"
