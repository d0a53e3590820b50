"""What is approximated: log densities on R^dim."""

from vi_toolkit.targets.log_density import from_log_density as from_log_density
from vi_toolkit.targets.log_mass import from_log_mass as from_log_mass
from vi_toolkit.targets.numpyro_model import from_numpyro as from_numpyro
from vi_toolkit.targets.target import Frozen as Frozen, Site as Site, Target as Target
