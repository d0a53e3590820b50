"""NumPyro, loaded whole.

ArviZ, where it is imported first, puts a lazily loaded ``numpyro`` into ``sys.modules``; a submodule that is imported
through it finds itself missing from its package (``module 'numpyro.distributions' has no attribute 'distribution'``).
Touching the package once loads all of it.
"""

import numpyro

VERSION = numpyro.__version__
