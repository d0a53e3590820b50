"""How good an approximation is: arrays or a distribution in, numbers and a verdict out."""

from vi_toolkit.diagnostics.bridge import bridge as bridge
from vi_toolkit.diagnostics.check import Check as Check, Tolerances as Tolerances, check as check
from vi_toolkit.diagnostics.diagnose import diagnose as diagnose
from vi_toolkit.diagnostics.diagnosis import Diagnosis as Diagnosis
from vi_toolkit.diagnostics.divergence import forward_kl as forward_kl, reverse_kl as reverse_kl
from vi_toolkit.diagnostics.evidence import (
    Estimate as Estimate,
    effective_draws as effective_draws,
    elbo as elbo,
    log_evidence as log_evidence,
)
from vi_toolkit.diagnostics.judge import judge as judge
from vi_toolkit.diagnostics.linear_response import LinearResponse as LinearResponse, linear_response as linear_response
from vi_toolkit.diagnostics.modes import masses_of_shares as masses_of_shares, mode_masses as mode_masses
from vi_toolkit.diagnostics.moments import (
    Measured as Measured,
    Moments as Moments,
    log_sd_ratios as log_sd_ratios,
    mean_errors as mean_errors,
    moments_of as moments_of,
    moments_of_draws as moments_of_draws,
    reweighting_moves as reweighting_moves,
)
from vi_toolkit.diagnostics.psis import Smoothed as Smoothed, smooth as smooth
from vi_toolkit.diagnostics.reweight import Reweighted as Reweighted, reweight as reweight
from vi_toolkit.diagnostics.verdict import (
    Distances as Distances,
    Evidence as Evidence,
    Judgement as Judgement,
    Verdict as Verdict,
)
