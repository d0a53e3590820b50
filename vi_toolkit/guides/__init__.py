"""Families of approximations."""

from vi_toolkit.guides.autoguide import from_autoguide as from_autoguide
from vi_toolkit.guides.full_rank_normal import FullRankNormal as FullRankNormal
from vi_toolkit.guides.guide import Guide as Guide
from vi_toolkit.guides.low_rank_normal import LowRankNormal as LowRankNormal
from vi_toolkit.guides.mean_field_normal import MeanFieldNormal as MeanFieldNormal
from vi_toolkit.guides.normal_mixture import NormalMixture as NormalMixture
from vi_toolkit.guides.student_t import StudentT as StudentT
