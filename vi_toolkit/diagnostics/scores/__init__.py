"""Log densities and their gradients at draws of q."""
