"""Writes docs/alpha_sweep.png: one normal by Renyi's divergences of orders from -2 to 2."""

import sys
from pathlib import Path

import jax
import matplotlib

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    jax.config.update("jax_enable_x64", True)  # before anything is computed
    matplotlib.use("Agg")
    import vi_toolkit as vi

    swept = vi.experiments.alpha_sweep(jax.random.key(0))
    print(swept)
    swept.figure.savefig(ROOT / "docs" / "alpha_sweep.png", dpi=110)
    return 0


if __name__ == "__main__":
    sys.exit(main())
