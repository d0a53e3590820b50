"""Draws of q and of proposals beyond it, added look by look, and the weights that make them draws of p."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vi_toolkit.diagnostics.scores._scores import Scores, joined, score
from vi_toolkit.diagnostics.search._proposals import Proposal, draw_from, log_mixture
from vi_toolkit.diagnostics.weights.psis import Smoothed, smooth
from vi_toolkit.fit import Fit


@dataclass(frozen=True)
class Search:
    """What has been looked at: ``scores`` at draws of q, ``num_q`` of them, and then at those of the proposals."""

    scores: Scores
    num_q: int
    proposals: tuple[Proposal, ...] = ()
    nums: tuple[int, ...] = ()

    def look(self, rng: np.random.Generator, fit: Fit, proposals: list[Proposal], num_draws: int) -> Search:
        """With draws of further proposals."""
        draws = np.concatenate([draw_from(rng, proposal, num_draws) for proposal in proposals])
        nums = (*self.nums, *[num_draws] * len(proposals))
        return Search(joined(self.scores, score(fit, draws)), self.num_q, (*self.proposals, *proposals), nums)

    def weigh(self) -> Smoothed:
        """Smoothed weights p~ / r, r being the mixture of q and all proposals, by the share of the draws of each."""
        log_p, log_q = self.scores.log_p, self.scores.log_q
        log_p = np.where(np.isnan(log_p) | (log_p == np.inf), -np.inf, log_p)  # where it is no number, it is no mass
        log_q = np.where(np.isnan(log_q), -np.inf, log_q)
        log_r = log_mixture(log_q, self.num_q, self.proposals, self.nums, self.scores.draws)
        with np.errstate(invalid="ignore"):
            return smooth(np.where(log_p == -np.inf, -np.inf, log_p - log_r), rounding=self.scores.rounding)
