"""What is minimised."""

from vi_toolkit.objectives import generators as generators
from vi_toolkit.objectives.annealed_chi import AnnealedChi as AnnealedChi
from vi_toolkit.objectives.chi import Chi as Chi
from vi_toolkit.objectives.f_divergence import FDivergence as FDivergence, JensenShannon as JensenShannon
from vi_toolkit.objectives.fisher import Fisher as Fisher
from vi_toolkit.objectives.forward_kl import ForwardKL as ForwardKL
from vi_toolkit.objectives.generators import Generator as Generator
from vi_toolkit.objectives.log_variance import LogVariance as LogVariance
from vi_toolkit.objectives.log_weights import LogWeightObjective as LogWeightObjective
from vi_toolkit.objectives.objective import Memory as Memory, Objective as Objective
from vi_toolkit.objectives.renyi import IWAE as IWAE, Renyi as Renyi
from vi_toolkit.objectives.reverse_kl import ReverseKL as ReverseKL
from vi_toolkit.objectives.stein import KernelStein as KernelStein
from vi_toolkit.objectives.tail_adaptive import TailAdaptive as TailAdaptive
