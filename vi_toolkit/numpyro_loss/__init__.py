"""Objectives as the loss of NumPyro's own SVI."""

from vi_toolkit.numpyro_loss.loss import NumPyroLoss as NumPyroLoss, as_numpyro_loss as as_numpyro_loss
