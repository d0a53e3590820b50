"""The optimum table: every objective's minimiser by other means, against the fitted one."""
