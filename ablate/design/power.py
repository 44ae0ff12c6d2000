"""What a number of seeds can detect, and how far the best of many lies above its true value (statistics.md 4.8, 7)."""

import math

from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.special import gammaln, ndtr

from ablate.design.paired import t_quantile


def power(effect: float, sd: float, n: int, alpha: float = 0.05) -> float:
    """Power of the two-sided paired t-test for a true mean difference, `sd` of the differences, n >= 2 pairs.

    Integrates over c = s / sigma, chi_df / sqrt(df): scipy's noncentral t is NaN where the noncentrality is large.
    """
    df = n - 1
    ncp, critical = abs(effect) * math.sqrt(n) / sd, t_quantile(1 - alpha / 2, df)
    constant = math.log(2) + df / 2 * math.log(df / 2) - gammaln(df / 2)

    def integrand(c: float) -> float:
        density = math.exp(constant + (df - 1) * math.log(c) - df * c * c / 2)
        return float(ndtr(ncp - critical * c) + ndtr(-ncp - critical * c)) * density

    spread = 10 / math.sqrt(df)
    low, high = max(0.0, 1 - spread), 1 + spread
    step = min(max(ncp / critical, low), high)  # where the integrand falls, steeply if `critical` is large
    parts = [(low, step), (step, high)]
    return sum(quad(integrand, a, b, epsabs=1e-13, epsrel=1e-11, limit=200)[0] for a, b in parts if a < b)


def mde(sd: float, n: int, alpha: float = 0.05, target: float = 0.8) -> float | None:
    """Minimum detectable effect: the true mean difference found with power `target`; None for fewer than 2 pairs.

    `sd` is that of the differences, and the result has its units; alpha / m gives Holm's hardest step.
    """
    if n < 2:
        return None
    if sd == 0:
        return 0.0
    guess = (t_quantile(1 - alpha / 2, n - 1) + t_quantile(target, n - 1)) / math.sqrt(n)
    return sd * float(brentq(lambda effect: power(effect, 1.0, n, alpha) - target, 0.2 * guess, 3 * guess, xtol=1e-13))


def expected_max(k: int) -> float:
    """Mean of the largest of k standard normals: so many seed sds by which the best of k equals flatters itself.

    k = 2 .564190, 24 1.947674, 100 2.507594; 0 for k <= 1.
    """
    if k <= 1:
        return 0.0
    above = quad(lambda x: 1 - ndtr(x) ** k, 0, 12, epsabs=1e-13, limit=200)[0]
    return float(above - quad(lambda x: ndtr(x) ** k, -12, 0, epsabs=1e-13, limit=200)[0])
