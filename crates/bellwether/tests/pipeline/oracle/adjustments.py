"""Writes seeded tables into the folder that is given, and prints what numpy gives for an experiment with an entry point and
CUPED, and for its breakdowns by properties of subjects. It shares nothing with the program under test."""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd

DAY = pd.Timedelta(days=1)
START, END = pd.Timestamp("2026-03-01T00:00Z"), pd.Timestamp("2026-05-01T00:00Z")
KEYS = ["control", "blue", "green"]
PROPERTIES = ["country", "device", "city"]
rng = np.random.default_rng(20260402)


def tables():
    n = 900
    users = np.arange(n)
    wealth = rng.gamma(2, 1, n)
    assignments = pd.DataFrame({"user": users, "variation": rng.choice(KEYS, n), "at": START + pd.to_timedelta(rng.integers(0, 30 * 86400, n), unit="s")})
    assignments["country"] = rng.choice(["DE", "AT", None, "it's"], n, p=[0.5, 0.2, 0.2, 0.1])
    assignments["device"] = rng.choice(["phone", "desk"], n)
    assignments["city"] = ["c%d" % c for c in np.minimum(rng.geometric(0.06, n), 70)]
    later = assignments.sample(200, random_state=1)
    later = later.assign(at=later["at"] + 2 * DAY, country="XX", device="tv")
    same_time = assignments.sample(60, random_state=2).assign(device="aaa", country=None)
    visits = pd.DataFrame({"user": rng.choice(n, 1600), "at": START + pd.to_timedelta(rng.integers(-40 * 86400, 60 * 86400, 1600), unit="s")})
    visits["page"] = rng.choice(["/", "/pay"], 1600)
    who = rng.choice(n, 9000, p=wealth / wealth.sum())
    orders = pd.DataFrame({"user": who, "at": START + pd.to_timedelta(rng.integers(-45 * 86400, 62 * 86400, 9000), unit="s")})
    orders["amount"] = np.round(wealth[who] * rng.gamma(2, 5, 9000), 2)
    orders.loc[rng.random(9000) < 0.05, "amount"] = np.nan
    return pd.concat([assignments, later, same_time]), orders, visits


def first_rows(assignments):
    """The first row of each subject: of several at one time the smallest value of each property, and none last."""
    subjects = {}
    for user, rows in assignments.groupby("user"):
        first = rows[rows["at"] == rows["at"].min()]
        found = {"variation": first["variation"].iloc[0], "at": first["at"].iloc[0]}
        for name in PROPERTIES:
            values = first[name].dropna()
            found[name] = values.min() if len(values) else None
        subjects[user] = found
    return pd.DataFrame.from_dict(subjects, orient="index")


def entered(subjects, visits):
    made = {}
    for user, rows in visits[visits["at"] < END].groupby("user"):
        if user in subjects.index:
            later = rows[rows["at"] >= subjects.loc[user, "at"]]
            if len(later):
                made[user] = later["at"].min()
    chosen = subjects.loc[list(made)].sort_index()
    return chosen.assign(at=pd.Series(made))


METRICS = {
    "revenue": ("simple", [("orders", "sum", "amount", {})]),
    "orders": ("simple", [("orders", "count", "amount", {})]),
    "revenue in a week": ("simple", [("orders", "sum", "amount", {"timeframe": {"end": 7, "unit": "days"}})]),
    "revenue in six weeks, aged": ("simple", [("orders", "sum", "amount", {"timeframe": {"end": 6, "unit": "weeks", "only_aged": True}})]),
    "buyers": ("simple", [("orders", "distinct_entity", "amount", {})]),
    "spenders": ("simple", [("orders", "threshold", "amount", {"threshold": {"of": "sum", "comparison": "gte", "value": 60}})]),
    "visits": ("simple", [("visits", "count", None, {})]),
    "value of an order": ("ratio", [("orders", "sum", "amount", {}), ("orders", "count", "amount", {})]),
    "value of a visit": ("ratio", [("orders", "sum", "amount", {}), ("visits", "count", None, {})]),
    "time to order": ("simple", [("orders", "time_to", "amount", {})]),
}


def of_facts(facts, side):
    source, operation, column, more = side
    if column:
        facts = facts[facts[column].notna()]
    if operation == "sum":
        return float(facts[column].sum())
    if operation == "count":
        return float(len(facts))
    if operation == "distinct_entity":
        return float(len(facts) > 0)
    if operation == "threshold":
        return float(facts[column].sum() >= more["threshold"]["value"])
    raise ValueError(operation)


def values(subjects, sources, side):
    """Of each subject what counts, NaN where it is left out; what it did in the 30 days before, and whether anything."""
    source, operation, column, more = side
    groups = dict(iter(sources[source].groupby("user")))
    none = sources[source].iloc[:0]
    after, before, known = [], [], []
    for user, row in subjects.iterrows():
        facts = groups.get(user, none)
        counted = facts[(facts["at"] >= row["at"]) & (facts["at"] < END)]
        frame = more.get("timeframe")
        is_aged = True
        if frame:
            length = frame["end"] * (7 * DAY if frame["unit"] == "weeks" else DAY)
            counted = counted[counted["at"] < row["at"] + length]
            is_aged = not frame.get("only_aged") or row["at"] + length <= END
        if operation == "time_to":
            there = counted[counted[column].notna()]
            after.append((there["at"].min() - row["at"]).total_seconds() if len(there) else np.nan)
        else:
            after.append(of_facts(counted, side) if is_aged else np.nan)
        past = facts[(facts["at"] >= row["at"] - 30 * DAY) & (facts["at"] < row["at"])]
        past = past[past[column].notna()] if column else past
        plain = {"threshold": "sum", "time_to": "count"}.get(operation, operation)
        before.append(of_facts(past, (source, plain, column, {})))
        known.append(len(past) > 0)
    return np.array(after), np.array(before), np.array(known)


def cov(x, y):
    return ((x - x.mean()) * (y - y.mean())).sum()


def linear(parts, within):
    """A mean as it is; the linear part of a ratio about the means of those within. And its value there."""
    if len(parts) == 1:
        return parts[0], parts[0][within].mean()
    x, y = parts
    r = x[within].sum() / y[within].sum()
    return (x - r * y) / y[within].mean() + r, r


def adjusted(outcome, own_past, others, arms):
    everybody = np.ones(len(arms), dtype=bool)
    pooled = [linear(own_past, everybody)[0]] + others
    y, _ = linear(outcome, everybody)
    means = [linear(own_past, everybody)[1]] + [x.mean() for x in others]
    kept = [i for i, x in enumerate(pooled) if x.std() > 1e-9]
    theta = np.zeros(len(pooled))
    if len(pooled) == 1:
        theta[0] = cov(y, pooled[0]) / cov(pooled[0], pooled[0]) if kept else 0.0
    elif kept:
        z = np.column_stack([(pooled[i] - pooled[i].mean()) / pooled[i].std() for i in kept])
        beta = np.linalg.solve(z.T @ z + np.eye(len(kept)), z.T @ (y - y.mean()))
        for i, b in zip(kept, beta):
            theta[i] = b / pooled[i].std()
    found = {}
    for key in KEYS:
        within = arms == key
        own, value = linear(outcome, within)
        residual = own[within].astype(float).copy()
        for t, parts, mean in zip(theta, [own_past] + [[x] for x in others], means):
            x, there = linear(parts, within)
            residual -= t * x[within]
            value -= t * (there - mean)
        found[key] = (within.sum(), value, residual.std(ddof=1))
    return found


def lifts(found):
    n_c, control, sd_c = found["control"]
    out = []
    for key in KEYS:
        n, mean, sd = found[key]
        one = {"key": key, "mean": mean, "standard_deviation": sd}
        if key != "control":
            vt, vc = sd**2 / n, sd_c**2 / n_c
            one |= {"lift": (mean - control) / abs(control), "standard_error": float(np.sqrt(vt / control**2 + vc * mean**2 / control**4))}
        out.append(one)
    return out


def plain(parts, arms):
    found = {}
    for key in KEYS:
        within = arms == key
        own, value = linear(parts, within)
        found[key] = (int(within.sum()), value, own[within].std(ddof=1))
    return found


def breakdown(parts, subjects, is_there, name):
    volumes = subjects[name].value_counts(dropna=False)
    order = sorted(volumes.items(), key=lambda item: (-item[1], item[0] is None or item[0] != item[0], str(item[0])))
    told, rest = order[:50], order[50:]
    cells = []
    groups = [([value], False) for value, _ in told] + ([([value for value, _ in rest], True)] if rest else [])
    for values_there, is_rest in groups:
        is_none = [v is None or v != v for v in values_there]
        inside = subjects[name].isin([v for v, none in zip(values_there, is_none) if not none]).to_numpy() | (subjects[name].isna().to_numpy() & any(is_none))
        inside &= is_there
        one = []
        for key in KEYS:
            within = inside & (subjects["variation"] == key).to_numpy()
            count = int(within.sum())
            if count == 0 or (len(parts) == 2 and parts[1][within].sum() == 0):
                one.append({"key": key, "subjects": count, "mean": None, "standard_deviation": None})
                continue
            own, value = linear(parts, within)
            sd = own[within].std(ddof=1) if count > 1 else None
            one.append({"key": key, "subjects": count, "mean": value, "standard_deviation": sd})
        value = None if is_rest or is_none[0] else values_there[0]
        cells.append({"value": value, "is_rest": is_rest, "variations": one})
    return {"property": name, "values": cells}


def main(folder):
    assignments, orders, visits = tables()
    for name, table in {"assignments": assignments.assign(experiment="study"), "orders": orders, "visits": visits}.items():
        written = table.assign(at=table["at"].dt.strftime("%Y-%m-%dT%H:%M:%SZ"))
        written.sample(frac=1, random_state=4).to_csv(folder / f"{name}.csv", index=False)
    sources = {"orders": orders, "visits": visits}
    assigned = first_rows(assignments)
    subjects = entered(assigned, visits)
    arms = subjects["variation"].to_numpy()
    computed = {(name, i): values(subjects, sources, side) for name, (_, sides) in METRICS.items() for i, side in enumerate(sides)}
    out = []
    for name, (kind, sides) in METRICS.items():
        parts = [computed[name, i][0] for i in range(len(sides))]
        is_there = ~np.isnan(parts[0])
        chosen = [part[is_there] for part in parts]
        metric = {"name": name, "kind": kind, "sides": [{"source": s, "operation": o, "column": c} | m for s, o, c, m in sides]}
        metric["variations"] = lifts(plain(chosen, arms[is_there]))
        metric["breakdowns"] = [breakdown(parts, subjects, is_there, p) for p in PROPERTIES]
        if sides[0][1] != "time_to":
            own = [computed[name, i][1][is_there] for i in range(len(sides))]
            seen = [tuple(s[:3]) for s in sides]
            seen = [(s, {"threshold": "sum"}.get(o, o), c) for s, o, c in seen]
            others = []
            for other, (other_kind, other_sides) in METRICS.items():
                s, o, c, _ = other_sides[0]
                if other_kind == "simple" and o in ("sum", "count", "distinct_entity") and (s, o, c) not in seen:
                    seen.append((s, o, c))
                    others.append(computed[other, 0][1][is_there])
            for p in ["country", "device"]:
                column = subjects[p].where(subjects[p].notna(), None).to_numpy()[is_there]
                for v in sorted({v for v in subjects[p] if v is not None and v == v}) + [None]:
                    dummy = np.array([float((c is None or c != c) if v is None else c == v) for c in column])
                    if v is not None or subjects[p].isna().any():
                        others.append(dummy)
            metric["cuped"] = lifts(adjusted(chosen, own, others, arms[is_there]))
            covered = np.maximum.reduce([[computed[name, i][2][is_there & (arms == k)].mean() for k in KEYS] for i in range(len(sides))])
            for one, share in zip(metric["cuped"], covered):
                one["coverage"] = float(share)
        out.append(metric)
    print(json.dumps({"without_entry": len(assigned) - len(subjects), "metrics": out}))


main(Path(sys.argv[1]))
