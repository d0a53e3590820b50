"""The ladder: from a cheap normal to whatever the posterior asks for, until the diagnosis is good."""

from vi_toolkit.approximate.budget import Budget as Budget
from vi_toolkit.approximate.ladder import Approximation as Approximation, Rung as Rung, approximate as approximate
