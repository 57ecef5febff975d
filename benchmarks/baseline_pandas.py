"""What Personae is measured against: the same week the way a good analyst would do it in one pandas script.

What belongs here: one straight, vectorized pass over the demo's Parquet extracts, without identities, contracts
or versions of orders. It shares no code with the pipeline.

    python benchmarks/baseline_pandas.py WORKSPACE_FOLDER --as-of 2026-11-16 --out week.csv
"""

import argparse
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.cluster import KMeans
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

TIMEZONE = "Europe/Berlin"
CRM_TIME = "%d.%m.%Y %H:%M"
COUNTED_EVENTS = [
    "dashboard_viewed",
    "report_exported",
    "api_called",
    "integration_connected",
    "automation_run",
    "course_watched",
    "template_used",
    "support_searched",
    "addon_browsed",
    "pricing_viewed",
]
LONGEST_WINDOW_DAYS = 91
SHORT_WINDOW_DAYS = 28
TRAINING_LAG_DAYS = 35
OUTCOME_DAYS = 30
PERSONAS = 5
SEED = 7

Extracts = dict[str, pd.DataFrame]


@contextmanager
def timed(seconds: dict[str, float], step: str) -> Iterator[None]:
    """Write the wall time of a step into `seconds`."""
    started = time.perf_counter()
    yield
    seconds[step] = round(time.perf_counter() - started, 2)


def read_extracts(folder: Path, since: pd.Timestamp) -> Extracts:
    """Read the columns needed; from the large extracts only rows at or after `since` (UTC). All times become UTC."""
    extracts = folder / "extracts"
    local_since = since.tz_convert(TIMEZONE).tz_localize(None)
    product = pd.read_parquet(
        extracts / "product", columns=["event_id", "ts", "user_id", "event"], filters=[("ts", ">=", since)]
    ).set_axis(["event_id", "at", "contact", "event"], axis=1)
    web = pd.read_parquet(
        extracts / "web",
        columns=["hit_id", "visited_at", "login", "action"],
        filters=[("visited_at", ">=", local_since), ("login", "!=", "")],
    ).set_axis(["event_id", "at", "contact", "event"], axis=1)
    web["at"] = utc(web["at"])
    events = pd.concat([product, web], ignore_index=True).drop_duplicates("event_id").drop(columns="event_id")
    events["event"] = events["event"].astype("category")
    orders = pd.read_parquet(
        extracts / "billing", columns=["invoice", "booked", "customer", "amount_cents"]
    ).drop_duplicates("invoice")
    orders["at"] = utc(orders.pop("booked"))
    mails = pd.read_parquet(
        extracts / "email",
        columns=["activity_at", "recipient", "activity"],
        filters=[("activity_at", ">=", since), ("activity", "in", ["opened", "clicked"]), ("by_machine", "==", 0)],
    ).set_axis(["at", "contact", "activity"], axis=1)
    tickets = read_all(extracts / "helpdesk", "tickets_*", ["ticket", "opened", "requester"]).drop_duplicates("ticket")
    tickets["at"] = utc(tickets.pop("opened"))
    contacts = read_all(extracts / "crm", "contacts_*", ["Id", "Created", "LastModified", "AccountId", "Deleted"])
    accounts = read_all(extracts / "crm", "accounts_*", ["Id", "LastModified", "Employees", "Seats", "ARR"])
    for frame in (contacts, accounts):
        frame["changed_at"] = utc(pd.to_datetime(frame.pop("LastModified"), format=CRM_TIME))
    contacts["created_at"] = utc(pd.to_datetime(contacts.pop("Created"), format=CRM_TIME))
    return {
        "events": events,
        "orders": orders.rename(columns={"customer": "contact"}),
        "mails": mails,
        "tickets": tickets.rename(columns={"requester": "contact"}),
        "contacts": contacts,
        "accounts": accounts,
    }


def read_all(folder: Path, pattern: str, columns: list[str]) -> pd.DataFrame:
    """All files of one extract, oldest delivery first."""
    return pd.concat(
        [pd.read_parquet(path, columns=columns) for path in sorted(folder.glob(pattern))], ignore_index=True
    )


def utc(local: pd.Series) -> pd.Series:
    """Local times without a zone as UTC; the repeated hour in autumn counts as the later one."""
    later = np.zeros(len(local), dtype=bool)
    return local.dt.tz_localize(TIMEZONE, ambiguous=later, nonexistent="shift_forward").dt.tz_convert("UTC")


def features_at(extracts: Extracts, as_of: pd.Timestamp) -> pd.DataFrame:
    """23 features of every contact that exists at `as_of` (UTC), indexed by contact id."""
    contacts = latest(extracts["contacts"], as_of)
    contacts = contacts[~contacts["Deleted"]]
    accounts = latest(extracts["accounts"], as_of)[["Employees", "Seats", "ARR"]]
    long, short = (as_of - pd.Timedelta(days=days) for days in (LONGEST_WINDOW_DAYS, SHORT_WINDOW_DAYS))

    events = between(extracts["events"], long, as_of)
    recent = between(events, short, as_of)
    telling = recent[recent["event"].isin(COUNTED_EVENTS)]
    counted = telling.groupby(["contact", "event"], observed=True).size().unstack(fill_value=0)
    days = recent["at"].dt.floor("D")
    orders = between(extracts["orders"], long, as_of).groupby("contact")["amount_cents"]
    mails = between(extracts["mails"], long, as_of)

    features = counted.reindex(index=contacts.index, columns=COUNTED_EVENTS).fillna(0)
    features["events_28"] = recent.groupby("contact").size()
    features["events_91"] = events.groupby("contact").size()
    features["active_days_28"] = days.groupby(recent["contact"]).nunique()
    features["days_since_last_event"] = days_before(as_of, events.groupby("contact")["at"].max())
    features["orders_91"] = orders.size()
    features["amount_91"] = orders.sum() / 100
    for activity in ("opened", "clicked"):
        features[f"{activity}_91"] = mails[mails["activity"] == activity].groupby("contact").size()
    features["tickets_91"] = between(extracts["tickets"], long, as_of).groupby("contact").size()
    features["days_since_last_event"] = features["days_since_last_event"].fillna(LONGEST_WINDOW_DAYS)
    features["tenure_days"] = days_before(as_of, contacts["created_at"])
    features[["employees", "seats", "yearly_revenue"]] = accounts.reindex(contacts["AccountId"]).to_numpy()
    return features.fillna(0.0).astype(float)


def latest(versions: pd.DataFrame, as_of: pd.Timestamp) -> pd.DataFrame:
    """Each Id's last version before `as_of`."""
    return (
        versions[versions["changed_at"] < as_of]
        .sort_values("changed_at", kind="stable")
        .drop_duplicates("Id", keep="last")
        .set_index("Id")
    )


def between(frame: pd.DataFrame, start: pd.Timestamp, end: pd.Timestamp) -> pd.DataFrame:
    """The rows at or after `start` and before `end`."""
    return frame[(frame["at"] >= start) & (frame["at"] < end)]


def days_before(as_of: pd.Timestamp, at: pd.Series) -> pd.Series:
    """How many days before `as_of` each moment was."""
    return (as_of - at).dt.total_seconds() / 86_400


def learn_orders(features: pd.DataFrame, ordered: pd.Series) -> tuple[HistGradientBoostingClassifier, float]:
    """A classifier of who orders within the horizon, and its area under the ROC curve on a quarter held out."""
    train_x, test_x, train_y, test_y = train_test_split(
        features, ordered, test_size=0.25, random_state=SEED, stratify=ordered
    )
    model = HistGradientBoostingClassifier(random_state=SEED).fit(train_x, train_y)
    return model, float(roc_auc_score(test_y, model.predict_proba(test_x)[:, 1]))


def run(folder: Path, as_of_day: str, out: Path) -> dict[str, object]:
    """Do the week and write one CSV: contact_id, persona (0 to 4), order_probability.

    Returns:
        Seconds per step, rows written, and the model's area under the ROC curve.
    """
    seconds: dict[str, float] = {}
    as_of, train_as_of = (
        pd.Timestamp(as_of_day, tz=TIMEZONE) - pd.DateOffset(days=days) for days in (0, TRAINING_LAG_DAYS)
    )
    as_of, train_as_of = as_of.tz_convert("UTC"), train_as_of.tz_convert("UTC")
    with timed(seconds, "read"):
        extracts = read_extracts(folder, train_as_of - pd.Timedelta(days=LONGEST_WINDOW_DAYS))
    with timed(seconds, "features"):
        training, scoring = features_at(extracts, train_as_of), features_at(extracts, as_of)
        horizon = between(extracts["orders"], train_as_of, train_as_of + pd.Timedelta(days=OUTCOME_DAYS))
        ordered = pd.Series(training.index.isin(horizon["contact"]), index=training.index)
    with timed(seconds, "propensity"):
        model, auc = learn_orders(training, ordered)
        probability = model.predict_proba(scoring)[:, 1]
    with timed(seconds, "personas"):
        scaled = StandardScaler().fit_transform(np.log1p(scoring))
        persona = KMeans(PERSONAS, n_init=10, random_state=SEED).fit_predict(scaled)
    with timed(seconds, "write"):
        week = pd.DataFrame(
            {"contact_id": scoring.index, "persona": persona, "order_probability": probability.round(6)}
        )
        week.sort_values("contact_id").to_csv(out, index=False)
    return {
        "as_of": as_of_day,
        "seconds": seconds | {"total": round(sum(seconds.values()), 2)},
        "rows": len(week),
        "events_read": len(extracts["events"]),
        "features": scoring.shape[1],
        "auc": round(auc, 4),
        "base_rate": round(float(ordered.mean()), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="One week of the demo company with pandas and scikit-learn.")
    parser.add_argument("workspace", type=Path, help="a demo workspace in Parquet")
    parser.add_argument("--as-of", required=True, help="the Monday after the week, YYYY-MM-DD")
    parser.add_argument("--out", type=Path, required=True, help="the CSV to write")
    given = parser.parse_args()
    if not any((given.workspace / "extracts" / "product").glob("*.parquet")):
        parser.error(f"{given.workspace} holds no Parquet extracts; generate the demo with --format parquet")
    print(json.dumps(run(given.workspace, given.as_of, given.out)))


if __name__ == "__main__":
    main()
