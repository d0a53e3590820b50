"""Variational inference by the divergence of your choice, held against posteriors that are known exactly."""

from vi_toolkit import (
    datasets as datasets,
    diagnostics as diagnostics,
    estimators as estimators,
    exact as exact,
    experiments as experiments,
    information as information,
    zoo as zoo,
)
from vi_toolkit.algorithms import Method as Method, gradient as gradient
from vi_toolkit.compare import Comparison as Comparison, compare as compare
from vi_toolkit.diagnostics import (
    Check as Check,
    Diagnosis as Diagnosis,
    Reweighted as Reweighted,
    Tolerances as Tolerances,
    Verdict as Verdict,
    check as check,
    diagnose as diagnose,
    reweight as reweight,
)
from vi_toolkit.fit import Fit as Fit, fit as fit, resume as resume
from vi_toolkit.guides import (
    FullRankNormal as FullRankNormal,
    Guide as Guide,
    LowRankNormal as LowRankNormal,
    MeanFieldNormal as MeanFieldNormal,
    NormalMixture as NormalMixture,
    StudentT as StudentT,
    from_autoguide as from_autoguide,
)
from vi_toolkit.io import load as load, save as save
from vi_toolkit.objectives import ForwardKL as ForwardKL, Objective as Objective, ReverseKL as ReverseKL
from vi_toolkit.plots import plot_comparison as plot_comparison, plot_fit as plot_fit, plot_gallery as plot_gallery
from vi_toolkit.targets import Target as Target, from_log_density as from_log_density, from_numpyro as from_numpyro
from vi_toolkit.tree import exact_to_datatree as exact_to_datatree, to_datatree as to_datatree
from vi_toolkit.windows import Status as Status

__all__ = [
    "Check",
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
    "Tolerances",
    "Verdict",
    "check",
    "compare",
    "datasets",
    "diagnose",
    "diagnostics",
    "estimators",
    "exact",
    "exact_to_datatree",
    "experiments",
    "fit",
    "from_autoguide",
    "from_log_density",
    "from_numpyro",
    "gradient",
    "information",
    "load",
    "plot_comparison",
    "plot_fit",
    "plot_gallery",
    "resume",
    "reweight",
    "save",
    "to_datatree",
    "zoo",
]
