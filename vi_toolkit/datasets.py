"""Small data sets that are public facts, as NumPy arrays: for examples, experiments and tests, without any download."""

from __future__ import annotations

import numpy as np

# Effects of coaching on a test in eight schools, in points, and their standard errors.
# Source: Rubin (1981), Estimation in parallel randomized experiments, doi:10.3102/10769986006004377.
EIGHT_SCHOOLS = ("A", "B", "C", "D", "E", "F", "G", "H")
EIGHT_SCHOOLS_EFFECTS = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
EIGHT_SCHOOLS_SES = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])

# Explosions in British coal mines that killed ten or more, by year: 191 from 1851 to 1962.
# Source: Jarrett (1979), A note on the intervals between coal-mining disasters, doi:10.1093/biomet/66.1.191.
COAL_MINING_YEARS = np.arange(1851, 1963)
COAL_MINING_DISASTERS = np.array(
    [
        *(4, 5, 4, 1, 0, 4, 3, 4, 0, 6, 3, 3, 4, 0, 2, 6, 3, 3, 5, 4, 5, 3, 1, 4, 4, 1, 5, 5),
        *(3, 4, 2, 5, 2, 2, 3, 4, 2, 1, 3, 2, 2, 1, 1, 1, 1, 3, 0, 0, 1, 0, 1, 1, 0, 0, 3, 1),
        *(0, 3, 2, 2, 0, 1, 1, 1, 0, 1, 0, 1, 0, 0, 0, 2, 1, 0, 0, 0, 1, 1, 0, 2, 3, 3, 1, 1),
        *(2, 1, 1, 1, 1, 2, 4, 2, 0, 0, 0, 1, 4, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 1),
    ]
)

# Beetles exposed to carbon disulphide for five hours: log10 of the dose in mg/l, how many beetles, how many died.
# Source: Bliss (1935), The calculation of the dosage-mortality curve, doi:10.1111/j.1744-7348.1935.tb07713.x.
BEETLES_LOG_DOSE = np.array([1.6907, 1.7242, 1.7552, 1.7842, 1.8113, 1.8369, 1.8610, 1.8839])
BEETLES_EXPOSED = np.array([59, 60, 62, 56, 63, 59, 62, 60])
BEETLES_KILLED = np.array([6, 13, 18, 28, 52, 53, 61, 60])

# Failures of O-rings on 23 flights of the space shuttle before the accident of 1986 (1: at least one failed), by the
# temperature at launch in degrees Fahrenheit.
# Source: Dalal, Fowlkes and Hoadley (1989), Risk analysis of the space shuttle, doi:10.1080/01621459.1989.10478858.
O_RINGS_FAHRENHEIT = np.array(
    [66, 70, 69, 68, 67, 72, 73, 70, 57, 63, 70, 78, 67, 53, 67, 75, 70, 81, 76, 79, 75, 76, 58]
)
O_RINGS_FAILED = np.array([0, 1, 0, 0, 0, 0, 0, 0, 1, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 1])
