"""Prints seeded data sets as aggregates, each with what published packages make of its raw values (gbstats,
tea-tasting, statsmodels, scipy), or numpy by the formula where none has it. It shares nothing with the crate under test."""

import json
import sys

import numpy as np
from gbstats.bayesian.tests import EffectBayesianABTest, EffectBayesianConfig, GaussianPrior
from gbstats.frequentist.tests import FrequentistConfig, SequentialConfig, SequentialTwoSidedTTest, TwoSidedTTest
from gbstats.models.statistics import QuantileClusteredStatistic, RatioStatistic, SampleMeanStatistic
from scipy import stats
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW
from tea_tasting.aggr import Aggregates
from tea_tasting.metrics import RatioOfMeans

TUNING = 10_000
rng = np.random.default_rng(20260301)


def moments(x):
    sizes = {"max_abs": np.abs(x).max(), "mean_abs": np.abs(x).mean()}
    return {"n": len(x), "mean": x.mean(), "m2": ((x - x.mean()) ** 2).sum(), **sizes}


def joint(variables):
    """Of variables by rows: the moments of each, and the strict lower triangle of their cross moments."""
    about = variables - variables.mean(axis=1, keepdims=True)
    cross = about @ about.T
    triangle = [cross[i, j] for i in range(len(variables)) for j in range(i)]
    return {"variables": [moments(x) for x in variables], "co_moments": triangle}


def some(low=16, high=4000):
    """A number, small ones as often as large ones."""
    return int(np.exp(rng.uniform(np.log(low), np.log(high))))


def values(kind, n, effect=1.0):
    match kind:
        case "normal":
            return rng.normal(10 * effect, 4, n)
        case "lognormal":
            return rng.lognormal(1, 1, n) * effect
        case "count":
            return rng.poisson(3 * effect, n).astype(float)
        case "conversion":
            return (rng.random(n) < 0.4 * effect).astype(float)
        case "rare":
            return np.where(rng.random(n) < 0.3, rng.lognormal(3, 0.7, n) * effect, 0.0)


KINDS = ["normal", "lognormal", "count", "conversion", "rare"]


def pairs(n, effect=1.0):
    """Numerators and denominators, which are 0 for some."""
    views = rng.poisson(rng.gamma(2, 3, n)).astype(float)
    return np.array([rng.poisson(views * 0.3 * effect) + rng.random(n) * (views > 0), views])


def statistic(x):
    return SampleMeanStatistic(n=len(x), sum=x.sum(), sum_squares=(x**2).sum())


def ratio_statistic(x, y):
    parts = {"m_statistic": statistic(x), "d_statistic": statistic(y), "m_d_sum_of_products": (x * y).sum()}
    return RatioStatistic(n=len(x), **parts)


def lift_of(control, treatment, alpha):
    config = FrequentistConfig(difference_type="relative", alpha=alpha)
    test = TwoSidedTTest(control, treatment, config).compute_result()
    assert test.error_message is None, test
    return test.uplift.mean, test.uplift.stddev


def comparison():
    is_ratio = rng.random() < 0.35
    effect, kind = rng.uniform(0.85, 1.15), rng.choice(KINDS)
    drawn = [pairs(some(), by) if is_ratio else values(kind, some(), by)[None] for by in (1.0, effect)]
    if any(np.ptp(arm[0]) == 0 or arm[0].sum() <= 0 for arm in drawn):
        return comparison()
    control, treatment = [ratio_statistic(*arm) if is_ratio else statistic(arm[0]) for arm in drawn]
    alpha, prior_sd = rng.choice([0.1, 0.05, 0.01, 0.05 / 14]), rng.choice([0.02, 0.05, 0.3])
    lift, error = lift_of(control, treatment, alpha)
    found = {"control": joint(drawn[0]), "treatment": joint(drawn[1]), "alpha": alpha, "prior_sd": prior_sd}
    found |= {"lift": lift, "standard_error": error, "p_value": 2 * stats.norm.sf(abs(lift / error))}
    for name, difference_type in [("sequential", "relative"), ("sequential_difference", "absolute")]:
        config = SequentialConfig(difference_type=difference_type, alpha=alpha, sequential_tuning_parameter=TUNING)
        test = SequentialTwoSidedTTest(control, treatment, config).compute_result()
        found[name] = {"interval": test.ci, "p_value": test.p_value}
    found["bayes"] = [bayes(control, treatment, alpha, prior_sd, inverse) for inverse in (False, True)]
    if not is_ratio:
        found["difference"] = difference(*(arm[0] for arm in drawn), alpha)
    return found


def bayes(control, treatment, alpha, prior_sd, inverse):
    prior = GaussianPrior(mean=0, variance=prior_sd**2, proper=True)
    config = EffectBayesianConfig(difference_type="relative", alpha=alpha, inverse=inverse, prior_effect=prior)
    test = EffectBayesianABTest(control, treatment, config).compute_result()
    mean, deviation = test.uplift.mean, test.uplift.stddev
    # gbstats takes it as 1 less the other side for one of the two; scipy's tail has all digits.
    tail = stats.norm.sf(0, mean, deviation) if not inverse else stats.norm.cdf(0, mean, deviation)
    return {
        "mean": mean, "standard_deviation": deviation, "interval": test.ci,
        "better": test.chance_to_win, "better_tail": tail, "risk": test.risk[1],
    }  # fmt: skip


def difference(control, treatment, alpha):
    both = CompareMeans(DescrStatsW(treatment), DescrStatsW(control))
    return {
        "difference": treatment.mean() - control.mean(),
        "standard_error": both.std_meandiff_separatevar,
        "interval": both.zconfint_diff(alpha=alpha, usevar="unequal"),
    }


def linear(arm, figure):
    """The value of a figure, and its linear part for each subject about its mean."""
    if len(figure) == 1:
        return arm[figure[0]].mean(), arm[figure[0]] - arm[figure[0]].mean()
    x, y = arm[figure[0]], arm[figure[1]]
    return x.mean() / y.mean(), (x - x.mean() / y.mean() * y) / y.mean()


def thetas(whole, outcome, covariates):
    _, y = linear(whole, outcome)
    xs = np.array([linear(whole, covariate)[1] for covariate in covariates])
    if len(covariates) == 1:
        return [0.0] if np.ptp(xs[0]) == 0 else [np.cov(y, xs[0])[0, 1] / xs[0].var(ddof=1)]
    deviations = xs.std(axis=1)
    z = xs / np.where(deviations > 0, deviations, 1)[:, None]
    beta = np.linalg.solve(z @ z.T + np.eye(len(z)), z @ (y - y.mean()))
    return np.where(deviations > 0, beta / np.where(deviations > 0, deviations, 1), 0)


def adjusted(arms, outcome, covariates):
    """Of each arm the adjusted value and its standard error, then the standard errors of the lifts over the first."""
    whole = np.concatenate(arms, axis=1)
    theta = thetas(whole, outcome, covariates)
    found = []
    for arm in arms:
        value, residual = linear(arm, outcome)
        for covariate, factor in zip(covariates, theta):
            own, part = linear(arm, covariate)
            value -= factor * (own - linear(whole, covariate)[0])
            residual = residual - factor * part
        found.append((value, residual.std(ddof=1) / np.sqrt(arm.shape[1])))
    c, ce = found[0]
    return found, [float(np.sqrt(e**2 / c**2 + ce**2 * t**2 / c**4)) for t, e in found[1:]]


def tea_tasting(arms, outcome, covariates):
    """The adjusted means of two arms and the relative effect."""
    columns = [f"v{place}" for place in range(len(arms[0]))]
    aggregates = []
    for arm in arms:
        cov = np.cov(arm)
        aggregates.append(Aggregates(
            count_=arm.shape[1],
            mean_=dict(zip(columns, arm.mean(axis=1).tolist())),
            var_=dict(zip(columns, np.diag(cov).tolist())),
            cov_={(a, b): float(cov[i, j]) for i, a in enumerate(columns) for j, b in enumerate(columns) if i < j},
        ))  # fmt: skip
    names = [[columns[place] for place in figure] for figure in (outcome, covariates[0])]
    (numer, *denom), (numer_covariate, *denom_covariate) = names
    sides = numer, *(denom or [None]), numer_covariate, *(denom_covariate or [None])
    metric = RatioOfMeans(*sides, use_t=False, equal_var=False)
    result = metric.analyze_aggregates(*aggregates)
    return {"values": [result.control, result.treatment], "relative": result.rel_effect_size}


def before_and_after(n, effect, is_ratio, others):
    """An outcome, the same before, and other covariates: amounts, and the dummies of one property."""
    if is_ratio:
        before = pairs(n)
        after = pairs(n, effect)
        after[0] += 0.5 * np.minimum(before[0], 9) * (after[1] > 0)
        rows = [*after, *before]
    else:
        before = values(rng.choice(KINDS), n)
        rows = [values(rng.choice(["normal", "lognormal", "count"]), n, effect) + rng.uniform(-0.5, 2) * before, before]
    if others:
        country = rng.integers(0, others, n)
        rows += [rng.gamma(2, 50, n) + 3 * rows[0], rng.normal(size=n) * 1e-3]
        rows += [(country == place).astype(float) for place in range(others)]
    return np.array(rows)


def adjustment(count, others, is_ratio):
    arms = [before_and_after(some(30), rng.uniform(0.9, 1.1), is_ratio, others) for _ in range(count)]
    if rng.random() < 0.02 and not is_ratio:
        for arm in arms:
            arm[1] = 0.0
    outcome, covariates = ([0, 1], [[2, 3]]) if is_ratio else ([0], [[1]])
    covariates += [[place] for place in range(4 if is_ratio else 2, len(arms[0]))]
    found, errors = adjusted(arms, outcome, covariates)
    if found[0][0] <= 0:
        return adjustment(count, others, is_ratio)
    record = {"arms": [joint(arm) for arm in arms], "outcome": outcome, "covariates": covariates}
    record |= {"values": [value for value, _ in found], "errors": [error for _, error in found], "lift_errors": errors}
    if count == 2 and not others:
        record["tea_tasting"] = tea_tasting(arms, outcome, covariates)
    return record


class Percentile(QuantileClusteredStatistic):
    """Without the floor and the factor (n − 1)/n."""

    @property
    def variance(self):
        return self.variance_init * self.n / (self.n - 1)


def arm_percentile(level, subjects, effect):
    counts = rng.geometric(rng.uniform(0.1, 0.6), subjects)
    owner = np.repeat(np.arange(subjects), counts)
    facts = rng.lognormal(2, 0.8, len(owner)) * rng.lognormal(0, 0.7, subjects)[owner] * effect
    n, order = len(facts), np.sort(facts)
    reach = stats.norm.ppf(0.975) * np.sqrt(n * level * (1 - level))
    low, high = int(np.floor(n * level - reach)), int(np.floor(n * level + reach)) + 1
    if low < 1 or high > n:
        return arm_percentile(level, subjects * 2, effect)
    quantile = float(np.quantile(facts, level))
    below = np.bincount(owner, facts <= quantile, subjects)
    place = int((n - 1) * level)
    found = {"facts": n, "ranks": [low, high, place + 1], "quantile": quantile}
    found |= {"outer": [order[low - 1], order[high - 1]], "around": [order[place], order[min(place + 1, n - 1)]]}
    found["subjects"] = joint(np.array([below, counts.astype(float)]))
    sums = {"main_sum": below.sum(), "main_sum_squares": (below**2).sum(), "denominator_sum": n}
    sums |= {"denominator_sum_squares": (counts**2).sum(), "main_denominator_sum_product": (below * counts).sum()}
    ends = {"quantile_hat": quantile, "quantile_lower": order[low - 1], "quantile_upper": order[high - 1]}
    return found, Percentile(n=n, n_star=n, nu=level, n_clusters=subjects, **ends, **sums)


def percentile():
    level = rng.choice([0.1, 0.5, 0.75, 0.9, 0.95, 0.99])
    (control, a), (treatment, b) = [arm_percentile(level, some(30, 1500), by) for by in (1.0, rng.uniform(0.9, 1.1))]
    for arm, statistic in (control, a), (treatment, b):
        arm["standard_error"] = np.sqrt(statistic.variance / statistic.n)
    lift, error = lift_of(a, b, 0.05)
    return {"level": level, "arms": [control, treatment], "lift": lift, "standard_error": error}


def traffic():
    weights = rng.integers(1, 10, rng.integers(2, 7)).astype(float)
    shares = weights / weights.sum()
    drawn = shares * rng.uniform(0.98, 1.02, len(shares)) if rng.random() < 0.5 else shares
    counts = rng.multinomial(some(100, 1_000_000), drawn / drawn.sum())
    expected = counts.sum() * shares
    if expected.min() < 5:
        return traffic()
    chi_squared, p_value = stats.chisquare(counts, expected)
    return {"weights": weights, "subjects": counts, "chi_squared": chi_squared, "p_value": p_value}


def correction():
    alpha, gamma = rng.uniform(0.001, 0.3), rng.uniform(0.05, 0.95)
    k, m = int(rng.integers(1, 8)), int(rng.integers(1, 60))
    primary, other = (alpha / k, None) if m == 1 else (gamma * alpha / k, (1 - gamma) * alpha / (k * (m - 1)))
    given = {"alpha": alpha, "weight": gamma, "treatments": k, "metrics": m}
    return given | {"primary": primary, "other": other, "equal": alpha / (k * m)}


def plain(value):
    """What numpy gives, as Python's own; anything else has no `tolist` and fails."""
    return value.tolist()


sets = {
    "comparisons": [comparison() for _ in range(3000)],
    "adjustments": [adjustment(int(rng.choice([2, 2, 2, 3])), 0, rng.random() < 0.5) for _ in range(2000)]
    + [adjustment(int(rng.choice([2, 3])), int(rng.integers(2, 9)), rng.random() < 0.3) for _ in range(1000)],
    "percentiles": [percentile() for _ in range(1500)],
    "traffic": [traffic() for _ in range(3000)],
    "corrections": [correction() for _ in range(1000)],
}
json.dump(sets, sys.stdout, default=plain)
