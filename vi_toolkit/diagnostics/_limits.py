"""The limits that the verdicts go by."""

KHAT_GOOD = 0.5
KHAT_USABLE = 0.7
MEAN_LIMIT = 0.1  # posterior standard deviations
SPREAD_LIMIT = 0.1  # of log sd: about 10 %
MASS_LIMIT = 0.02  # of the mass at a mode
GAP_LIMIT = 0.5  # nats of D(q||p): a q of the right mean and spread but the wrong shape
NUM_SES = 2.0  # an error counts for what is left of it after so many standard errors
