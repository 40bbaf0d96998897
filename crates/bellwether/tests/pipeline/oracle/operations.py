"""Writes seeded tables into the folder that is given, and prints metrics on them, each with the figures that numpy and
pandas give for it. It shares nothing with the program under test: facts are gone through subject by subject."""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd

DAY = pd.Timedelta(days=1)
UNITS = {"minutes": DAY / 1440, "hours": DAY / 24, "days": DAY, "weeks": 7 * DAY}
START, END = pd.Timestamp("2026-03-01T00:00Z"), pd.Timestamp("2026-04-10T00:00Z")
KEYS = ["control", "blue", "green"]
rng = np.random.default_rng(20260301)


def times(count, first, days):
    return first + pd.to_timedelta(rng.integers(0, int(days * 86400), count), unit="s")


def tables():
    users = np.arange(1, 201)
    assignments = pd.DataFrame({"user": users, "variation": rng.choice(KEYS, 200), "at": times(200, START, 20)})
    again = assignments.sample(40, random_state=1).assign(at=times(40, START, 20))
    mixed = assignments.sample(15, random_state=2).assign(variation="blue")
    orders = pd.DataFrame({"user": rng.integers(1, 226, 1500), "at": times(1500, START - 5 * DAY, 50)})
    orders["amount"] = np.where(rng.random(1500) < 0.1, np.nan, np.round(rng.gamma(1.5, 30, 1500) - 5, 2))
    orders["country"] = rng.choice(["DE", "AT", "CH", None], 1500)
    ties = orders.sample(150, random_state=3).assign(amount=lambda t: t["amount"] + 1)
    visits = pd.DataFrame({"user": rng.integers(1, 226, 2000), "at": times(2000, START - 5 * DAY, 50)})
    visits["page"] = rng.choice(["/", "/cart", "/pay", "/help", None], 2000)
    return pd.concat([assignments, again, mixed]), pd.concat([orders, ties]), visits


def counted(facts, assigned, aggregation):
    """One subject's facts that count, and whether the subject is old enough."""
    column = aggregation["column"]
    facts = facts[(facts["at"] >= assigned) & (facts["at"] < END)]
    is_aged = True
    frame = aggregation.get("timeframe")
    if frame:
        if frame["unit"] == "calendar_days":
            begin, unit = assigned.normalize(), DAY
        else:
            begin, unit = assigned, UNITS[frame["unit"]]
        facts = facts[(facts["at"] >= begin + frame.get("start", 0) * unit) & (facts["at"] < begin + frame["end"] * unit)]
        if frame.get("only_aged"):
            is_aged = begin + frame["end"] * unit <= END
    for filter in aggregation.get("filters", []):
        is_in = facts[filter["property"]].isin(filter["values"])
        facts = facts[is_in if filter["operation"] == "equals" else ~is_in]
    if column:
        facts = facts[facts[column].notna()]
    return facts, is_aged


def value(facts, assigned, aggregation):
    """What one subject's facts become; None: the subject is left out."""
    facts, is_aged = counted(facts, assigned, aggregation)
    operation, column = aggregation["operation"], aggregation["column"]
    values = facts[column] if column else pd.Series(1.0, index=facts.index)
    if operation == "retention":
        later = assigned + aggregation["retention_threshold_days"] * DAY
        return float((facts["at"] >= later).any()) if later <= END else None
    if not is_aged:
        return None
    if operation == "time_to":
        return (facts["at"].min() - assigned).total_seconds() if len(facts) else None
    if operation == "conversion" and "conversion_threshold_days" in aggregation:
        facts = facts[facts["at"] < assigned + aggregation["conversion_threshold_days"] * DAY]
    if operation in ("conversion", "distinct_entity"):
        return float(len(facts) > 0)
    if operation == "threshold":
        rule = aggregation["threshold"]
        if "within" in rule:
            until = assigned + rule["within"]["length"] * UNITS[rule["within"]["unit"]]
            values = values[facts["at"] < until]
        amount = values.sum() if rule["of"] == "sum" else len(values)
        return float(amount > rule["value"] if rule["comparison"] == "gt" else amount >= rule["value"])
    if not len(facts):
        return 0.0
    if operation == "first_value":
        return float(values[facts["at"] == facts["at"].min()].min())
    if operation == "last_value":
        return float(values[facts["at"] == facts["at"].max()].max())
    made = {"sum": values.sum, "count": values.count, "count_distinct": values.nunique, "mean": values.mean}
    return float(made[operation]())


def winsorized(values, has_facts, rule):
    if not rule:
        return values
    chosen = {"all": values, "with_value": values[has_facts], "positive": values[values > 0]}[rule.get("subjects", "all")]
    low = rule.get("lower_value", np.quantile(chosen, rule["lower_percentile"]) if "lower_percentile" in rule else -np.inf)
    high = rule.get("upper_value", np.quantile(chosen, rule["upper_percentile"]) if "upper_percentile" in rule else np.inf)
    return np.clip(values, low, high)


def figures(metric, subjects, sources):
    sides = [metric["numerator"]] + ([metric["denominator"]] if "denominator" in metric else [])
    columns = []
    for side in sides:
        groups = dict(iter(sources[side["source"]].groupby("user")))
        none = sources[side["source"]].iloc[:0]
        made, has_facts = [], []
        for subject in subjects.itertuples():
            facts = groups.get(subject.Index, none)
            made.append(value(facts, subject.at, side))
            has_facts.append(len(counted(facts, subject.at, side)[0]) > 0)
        column = pd.Series(made, index=subjects.index, dtype=float)
        is_there = column.notna()
        column[is_there] = winsorized(column[is_there], pd.Series(has_facts, index=subjects.index)[is_there], side.get("winsorization"))
        columns.append(column)
    estimates = {}
    for key in KEYS:
        arm = [column[subjects["variation"] == key] for column in columns]
        if len(arm) == 1:
            values = arm[0].dropna()
            estimates[key] = (len(values), values.mean(), values.std(ddof=1), values.sum(), None)
        else:
            both = arm[0].notna() & arm[1].notna()
            x, y = arm[0][both], arm[1][both]
            ratio = x.sum() / y.sum()
            estimates[key] = (len(x), ratio, (x - ratio * y).std(ddof=1) / y.mean(), x.sum(), y.sum())
    found = []
    n_control, control, sd_control, _, _ = estimates["control"]
    for key in KEYS:
        n, mean, sd, total, denominator = estimates[key]
        one = {"key": key, "subjects": n, "mean": mean, "standard_deviation": sd, "total": total, "denominator_total": denominator}
        if key != "control":
            vt, vc = sd**2 / n, sd_control**2 / n_control
            one |= {"difference": mean - control, "difference_standard_error": np.sqrt(vt + vc)}
            one |= {"lift": (mean - control) / abs(control), "standard_error": np.sqrt(vt / control**2 + vc * mean**2 / control**4)}
        found.append(one)
    return found


def of(source, operation, column=None, **more):
    return {"source": source, "operation": operation, "column": column, **more}


def metrics():
    money = lambda **more: of("orders", "sum", "amount", **more)
    week = {"end": 7, "unit": "days"}
    dach = {"property": "country", "operation": "equals", "values": ["DE", "AT"]}
    abroad = {"property": "country", "operation": "not_equals", "values": ["DE"]}
    simple = {
        "sum": money(),
        "sum in a week": money(timeframe=week),
        "sum in a week, aged": money(timeframe={"end": 3, "unit": "weeks", "only_aged": True}),
        "sum from hour 12 to 36": money(timeframe={"start": 12, "end": 36, "unit": "hours"}),
        "sum in 2880 minutes": money(timeframe={"end": 2880, "unit": "minutes"}),
        "sum on the first two days": money(timeframe={"end": 2, "unit": "calendar_days"}),
        "sum from the third day": money(timeframe={"start": 2, "end": 30, "unit": "calendar_days", "only_aged": True}),
        "sum at home": money(filters=[dach]),
        "sum abroad": money(filters=[abroad]),
        "sum with both filters": money(filters=[dach, abroad]),
        "sum without the extremes": money(winsorization={"lower_percentile": 0.01, "upper_percentile": 0.95}),
        "sum, those with a value": money(timeframe=week, winsorization={"upper_percentile": 0.9, "subjects": "with_value"}),
        "sum, the positive": money(timeframe=week, winsorization={"upper_percentile": 0.9, "subjects": "positive"}),
        "sum between 10 and 100": money(winsorization={"lower_value": 10, "upper_value": 100}),
        "sum of rows": of("orders", "sum"),
        "count": of("orders", "count", "amount"),
        "rows": of("visits", "count"),
        "pages": of("visits", "count_distinct", "page"),
        "amounts": of("orders", "count_distinct", "amount"),
        "anybody": of("visits", "distinct_entity", "page", timeframe=week),
        "mean": of("orders", "mean", "amount"),
        "first": of("orders", "first_value", "amount"),
        "last": of("orders", "last_value", "amount", winsorization={"upper_percentile": 0.9}),
        "spenders": of("orders", "threshold", "amount", threshold={"of": "sum", "comparison": "gte", "value": 60, "within": {"length": 5, "unit": "days"}}),
        "regulars": of("orders", "threshold", "amount", threshold={"of": "count", "comparison": "gt", "value": 2}),
        "bought": of("orders", "conversion", "amount"),
        "bought in three days": of("orders", "conversion", conversion_threshold_days=3),
        "came back": of("visits", "retention", retention_threshold_days=25),
        "time to order": of("orders", "time_to", "amount"),
    }
    ratios = {
        "value of an order": (money(), of("orders", "count", "amount")),
        "value of a visit": (money(timeframe=week), of("visits", "count")),
        "share of pages, aged": (of("visits", "count", "page", timeframe={"end": 25, "unit": "days", "only_aged": True}), of("visits", "count")),
        "winsorized ratio": (money(winsorization={"upper_percentile": 0.9}), of("visits", "count", winsorization={"lower_value": 2})),
    }
    listed = [{"name": name, "kind": "simple", "numerator": side} for name, side in simple.items()]
    return listed + [{"name": n, "kind": "ratio", "numerator": a, "denominator": b} for n, (a, b) in ratios.items()]


def main(folder):
    assignments, orders, visits = tables()
    for name, table in {"assignments": assignments.assign(experiment="study"), "orders": orders, "visits": visits}.items():
        written = table.assign(at=table["at"].dt.strftime("%Y-%m-%dT%H:%M:%SZ"))
        written.sample(frac=1, random_state=4).to_csv(folder / f"{name}.csv", index=False)
    by_user = assignments.groupby("user")
    subjects = pd.DataFrame({"variation": by_user["variation"].min(), "at": by_user["at"].min()})
    subjects = subjects[by_user["variation"].nunique() == 1]
    sources = {"orders": orders, "visits": visits}
    print(json.dumps([metric | {"variations": figures(metric, subjects, sources)} for metric in metrics()]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
