"""The limits that the verdicts go by."""

KHAT_GOOD = 0.5
KHAT_USABLE = 0.7
EVEN_ESS = 0.95  # share of effective draws from which the weights are nearly all alike, whatever their k-hat
EVEN_GAP = 0.05  # nats of D(q||p) that go with it
MEAN_LIMIT = 0.1  # posterior standard deviations
SPREAD_LIMIT = 0.1  # of log sd: about 10 %
MASS_LIMIT = 0.02  # of the mass at a mode
SEARCH_MASS_LIMIT = 0.05  # of the mass at a mode, where a search has estimated it
GAP_LIMIT = 0.5  # nats of D(q||p): a q of the right mean and spread but the wrong shape
NUM_SES = 2.0  # an error counts for what is left of it after so many standard errors
FAR_OUT = 0.05  # of the mass of q, where its density is lowest
TAIL_LIMIT = 0.025  # of the mass of p, more than q has there
