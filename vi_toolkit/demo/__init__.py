"""The demonstration: reverse and forward KL on three posteriors that are known, in tables, pictures and words."""

from vi_toolkit.demo.demonstration import PROBLEMS as PROBLEMS, Demo as Demo, Section as Section, run as run
from vi_toolkit.demo.problems import (
    Problem as Problem,
    Sizes as Sizes,
    diabetes as diabetes,
    eight_schools as eight_schools,
    eight_schools_model as eight_schools_model,
    two_modes as two_modes,
)
