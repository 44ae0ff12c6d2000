"""What a number of seeds can detect, and how far the best of many lies above its true value (statistics.md 4.8, 7)."""

import functools
import itertools
import math
from collections.abc import Callable

from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.special import gammaln, ndtr, ndtri

from ablate.design.paired import t_quantile

PAIR = 2  # sum of the squared weights of arm minus reference
MOST = 10_000  # seeds beyond which nobody plans
FLOOR = 64  # seeds beyond which 2 / 2^n is of no interest


def power(effect: float, sd: float, n: int, alpha: float = 0.05) -> float:
    """Power of the two-sided paired t-test for a true mean difference, `sd` of the differences, n >= 2 pairs."""
    return power_t(abs(effect) * math.sqrt(n) / sd, n - 1, alpha)


def power_t(ncp: float, df: int, alpha: float = 0.05) -> float:
    """Probability that |T| passes its critical value, T noncentral t with df >= 1.

    Integrates over c = s / sigma, chi_df / sqrt(df): scipy's noncentral t is NaN where the noncentrality is large.
    """
    critical = t_quantile(1 - alpha / 2, df)
    step = ncp / critical  # where the integrand falls, steeply if `critical` is large
    return over_spread(lambda c: float(ndtr(ncp - critical * c) + ndtr(-ncp - critical * c)), df, step)


def over_spread(given: Callable[[float], float], df: int, *steps: float) -> float:
    """Mean of `given` over c ~ chi_df / sqrt(df), the estimated over the true standard deviation.

    `steps` are where `given` bends or falls, so that the integration looks there.
    """
    constant = math.log(2) + df / 2 * math.log(df / 2) - gammaln(df / 2)

    def integrand(c: float) -> float:
        return given(c) * math.exp(constant + (df - 1) * math.log(c) - df * c * c / 2)

    spread = 10 / math.sqrt(df)
    low, high = max(0.0, 1 - spread), 1 + spread
    ends = [low, *sorted(min(max(step, low), high) for step in steps), high]
    parts = [(a, b) for a, b in itertools.pairwise(ends) if a < b]
    return sum(quad(integrand, a, b, epsabs=1e-13, epsrel=1e-11, limit=200)[0] for a, b in parts)


def mde(sd: float, n: int, alpha: float = 0.05, target: float = 0.8) -> float | None:
    """Minimum detectable effect: the true mean difference found with power `target`; None for fewer than 2 pairs.

    `sd` is that of the differences, and the result has its units; alpha / m gives Holm's hardest step.
    """
    return None if n < 2 else sd / math.sqrt(n) * detectable(n - 1, alpha, target)


@functools.cache
def detectable(df: int, alpha: float, target: float) -> float:
    """The minimum detectable effect in standard errors, for a t-test with df >= 1; 0 for a target up to alpha."""
    if target <= alpha:
        return 0.0  # that much power is had without an effect
    high = max(1.0, t_quantile(1 - alpha / 2, df) + t_quantile(target, df))
    while power_t(high, df, alpha) < target:
        high *= 2
    return float(brentq(lambda ncp: power_t(ncp, df, alpha) - target, 0.0, high, xtol=1e-13))


def mde_by_eye(sd: float, n: int, alpha: float = 0.05, target: float = 0.8) -> float:
    """The usual approximation of `mde`: 1-15 % low at n = 3-5, under 3.5 % from n = 8. For n >= 2."""
    return (t_quantile(1 - alpha / 2, n - 1) + t_quantile(target, n - 1)) * sd / math.sqrt(n)


def contrast_sd(rho: float, sum_of_squares: float = PAIR, sigma: float = 1.0) -> float:
    """Standard deviation over seeds of a contrast: sigma sqrt((1 - rho) sum w^2)."""
    return sigma * math.sqrt((1 - rho) * sum_of_squares)


def power_unpaired(effect: float, n: int, alpha: float = 0.05, sigma: float = 1.0) -> float:
    """Power of the two-sample t-test with n >= 2 seeds per arm: what is left when pairs are torn apart."""
    return power_t(abs(effect) / sigma * math.sqrt(n / 2), 2 * n - 2, alpha)


def seeds_for(effect: float, sd: float, alpha: float = 0.05, target: float = 0.8) -> int | None:
    """Fewest pairs with this power for a true mean difference of `effect`; None above 10,000."""
    return fewest(lambda n: power(effect, sd, n, alpha) >= target) if effect else None


def tost_power(
    margin: float, sd: float, n: int, alpha: float = 0.05, effect: float = 0.0, df: int | None = None
) -> float:
    """Probability that two one-sided t-tests find an effect of this true size within +-margin; n >= 2 pairs.

    `df` is that of the standard error, n - 1 unless given.
    """
    df = n - 1 if df is None else df
    critical, root = t_quantile(1 - alpha, df), math.sqrt(n) / sd

    def given(c: float) -> float:
        upper, lower = (margin - effect) * root - critical * c, (-margin - effect) * root + critical * c
        return float(ndtr(upper) - ndtr(lower)) if upper > lower else 0.0

    return over_spread(given, df, margin * root / critical)


def seeds_for_equivalence(
    margin: float,
    sd: float,
    alpha: float = 0.05,
    target: float = 0.8,
    effect: float = 0.0,
    df: Callable[[int], int] = lambda n: n - 1,
) -> int | None:
    """Fewest pairs with this power to show equivalence; None above 10,000, or where the effect reaches the margin.

    `df` gives the degrees of freedom at n pairs.
    """
    if abs(effect) >= margin:
        return None
    return fewest(lambda n: df(n) > 0 and tost_power(margin, sd, n, alpha, effect, df(n)) >= target)


def fewest(reached: Callable[[int], bool]) -> int | None:
    """The smallest n from 2 on that reaches it, for what more seeds never lose: doubling, then halving."""
    high = 2
    while not reached(high):
        high *= 2
        if high > MOST:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high


def noether(gamma: float, alpha: float = 0.05, target: float = 0.8) -> int:
    """Runs per arm to find P(better) = gamma by a one-sided Mann-Whitney test (Noether 1987)."""
    z = float(ndtri(1 - alpha) + ndtri(target))
    return math.ceil((z / (math.sqrt(6) * (gamma - 0.5))) ** 2)


def floor(n: int) -> float:
    """Smallest exact two-sided p that n pairs can give: 2 / 2^n."""
    return 2.0 ** (1 - n)


def attained(n: int, alpha: float = 0.05) -> float:
    """Level that the exact sign flip keeps with n pairs without ties: the largest multiple of its floor up to alpha."""
    return math.floor(alpha * 2 ** (n - 1)) * floor(n)


def seeds_for_sign_flip(m: int, alpha: float = 0.05) -> int:
    """Fewest seeds at which the exact sign flip can pass Holm's first step among m contrasts."""
    return next(n for n in range(1, FLOOR) if floor(n) <= alpha / max(1, m))


def expected_max(k: int) -> float:
    """Mean of the largest of k standard normals: so many seed sds by which the best of k equals flatters itself.

    k = 2 .564190, 24 1.947674, 100 2.507594; 0 for k <= 1.
    """
    if k <= 1:
        return 0.0
    above = quad(lambda x: 1 - ndtr(x) ** k, 0, 12, epsabs=1e-13, limit=200)[0]
    return float(above - quad(lambda x: ndtr(x) ** k, -12, 0, epsabs=1e-13, limit=200)[0])
