"""Variational inference by the divergence of your choice, held against posteriors that are known exactly."""

from vi_toolkit import diagnostics as diagnostics
from vi_toolkit import estimators as estimators
from vi_toolkit import exact as exact
from vi_toolkit import zoo as zoo
from vi_toolkit.algorithms import Method as Method
from vi_toolkit.algorithms import gradient as gradient
from vi_toolkit.compare import Comparison as Comparison
from vi_toolkit.compare import compare as compare
from vi_toolkit.diagnostics import Diagnosis as Diagnosis
from vi_toolkit.diagnostics import Reweighted as Reweighted
from vi_toolkit.diagnostics import Verdict as Verdict
from vi_toolkit.diagnostics import diagnose as diagnose
from vi_toolkit.diagnostics import reweight as reweight
from vi_toolkit.fit import Fit as Fit
from vi_toolkit.fit import fit as fit
from vi_toolkit.fit import resume as resume
from vi_toolkit.guides import FullRankNormal as FullRankNormal
from vi_toolkit.guides import Guide as Guide
from vi_toolkit.guides import LowRankNormal as LowRankNormal
from vi_toolkit.guides import MeanFieldNormal as MeanFieldNormal
from vi_toolkit.guides import NormalMixture as NormalMixture
from vi_toolkit.guides import StudentT as StudentT
from vi_toolkit.guides import from_autoguide as from_autoguide
from vi_toolkit.io import load as load
from vi_toolkit.io import save as save
from vi_toolkit.objectives import ForwardKL as ForwardKL
from vi_toolkit.objectives import Objective as Objective
from vi_toolkit.objectives import ReverseKL as ReverseKL
from vi_toolkit.plots import plot_comparison as plot_comparison
from vi_toolkit.plots import plot_fit as plot_fit
from vi_toolkit.targets import Target as Target
from vi_toolkit.targets import from_log_density as from_log_density
from vi_toolkit.targets import from_numpyro as from_numpyro
from vi_toolkit.tree import exact_to_datatree as exact_to_datatree
from vi_toolkit.tree import to_datatree as to_datatree
from vi_toolkit.windows import Status as Status

__all__ = [
    "Comparison",
    "Diagnosis",
    "Fit",
    "ForwardKL",
    "FullRankNormal",
    "Guide",
    "LowRankNormal",
    "MeanFieldNormal",
    "Method",
    "NormalMixture",
    "Objective",
    "ReverseKL",
    "Reweighted",
    "Status",
    "StudentT",
    "Target",
    "Verdict",
    "compare",
    "diagnose",
    "diagnostics",
    "estimators",
    "exact",
    "exact_to_datatree",
    "fit",
    "from_autoguide",
    "from_log_density",
    "from_numpyro",
    "gradient",
    "load",
    "plot_comparison",
    "plot_fit",
    "resume",
    "reweight",
    "save",
    "to_datatree",
    "zoo",
]
