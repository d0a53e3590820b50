import subprocess
import sys

SCRIPT = """
import arviz
import vi_toolkit as vi
import jax.numpy as jnp, numpyro, numpyro.distributions as dist
target = vi.from_numpyro(lambda: numpyro.sample("scale", dist.HalfNormal(1.0)))
print(round(float(target.log_density(jnp.zeros(1))), 3))
"""


def test_arviz_may_be_imported_first():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == "-0.726"  # log(sqrt(2 / pi)) - 1/2
