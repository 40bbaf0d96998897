"""Two published trials as tables in the folder that is given, and what statsmodels and scipy find in them.

The trials have no times: subject n is assigned at noon, (n - 1) mod 28 days after 2024-01-05, and what came of it follows
a day later. Subjects whose outcome is missing, as published, are left out."""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import chisquare
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW


def analysed(table, arm, outcome):
    treated, control = (table.loc[table[arm] == it, outcome].astype(float) for it in (1, 0))
    compared = CompareMeans(DescrStatsW(treated), DescrStatsW(control))
    difference = treated.mean() - control.mean()
    vt, vc = treated.var() / len(treated), control.var() / len(control)
    mean, to = treated.mean(), control.mean()
    return {
        "subjects": [len(control), len(treated)],
        "mean": mean,
        "mean_interval": list(DescrStatsW(treated).zconfint_mean()),
        "difference": difference,
        "difference_interval": list(compared.zconfint_diff(usevar="unequal")),
        "lift": difference / to,
        "standard_error": np.sqrt(vt / to**2 + vc * mean**2 / to**4),
        "imbalance_p_value": chisquare([len(control), len(treated)]).pvalue,
    }


def written(folder, name, table, arm, outcome):
    table = table.dropna(subset=[arm, outcome])
    days = pd.to_timedelta((table["subject_id"] - 1) % 28, unit="D")
    at = pd.Timestamp("2024-01-05T12:00") + days
    variation = np.where(table[arm] == 1, "treatment", "control")
    frame = {"subject": table["subject_id"], "variation": variation, "at": at, "experiment": name}
    pd.DataFrame(frame).to_csv(folder / f"{name}_assignments.csv", index=False)
    facts = {"subject": table["subject_id"], "at": at + pd.Timedelta(days=1), "amount": table[outcome]}
    pd.DataFrame(facts).to_csv(folder / f"{name}_facts.csv", index=False)
    return {"name": name} | analysed(table, arm, outcome)


def main(folder, data):
    nsw, thornton = (pd.read_csv(data / name) for name in ("nsw_trial.csv", "thornton_hiv.csv"))
    print(json.dumps([written(folder, "nsw", nsw, "treat", "re78"), written(folder, "thornton", thornton, "any", "got")]))


main(Path(sys.argv[1]), Path(sys.argv[2]))
