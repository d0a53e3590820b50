"""How good an approximation is: arrays or a distribution in, numbers and a verdict out."""

from vi_toolkit.diagnostics.check import Check as Check, Tolerances as Tolerances, check as check
from vi_toolkit.diagnostics.convergence.agreement import Agreement as Agreement, agreement as agreement
from vi_toolkit.diagnostics.convergence.convergence import (
    Convergence as Convergence,
    Motion as Motion,
    find_convergence as find_convergence,
)
from vi_toolkit.diagnostics.diagnose import diagnose as diagnose
from vi_toolkit.diagnostics.diagnosis import Diagnosis as Diagnosis
from vi_toolkit.diagnostics.judge import judge as judge
from vi_toolkit.diagnostics.moments import (
    Measured as Measured,
    Moments as Moments,
    log_sd_ratios as log_sd_ratios,
    mean_errors as mean_errors,
    moments_of as moments_of,
    moments_of_draws as moments_of_draws,
    reweighting_moves as reweighting_moves,
)
from vi_toolkit.diagnostics.repair.linear_response import (
    LinearResponse as LinearResponse,
    linear_response as linear_response,
)
from vi_toolkit.diagnostics.repair.refine import (
    Refined as Refined,
    refine_by_nuts as refine_by_nuts,
    refine_by_smc as refine_by_smc,
)
from vi_toolkit.diagnostics.repair.reweight import (
    Resampled as Resampled,
    Reweighted as Reweighted,
    reweight as reweight,
)
from vi_toolkit.diagnostics.scores.roughness import roughness as roughness
from vi_toolkit.diagnostics.scores.stein_test import (
    ScorePair as ScorePair,
    SteinTest as SteinTest,
    fisher_divergence as fisher_divergence,
    scores_of as scores_of,
    stein_test as stein_test,
)
from vi_toolkit.diagnostics.search.basins import Basins as Basins
from vi_toolkit.diagnostics.search.modes import masses_of_shares as masses_of_shares, mode_masses as mode_masses
from vi_toolkit.diagnostics.shape.shape import Finding as Finding, Shape as Shape, find_shape as find_shape
from vi_toolkit.diagnostics.verdict import (
    Distances as Distances,
    Evidence as Evidence,
    Judgement as Judgement,
    Searched as Searched,
    Verdict as Verdict,
)
from vi_toolkit.diagnostics.weights.bounds import Bracket as Bracket, bracket as bracket
from vi_toolkit.diagnostics.weights.bridge import bridge as bridge
from vi_toolkit.diagnostics.weights.divergence import forward_kl as forward_kl, reverse_kl as reverse_kl
from vi_toolkit.diagnostics.weights.error_bounds import ErrorBounds as ErrorBounds, error_bounds as error_bounds
from vi_toolkit.diagnostics.weights.evidence import (
    Estimate as Estimate,
    effective_draws as effective_draws,
    elbo as elbo,
    log_evidence as log_evidence,
    nearly_even as nearly_even,
)
from vi_toolkit.diagnostics.weights.khat_error import (
    khat_with_error as khat_with_error,
    parameter_khats as parameter_khats,
)
from vi_toolkit.diagnostics.weights.psis import Smoothed as Smoothed, smooth as smooth
