# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Two directions of KL
#
# A guide q can be fitted to a posterior p by minimising the *reverse* divergence D(q‖p) or the *forward*
# divergence D(p‖q). On a posterior that lies in the guide's family both find it. Where the guide cannot follow
# the posterior they part, and this notebook shows how, against posteriors that are known exactly.

# %%
import jax
import numpy as np
from IPython.display import Markdown

import vi_toolkit as vi

jax.config.update("jax_enable_x64", True)  # before anything is computed
key = jax.random.key(0)

# %% [markdown]
# ## One normal, two modes
#
# The posterior has 30 % of its mass on the left and 70 % on the right.

# %%
modes = vi.exact.gaussian_mixture([0.3, 0.7], [[-3.0], [3.0]], [[[1.0]], [[1.0]]])
methods = {
    "reverse KL": vi.gradient(vi.FullRankNormal(), vi.ReverseKL()),
    "forward KL": vi.gradient(vi.FullRankNormal(), vi.ForwardKL()),
}
comparison = vi.compare(key, modes.target, methods, reference=modes)
figure = vi.plot_comparison(key, comparison)

# %%
for name, diagnosis in comparison.diagnoses.items():
    print(f"{name}: {diagnosis.sentence}\n")

# %% [markdown]
# Reverse KL pays for q where p is small, so it takes one mode and leaves the other: its loss against the evidence
# is -log 0.7 = 0.36 nats, the mass that it misses. Forward KL pays for p where q is small, so it covers both
# modes, with p's mean and variance, and puts mass between them where there is none.

# %%
reverse = comparison.diagnoses["reverse KL"]
print(f"D(q||p) of the reverse fit: {reverse.reverse_kl:.3f} nats; -log 0.7 = {-np.log(0.7):.3f}")
forward = comparison.fits["forward KL"].posterior
print(f"forward fit: mean {float(forward.mean[0]):.2f}, variance {float(forward.variance[0]):.2f}")
print(f"exact:       mean {modes.mean[0]:.2f}, variance {modes.covariance[0, 0]:.2f}")

# %% [markdown]
# ## Without randomness: three posteriors, two families
#
# The same by quadrature, so that nothing depends on draws or on an optimiser's luck: two modes, a banana and a heavy
# tail, each approximated in both directions by one Gaussian and by a mixture of two. Then two modes of equal weight
# are moved apart, and every solution of reverse KL is followed.

# %%
result = vi.experiments.which_way_round()

# %%
Markdown(result.conclusion)

# %%
result.table

# %% [markdown]
# ## Independent coordinates, a correlated posterior
#
# A mean-field normal has no correlations. With the precision matrix P and the covariance C of a normal posterior,
# its reverse optimum has the conditional standard deviations 1/√P_ii, which are too small, and its forward
# optimum the marginal ones √C_ii.

# %%
gaussian = vi.exact.gaussian_mixture([1.0], [[0.0, 0.0]], [[[1.0, 0.9], [0.9, 1.0]]])
methods = {
    "mean-field, reverse": vi.gradient(vi.MeanFieldNormal(), vi.ReverseKL()),
    "mean-field, forward": vi.gradient(vi.MeanFieldNormal(), vi.ForwardKL()),
}
comparison = vi.compare(key, gaussian.target, methods, reference=gaussian)
figure = vi.plot_comparison(key, comparison)

# %%
conditional = 1 / np.sqrt(np.diag(np.linalg.inv(gaussian.covariance)))
for name, expected in {"mean-field, reverse": conditional, "mean-field, forward": gaussian.sd}.items():
    fitted = np.sqrt(np.asarray(comparison.fits[name].posterior.variance))
    print(f"{name}: fitted sds {fitted.round(3)}, closed form {expected.round(3)}")

# %% [markdown]
# ## Both at once: the direction or the family?
#
# With a guide that can follow the posterior, the direction no longer matters.

# %%
mixture = vi.NormalMixture(2)
methods = {"reverse KL": vi.gradient(mixture, vi.ReverseKL()), "forward KL": vi.gradient(mixture, vi.ForwardKL())}
comparison = vi.compare(key, modes.target, methods, reference=modes)
print(comparison)

# %% [markdown]
# ## Both sides free
#
# So far p was given. Where p learns as well, it matters which of H(p, q) and D(p‖q) is minimised: for a fixed p they
# differ by a constant, and here this constant, H(p), is what is minimised too.

# %%
result = vi.experiments.both_sides_free()

# %%
Markdown(result.conclusion)

# %%
result.table

# %% [markdown]
# ## Not a distance
#
# That there are two directions at all is because D(p‖q) is no distance. Coins are enough to see it.

# %%
result = vi.experiments.not_a_distance()

# %%
Markdown(result.conclusion)

# %%
result.table
