"""Writes seeded tables into the folder that is given, and prints percentiles and funnels on them, each with the figures that
numpy gives. A subject's way through a funnel is found by trying all of its facts, so that nothing is taken for granted of
which one is best."""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import norm

from operations import DAY, END, KEYS, START, UNITS, counted

rng = np.random.default_rng(20260304)
Z = norm.ppf(0.975)


def hours(count, first, days, apart=1):
    """Whole hours, or more apart: then many facts of a subject are of the same time."""
    return first + pd.to_timedelta(apart * rng.integers(0, days * 24 // apart, count), unit="h")


def tables():
    users = 420
    assignments = pd.DataFrame({"user": np.arange(1, users + 1), "variation": rng.choice(KEYS, users), "at": hours(users, START, 20, 4)})
    mixed = assignments.sample(20, random_state=1).assign(variation="green")
    loads = pd.DataFrame({"user": np.minimum(rng.geometric(0.012, 9000), users + 20), "at": hours(9000, START - 5 * DAY, 45)})
    slow = 1 + 0.002 * (loads["user"] % 50)
    loads["ms"] = np.where(rng.random(9000) < 0.05, np.nan, np.round(rng.lognormal(5, 0.6, 9000) * slow, 1))
    loads["price"] = (rng.integers(1, 900, 9000) / 4).round(2)
    loads["text"] = loads["ms"].astype(str).where(loads["ms"].notna(), None) + rng.choice(["", "0"], 9000)
    loads["device"] = rng.choice(["phone", "desk", None], 9000)
    visits = pd.DataFrame({"user": rng.integers(1, users + 20, 2600), "at": hours(2600, START - 2 * DAY, 30, 12)})
    visits["page"] = rng.choice(["/", "/cart", "/pay", "/help", None], 2600)
    buys = pd.DataFrame({"user": rng.integers(1, users + 20, 700), "at": hours(700, START, 30, 12)})
    buys["amount"] = np.where(rng.random(700) < 0.1, np.nan, np.round(rng.gamma(2, 20, 700), 2))
    buys["stars"] = rng.choice([3, 4, 4, 4, 4], 700)
    calls = pd.DataFrame({"user": rng.integers(1, users + 20, 900).astype(str), "at": hours(900, START, 30).normalize()})
    calls["topic"] = rng.choice(["sales", "help"], 900)
    return pd.concat([assignments, mixed]), {"loads": loads, "visits": visits, "buys": buys, "calls": calls}


def compared(estimates):
    found = []
    n_control, control, sd_control = estimates["control"][:3]
    for key in KEYS:
        n, value, sd, total, denominator = estimates[key]
        one = {"key": key, "subjects": n, "mean": value, "standard_deviation": sd, "total": total, "denominator_total": denominator}
        if key != "control":
            vt, vc = sd**2 / n, sd_control**2 / n_control
            one |= {"difference": value - control, "difference_standard_error": np.sqrt(vt + vc)}
            one |= {"lift": None, "standard_error": None}
            if control != 0 and vt + vc > 0:
                one["lift"] = (value - control) / abs(control)
                one["standard_error"] = np.sqrt(vt / control**2 + vc * value**2 / control**4)
        found.append(one)
    return found


def percentile(rule, subjects, sources):
    groups = dict(iter(sources[rule["source"]].groupby("user")))
    none = sources[rule["source"]].iloc[:0]
    estimates = {}
    for key in KEYS:
        values = []
        for subject in subjects[subjects["variation"] == key].itertuples():
            facts, is_aged = counted(groups.get(subject.Index, none), subject.at, rule)
            if is_aged and len(facts):
                values.append(facts[rule["column"]].astype(float).to_numpy())
        pooled, level = np.sort(np.concatenate(values)), rule["level"]
        n, quantile = len(pooled), np.quantile(pooled, level)
        reach = Z * np.sqrt(n * level * (1 - level))
        low, high = pooled[int(np.floor(n * level - reach)) - 1], pooled[int(np.floor(n * level + reach))]
        counts = np.array([len(own) for own in values])
        below = np.array([(own <= quantile).sum() for own in values])
        share = below.sum() / n
        variance = ((below - share * counts) ** 2).sum() / (len(values) - 1) / len(values) / counts.mean() ** 2
        error = (high - low) / (2 * Z) * np.sqrt(variance / (level * (1 - level) / n))
        estimates[key] = (len(values), quantile, error * np.sqrt(len(values)), pooled.sum(), float(n))
    return compared(estimates)


def may_be(fact, step):
    if fact["source"] != step["source"]:
        return False
    for filter in step.get("filters", []):
        is_in = fact[filter["property"]] in filter["values"]
        if is_in != (filter["operation"] == "equals"):
            return False
    return not step["column"] or pd.notna(fact[step["column"]])


def day_or(time, fact):
    return time.normalize() if fact["source"] == "calls" else time


def is_in_time(fact, assigned, rule):
    at, since = fact["at"], day_or(assigned, fact)
    if not since <= at < END:
        return False
    frame = rule.get("timeframe")
    if frame:
        begin, unit = (assigned.normalize(), DAY) if frame["unit"] == "calendar_days" else (since, UNITS[frame["unit"]])
        if not begin + frame.get("start", 0) * unit <= at < begin + frame["end"] * unit:
            return False
    window = rule.get("conversion_window")
    if window and window.get("from", "assignment") == "assignment":
        return at < since + window["length"] * UNITS[window["unit"]]
    return True


def furthest(rule, facts):
    """How many steps can be taken one after the other, by whichever facts."""
    steps, window = rule["steps"], rule.get("conversion_window")
    fits = [[may_be(fact, step) for step in steps] for fact in facts]
    first = min((fact["at"] for fact, fit in zip(facts, fits) if fit[0]), default=None)
    best, seen = 0, set()

    def go(taken):
        nonlocal best
        best = max(best, len(taken))
        if best == len(steps) or len(taken) == len(steps) or taken in seen:
            return
        seen.add(taken)
        step = len(taken)
        for fact, fit in zip(facts, fits):
            if not fit[step] or (taken and fact["at"] < day_or(taken[-1], fact)):
                continue
            if any(fit[earlier] and fact["at"] <= at for earlier, at in enumerate(taken)):
                continue
            if step and window and window.get("from") == "first_step":
                if not fact["at"] < day_or(first, fact) + window["length"] * UNITS[window["unit"]]:
                    continue
            go(taken + (max(fact["at"], *taken[-1:]) if taken else fact["at"],))

    go(())
    return best


def funnel(rule, subjects, facts_of):
    frame = rule.get("timeframe", {})
    reached = {key: [] for key in KEYS}
    for subject in subjects.itertuples():
        if frame.get("only_aged") and subject.at + frame["end"] * UNITS[frame["unit"]] > END:
            continue
        facts = [fact for fact in facts_of.get(subject.Index, []) if is_in_time(fact, subject.at, rule)]
        reached[subject.variation].append(furthest(rule, facts))
    steps = []
    for place in range(len(rule["steps"])):
        estimates = {}
        for key in KEYS:
            ones = (np.array(reached[key]) > place).astype(float)
            estimates[key] = (len(ones), ones.mean(), ones.std(ddof=1), ones.sum(), None)
        steps.append(compared(estimates))
    return steps


def metrics():
    load = lambda level, **more: {"source": "loads", "column": "ms", "level": level, **more}
    phones = {"property": "device", "operation": "equals", "values": ["phone"]}
    no_desk = {"property": "device", "operation": "not_equals", "values": ["desk"]}
    percentiles = {
        "median": load(0.5),
        "p90": load(0.9),
        "p95": load(0.95),
        "p5": load(0.05),
        "p90 in a week": load(0.9, timeframe={"end": 7, "unit": "days"}),
        "p75 from the second day, aged": load(0.75, timeframe={"start": 1, "end": 2, "unit": "weeks", "only_aged": True}),
        "p80 of calendar days": load(0.8, timeframe={"end": 5, "unit": "calendar_days"}),
        "p95 of phones": load(0.95, filters=[phones]),
        "p60 of no desk": load(0.6, filters=[no_desk]),
        "p70 of decimals": {"source": "loads", "column": "price", "level": 0.7},
        "p70 of a text": {"source": "loads", "column": "text", "level": 0.7},
        "median of few values": {"source": "buys", "column": "stars", "level": 0.5},
    }
    on = lambda *pages: {"property": "page", "operation": "equals", "values": list(pages)}
    visit = lambda *pages: {"source": "visits", "column": None, "filters": [on(*pages)]}
    any_visit, buy = {"source": "visits", "column": None}, {"source": "buys", "column": "amount"}
    call = lambda topic: {"source": "calls", "column": None, "filters": [{"property": "topic", "operation": "equals", "values": [topic]}]}
    funnels = {
        "two steps": {"steps": [visit("/"), visit("/cart")]},
        "two sources": {"steps": [visit("/"), visit("/cart", "/pay"), buy]},
        "the same fact twice": {"steps": [any_visit, any_visit, any_visit]},
        "overlapping": {"steps": [visit("/", "/cart"), visit("/cart", "/pay"), visit("/pay", "/")]},
        "first and third alike": {"steps": [visit("/"), buy, visit("/"), buy]},
        "in nine days of the assignment": {"steps": [visit("/"), any_visit, buy], "conversion_window": {"length": 9, "unit": "days"}},
        "in 96 hours of the first": {"steps": [visit("/", "/help"), any_visit, buy], "conversion_window": {"length": 96, "unit": "hours", "from": "first_step"}},
        "in a week of all": {"steps": [any_visit, buy], "timeframe": {"start": 1, "end": 7, "unit": "days"}},
        "aged": {"steps": [any_visit, visit("/pay"), buy], "timeframe": {"end": 3, "unit": "weeks", "only_aged": True}},
        "by day": {"steps": [visit("/"), call("sales"), buy]},
        "days of one source": {"steps": [call("sales"), call("help"), any_visit]},
        "days in a window": {"steps": [any_visit, call("sales"), call("help")], "conversion_window": {"length": 3, "unit": "days", "from": "first_step"}},
        "days since the assignment": {"steps": [call("sales"), any_visit], "conversion_window": {"length": 1, "unit": "weeks", "from": "assignment"}},
    }
    listed = [{"name": name, "kind": "percentile", "percentile": rule} for name, rule in percentiles.items()]
    return listed + [{"name": name, "kind": "funnel", "funnel": rule} for name, rule in funnels.items()]


def expected(metric, subjects, sources, facts_of):
    if metric["kind"] == "percentile":
        return metric | {"variations": percentile(metric["percentile"], subjects, sources)}
    steps = funnel(metric["funnel"], subjects, facts_of)
    return metric | {"variations": steps[-1], "steps_expected": steps}


def main(folder):
    assignments, sources = tables()
    days = sources["calls"].assign(at=sources["calls"]["at"].dt.strftime("%Y-%m-%d"))
    loads = sources["loads"].assign(price=sources["loads"]["price"].map("{:.2f}".format))
    written = {"assignments": assignments.assign(experiment="study"), **sources, "loads": loads, "calls": days}
    for name, table in written.items():
        if name != "calls":
            table = table.assign(at=table["at"].dt.strftime("%Y-%m-%dT%H:%M:%SZ"))
        table.sample(frac=1, random_state=4).to_csv(folder / f"{name}.csv", index=False)
    # A subject that is no number makes identifiers of the calls text, which are compared with whole numbers.
    with open(folder / "calls.csv", "a") as file:
        file.write("nobody,2026-03-02,sales\n")
    by_user = assignments.groupby("user")
    subjects = pd.DataFrame({"variation": by_user["variation"].min(), "at": by_user["at"].min()})
    subjects = subjects[by_user["variation"].nunique() == 1]
    facts_of = {}
    for name in ["visits", "buys", "calls"]:
        for fact in sources[name].to_dict("records"):
            facts_of.setdefault(int(fact["user"]), []).append(fact | {"source": name})
    print(json.dumps([expected(metric, subjects, sources, facts_of) for metric in metrics()]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
