"""Two directions of one divergence: reverse KL seeks a mode, forward KL covers the mass.

    python examples/two_directions.py [FOLDER]

writes two_directions.png into the folder, by default the working directory.
"""

import sys
from pathlib import Path

import jax
import matplotlib

import vi_toolkit as vi


def main(folder="."):
    """Fits one normal to two modes, both ways, and draws both over the exact density."""
    jax.config.update("jax_enable_x64", True)  # before anything is computed
    matplotlib.use("Agg")
    modes = vi.exact.gaussian_mixture([0.4, 0.6], [[-4.0], [4.0]], [[[1.0]], [[1.0]]])
    methods = {
        "reverse KL": vi.gradient(vi.FullRankNormal(), vi.ReverseKL()),
        "forward KL": vi.gradient(vi.FullRankNormal(), vi.ForwardKL()),
    }
    comparison = vi.compare(jax.random.key(0), modes.target, methods, reference=modes)
    for name, diagnosis in comparison.diagnoses.items():
        print(f"{name}: {diagnosis.sentence}")
    path = Path(folder) / "two_directions.png"
    vi.plot_comparison(jax.random.key(1), comparison).savefig(path)
    print(f"The picture: {path}")


if __name__ == "__main__":
    main(*sys.argv[1:2])
