"""From a fitted q on towards the posterior: weights, a few steps of NUTS or SMC, linear response."""
