"""Families of approximations."""

from vi_toolkit.guides.autoguide import from_autoguide as from_autoguide
from vi_toolkit.guides.automatic_structured import automatic_structured as automatic_structured
from vi_toolkit.guides.block_normal import BlockNormal as BlockNormal
from vi_toolkit.guides.categorical import MeanFieldCategorical as MeanFieldCategorical
from vi_toolkit.guides.flows import (
    AffineCouplingFlow as AffineCouplingFlow,
    AutoregressiveFlow as AutoregressiveFlow,
    BlockAutoregressiveFlow as BlockAutoregressiveFlow,
    SplineCouplingFlow as SplineCouplingFlow,
    TriangularSplineFlow as TriangularSplineFlow,
)
from vi_toolkit.guides.full_rank_normal import FullRankNormal as FullRankNormal
from vi_toolkit.guides.guide import Guide as Guide
from vi_toolkit.guides.low_rank_normal import LowRankNormal as LowRankNormal
from vi_toolkit.guides.mean_field_normal import MeanFieldNormal as MeanFieldNormal
from vi_toolkit.guides.mean_field_student_t import MeanFieldStudentT as MeanFieldStudentT
from vi_toolkit.guides.mixture import Mixture as Mixture, StratifiedMixture as StratifiedMixture
from vi_toolkit.guides.normal_mixture import NormalMixture as NormalMixture
from vi_toolkit.guides.numpyro_guide import from_numpyro_guide as from_numpyro_guide
from vi_toolkit.guides.product import ProductGuide as ProductGuide
from vi_toolkit.guides.sinh_arcsinh_normal import SinhArcsinhNormal as SinhArcsinhNormal
from vi_toolkit.guides.sparse_precision_normal import SparsePrecisionNormal as SparsePrecisionNormal
from vi_toolkit.guides.structured import StructuredNormal as StructuredNormal
from vi_toolkit.guides.student_t import StudentT as StudentT
