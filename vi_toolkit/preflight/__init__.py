"""What is looked at before a fit takes its first step, and once more when it has ended."""

from vi_toolkit.preflight.aftercare import (
    below_its_best as below_its_best,
    look_back as look_back,
    without_a_posterior as without_a_posterior,
)
from vi_toolkit.preflight.preflight import (
    Preflight as Preflight,
    nowhere_finite as nowhere_finite,
    preflight as preflight,
)
