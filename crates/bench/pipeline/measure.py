"""Measures full runs of the pipeline against hand-written SQL for the same numbers in DuckDB, in one sitting.

    python3 -m venv VENV && VENV/bin/pip install duckdb==2.0.1
    VENV/bin/python crates/bench/pipeline/measure.py target/release/bellwether [SUBJECTS FACTS_PER_SUBJECT REPEATS]

Both have two threads and the same priority. A run's time is that from its request to its end, as the server tells it;
DuckDB's is that of its one query. They take turns, and the medians are compared. The figures of the two are compared as well:
a fast wrong answer is none. It prints the machine, each time, and the ratios."""

import json
import multiprocessing
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import duckdb

KEY = "bw_00000000000000000000000001_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

# With CUPED, sequential intervals and breakdowns by three properties, of 2, 10 and 70 values. DuckDB's query stays the same.
IS_WHOLE = bool(os.environ.get("WHOLE_PLAN"))
ASSIGNMENTS = """SELECT *, CASE user_id % 2 WHEN 0 THEN 'phone' ELSE 'desk' END AS device,
    CAST(user_id % 10 AS VARCHAR) AS country, CAST(user_id % 70 AS VARCHAR) AS city FROM assignments""" if IS_WHOLE else "SELECT * FROM assignments"


def generate(folder, subjects, each):
    con = duckdb.connect()
    con.execute("SET threads = 2")
    con.execute(f"""COPY (SELECT range AS user_id, CASE WHEN hash(range) % 2 = 0 THEN 'control' ELSE 'treatment' END AS variation,
        TIMESTAMP '2026-03-01' + INTERVAL 1 SECOND * (hash(range, 1) % 1209600)::BIGINT AS "at", 'bench' AS experiment
        FROM range({subjects})) TO '{folder}/assignments.parquet' (FORMAT parquet)""")
    con.execute(f"""COPY (SELECT (hash(range) % {subjects})::BIGINT AS user_id,
        TIMESTAMP '2026-03-01' + INTERVAL 1 SECOND * (hash(range, 1) % 2592000)::BIGINT AS "at",
        round((hash(range, 2) % 100000) / 1000.0, 2) AS amount,
        CASE hash(range, 3) % 3 WHEN 0 THEN 'web' WHEN 1 THEN 'app' ELSE 'shop' END AS channel
        FROM range({subjects * each})) TO '{folder}/facts.parquet' (FORMAT parquet)""")


def metrics(count):
    week = {"end": 7, "unit": "days"}
    web = [{"property": "channel", "operation": "equals", "values": ["web"]}]
    all_of_them = [
        ({"operation": "sum"}, "sum(amount) FILTER (c)"),
        ({"operation": "count"}, "count(amount) FILTER (c)"),
        ({"operation": "mean"}, "avg(amount) FILTER (c)"),
        ({"operation": "sum", "timeframe": week}, 'sum(amount) FILTER (c AND f."at" < a.assigned + INTERVAL 7 DAY)'),
        ({"operation": "count", "timeframe": week}, 'count(amount) FILTER (c AND f."at" < a.assigned + INTERVAL 7 DAY)'),
        ({"operation": "sum", "filters": web}, "sum(amount) FILTER (c AND channel = 'web')"),
        ({"operation": "count", "filters": web}, "count(amount) FILTER (c AND channel = 'web')"),
        ({"operation": "conversion"}, "(count(amount) FILTER (c) > 0)::INT"),
        ({"operation": "conversion", "conversion_threshold_days": 3},
         '(count(amount) FILTER (c AND f."at" < a.assigned + INTERVAL 3 DAY) > 0)::INT'),
        ({"operation": "threshold", "threshold": {"of": "sum", "comparison": "gte", "value": 100.005}},
         "(coalesce(sum(amount) FILTER (c), 0) >= 100.005)::INT"),
    ]
    return all_of_them[:count]


def duck_sql(folder, chosen):
    condition = """WHERE f."at" >= a.assigned AND f."at" < TIMESTAMP '2026-04-01'"""
    values = [sql.replace("(c AND ", f"({condition} AND ").replace("(c)", f"({condition})") for _, sql in chosen]
    columns = ", ".join(f"coalesce({value}, 0)::DOUBLE AS v{i}" for i, value in enumerate(values))
    moments = ", ".join(f"avg(coalesce(v{i}, 0)), var_samp(coalesce(v{i}, 0))" for i in range(len(chosen)))
    kept = ", ".join(f"v{i}" for i in range(len(chosen)))
    return f"""WITH a AS (SELECT user_id, min(variation) AS variation, min("at") AS assigned FROM '{folder}/assignments.parquet'
            WHERE experiment = 'bench' AND "at" >= TIMESTAMP '2026-03-01' AND "at" < TIMESTAMP '2026-03-16'
            GROUP BY user_id HAVING min(variation) = max(variation)),
        v AS (SELECT a.user_id, {columns} FROM a JOIN '{folder}/facts.parquet' f ON f.user_id = a.user_id GROUP BY a.user_id)
        SELECT variation, count(*), {moments} FROM (SELECT a.variation, {kept} FROM a LEFT JOIN v ON v.user_id = a.user_id)
        GROUP BY variation ORDER BY variation"""


def as_a_worker(function, *arguments):
    """Calls it in a process that yields to others as much as a run's worker does."""
    with multiprocessing.get_context("fork").Pool(1, os.nice, [10]) as processes:
        return processes.apply(function, arguments)


def duck(folder, chosen):
    con = duckdb.connect()
    con.execute("SET threads = 2")
    begun = time.monotonic()
    rows = con.execute(duck_sql(folder, chosen)).fetchall()
    return time.monotonic() - begun, rows


class Server:
    def __init__(self, program, data, memory):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        env = os.environ | {"BELLWETHER_ADMIN_KEY": KEY, "BELLWETHER_LOG": "error"}
        if memory:
            env["BELLWETHER_RUN_MEMORY_MIB"] = str(memory)
        self.process = subprocess.Popen([program, "serve", "--data", data, "--listen", f"127.0.0.1:{self.port}"], env=env,
                                        stdout=subprocess.DEVNULL)
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthz").read()
                break
            except OSError:
                assert self.process.poll() is None, "the server has ended"
                time.sleep(0.02)

    def call(self, method, path, body=None):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/api/v1{path}", method=method,
                                         data=None if body is None else json.dumps(body).encode())
        request.add_header("authorization", f"Bearer {KEY}")
        request.add_header("content-type", "application/json")
        try:
            return json.load(urllib.request.urlopen(request))
        except urllib.error.HTTPError as error:
            raise SystemExit(f"{method} {path}: {error.read().decode()}")

    def delete(self, path):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/api/v1{path}", method="DELETE")
        request.add_header("authorization", f"Bearer {KEY}")
        urllib.request.urlopen(request).read()

    def run(self, experiment):
        run = self.call("POST", f"/experiments/{experiment}/runs", {"mode": "full"})
        peak = 0
        while True:
            shown = self.call("GET", f"/runs/{run['id']}")
            peak = max(peak, worker_memory(self.process.pid))
            if shown["ended_at"]:
                break
            time.sleep(0.005)
        assert shown["state"] == "success", shown["error"]
        steps = sum(step["duration_us"] for step in shown["steps"]) / 1e6
        return seconds(shown["created_at"], shown["ended_at"]), steps, peak, shown


def worker_memory(parent):
    """The peak of the resident memory of the server's workers, in MiB."""
    peak = 0
    for task in Path(f"/proc/{parent}/task").iterdir():
        try:
            for child in (task / "children").read_text().split():
                status = Path(f"/proc/{child}/status").read_text()
                peak = max(peak, int(status.split("VmHWM:")[1].split()[0]) // 1024)
        except (OSError, IndexError):
            pass  # It has ended.
    return peak


def seconds(begin, end):
    from datetime import datetime
    read = lambda text: datetime.fromisoformat(text.replace("Z", "+00:00"))
    return (read(end) - read(begin)).total_seconds()


def experiment(server, warehouse, entity, source, chosen, key):
    name = f"{key} with {len(chosen)} metrics"
    facts = server.call("POST", "/fact_sources", {
        "name": name, "warehouse_id": warehouse, "sql": "SELECT * FROM facts", "timestamp_column": "at",
        "entities": [{"entity_id": entity, "column": "user_id"}], "facts": [{"name": "amount", "column": "amount"}],
        "properties": [{"name": "channel", "column": "channel"}]})
    made = server.call("POST", "/experiments", {
        "key": key, "name": key, "entity_id": entity, "assignment_source_id": source, "assignments_start_date": "2026-03-01",
        "assignments_end_date": "2026-03-15", "events_end_date": "2026-03-31",
        "variations": [{"key": "control", "weight": 1, "is_control": True}, {"key": "treatment", "weight": 1}],
        "analysis_plan": {"method": "sequential", "cuped": True} if IS_WHOLE else {}})
    server.call("POST", f"/experiments/{made['id']}/start", {})
    for place, (aggregation, _) in enumerate(chosen):
        metric = server.call("POST", "/metrics", {"name": f"{name}: {place}", "entity_id": entity, "kind": "simple",
                                                  "numerator": aggregation | {"fact_id": facts["facts"][0]["id"]}})
        server.call("POST", f"/experiments/{made['id']}/metrics", {"metric_id": metric["id"]})
    return made["id"]


def compare(results, rows):
    for place, metric in enumerate(results["metrics"]):
        for variation, row in zip(metric["variations"], rows):
            assert variation["subjects"] == row[1], (metric["name"], variation, row[1])
            mean, variance = row[2 + 2 * place], row[3 + 2 * place]
            assert abs(variation["mean"] - mean) <= 1e-9 * abs(mean), (metric["name"], variation["mean"], mean)
            assert abs(variation["standard_deviation"] ** 2 - variance) <= 1e-8 * variance, (metric["name"], variation)


def main():
    program = sys.argv[1]
    subjects, each, repeats = (int(text) for text in sys.argv[2:5]) if len(sys.argv) > 2 else (4_000_000, 5, 3)
    memory = int(os.environ.get("MEMORY_MIB", 0))
    folder = Path(os.environ.get("MEASURE_FOLDER") or tempfile.mkdtemp(prefix="bellwether-measure-"))
    files = folder / "data/files"
    files.mkdir(parents=True, exist_ok=True)
    if not (files / "facts.parquet").exists():
        generate(files, subjects, each)
    for old in folder.glob("data/*.db*"):
        old.unlink()
    print(f"{platform.machine()}, {os.cpu_count()} processors; DuckDB {duckdb.__version__}; {subjects} subjects, {subjects * each} facts")
    server = Server(program, str(folder / "data"), memory)
    try:
        entity = server.call("POST", "/entities", {"name": "user"})["id"]
        warehouse = server.call("POST", "/warehouses", {"name": "files", "kind": "files", "path": str(files)})["id"]
        source = server.call("POST", "/assignment_sources", {
            "name": "assignments", "warehouse_id": warehouse, "entity_id": entity, "sql": ASSIGNMENTS,
            "columns": {"subject": "user_id", "timestamp": "at", "experiment_key": "experiment", "variation": "variation",
                        "properties": ["device", "country", "city"] if IS_WHOLE else []}})["id"]
        # The key decides which rows are read, so both experiments have the same in turn.
        for count in (1, 10):
            chosen = metrics(count)
            number = experiment(server, warehouse, entity, source, chosen, "bench")
            own, others = [], []
            for _ in range(repeats):
                took, rows = as_a_worker(duck, files, chosen) if not os.environ.get("WITHOUT_DUCKDB") else (float("nan"), None)
                others.append(took)
                took, steps, peak, shown = server.run(number)
                own.append(took)
                print(f"{count} metrics: run {took:.2f} s ({steps:.2f} s in statements), worker's peak {peak} MiB; DuckDB {others[-1]:.2f} s")
                if rows:
                    compare(server.call("GET", f"/experiments/{number}/results"), rows)
            for step in shown["steps"]:
                print(f"    {step['duration_us'] / 1e6:7.2f} s  {step['rows']:>9} rows  {step['name']}")
            print(f"{count} metrics: median {statistics.median(own):.2f} s, DuckDB {statistics.median(others):.2f} s, "
                  f"ratio {statistics.median(own) / statistics.median(others):.2f}")
            server.delete(f"/experiments/{number}")
    finally:
        server.process.terminate()
        server.process.wait()


main()
