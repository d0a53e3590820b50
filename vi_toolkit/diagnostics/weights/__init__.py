"""What importance weights of draws of q tell: k-hat, evidence, bounds, divergences."""
