"""The objectives of the table, and the divergence that each one minimises."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import vi_toolkit as vi

Make = Callable[[Any], vi.Objective]


@dataclass(frozen=True)
class Row:
    """An objective, made for a case, and the name of its divergence or of its own way to a minimiser."""

    make: Make
    minimises: str
    unit_scales: bool = False  # whether it depends on the units of the target, so that normals of unit scales are taken
    infinite_for: str = ""  # "heavy" or "light": the tails of p for which it is infinite, whatever normal q is


def triangular(log_u: Any) -> Any:
    """(u - 1)^2 / (u + 1): a generator of one's own."""
    import jax.numpy as jnp

    return jnp.expm1(log_u) * jnp.tanh(0.5 * log_u)


def f_divergence(generator: Any) -> Make:
    return lambda case: vi.FDivergence(generator)


ROWS: dict[str, Row] = {
    "ReverseKL()": Row(lambda case: vi.ReverseKL(), "reverse KL"),
    "LogVariance()": Row(lambda case: vi.LogVariance(), "reverse KL"),
    "ForwardKL()": Row(lambda case: vi.ForwardKL(), "forward KL"),
    "ForwardKL(draws)": Row(lambda case: vi.ForwardKL(case.draws), "forward KL"),
    "Renyi(0.3)": Row(lambda case: vi.Renyi(0.3), "Renyi 0.3"),
    "Renyi(0.5)": Row(lambda case: vi.Renyi(0.5), "Renyi 0.5"),
    "Renyi(2)": Row(lambda case: vi.Renyi(2), "Renyi 2", infinite_for="light"),
    "Renyi(-0.5)": Row(lambda case: vi.Renyi(-0.5), "Renyi -0.5", infinite_for="heavy"),
    "Chi(2)": Row(lambda case: vi.Chi(2), "Renyi -1", infinite_for="heavy"),
    "IWAE(5)": Row(lambda case: vi.IWAE(5), "IWAE"),
    "FDivergence(reverse_kl)": Row(f_divergence(vi.generators.reverse_kl), "reverse KL"),
    "FDivergence(forward_kl)": Row(f_divergence(vi.generators.forward_kl), "forward KL"),
    "FDivergence(jeffreys)": Row(f_divergence(vi.generators.jeffreys), "Jeffreys"),
    "JensenShannon()": Row(lambda case: vi.JensenShannon(), "Jensen-Shannon"),
    "JensenShannon(0.2)": Row(lambda case: vi.JensenShannon(0.2), "Jensen-Shannon, skew 0.2"),
    "FDivergence(hellinger)": Row(f_divergence(vi.generators.hellinger), "Hellinger"),
    "FDivergence(total_variation)": Row(f_divergence(vi.generators.total_variation), "total variation"),
    "FDivergence(pearson)": Row(f_divergence(vi.generators.pearson), "Renyi -1", infinite_for="heavy"),
    "FDivergence(neyman)": Row(f_divergence(vi.generators.neyman), "Renyi 2", infinite_for="light"),
    "FDivergence(amari(0.7))": Row(f_divergence(vi.generators.amari(0.7)), "Renyi 0.3"),
    "FDivergence(one's own)": Row(f_divergence(triangular), "triangular"),
    "TailAdaptive()": Row(lambda case: vi.TailAdaptive(), "tail adaptive"),
    "Fisher()": Row(lambda case: vi.Fisher(), "Fisher", unit_scales=True),
    "Fisher('fixed covariance')": Row(lambda case: vi.Fisher("fixed covariance"), "weighted Fisher"),
    "KernelStein()": Row(lambda case: vi.KernelStein(), "Stein"),
    "ForwardKL(AdaptiveImportance())": Row(lambda case: vi.ForwardKL(vi.sources.AdaptiveImportance()), "forward KL"),
    "ForwardKL(TemperedSMC())": Row(lambda case: vi.ForwardKL(vi.sources.TemperedSMC()), "forward KL"),
    "ForwardKL(ScoreClimbing())": Row(lambda case: vi.ForwardKL(vi.sources.ScoreClimbing()), "forward KL"),
    "ForwardKL(WakeSleep())": Row(lambda case: vi.ForwardKL(vi.sources.WakeSleep()), "forward KL"),
    "AnnealedChi()": Row(lambda case: vi.AnnealedChi(), "Renyi -1", infinite_for="heavy"),
}

# Why some entries of these rows are beyond the limit, as far as it is known.
BEYOND = {
    "ForwardKL(ScoreClimbing())": (
        "its chains move slowly where q is unlike p, as a mean-field q on strong correlation is, and in heavy tails, "
        "where the squares that a variance is made of have themselves no finite variance"
    ),
    "ForwardKL(WakeSleep())": "its weights are those of a q narrower than p, and have no finite variance there",
    "FDivergence(pearson)": "its weights are normalised by their own sum, a bias of O(1 / num_draws)",
    "AnnealedChi()": "its weights are normalised by their own sum, a bias of O(1 / num_draws)",
    "KernelStein()": (
        "its gradient is noisy and weak, so fits end early, and it hardly sees how much mass either of two modes has"
    ),
}
