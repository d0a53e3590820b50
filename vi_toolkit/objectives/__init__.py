"""What is minimised."""

from vi_toolkit.objectives.forward_kl import ForwardKL as ForwardKL
from vi_toolkit.objectives.objective import Memory as Memory, Objective as Objective
from vi_toolkit.objectives.reverse_kl import ReverseKL as ReverseKL
