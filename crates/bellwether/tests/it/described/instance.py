"""An instance with some of everything, made of the examples of the description: ids for paths and bodies."""

import json
import urllib.error
import urllib.request

OF_EACH = 8


class Instance:
    """What there is, by the kind of its id. `spare` ones may go: nothing else refers to them."""

    def __init__(self, base, key, document, files, receiver):
        self.base, self.key, self.files, self.receiver = base, key, files, receiver
        self.document = document
        self.ids, self.spare = {}, {}

    def call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.base}/api/v1{path}", data=data, method=method)
        request.add_header("Authorization", f"Bearer {self.key}")
        request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            raise SystemExit(f"{method} {path}: {error.code} {error.read().decode()}") from error

    def example(self, operation):
        for methods in self.document["paths"].values():
            for described in methods.values():
                if described["operationId"] == operation:
                    return json.loads(json.dumps(described["requestBody"]["content"]["application/json"]["example"]))
        raise SystemExit(f"there is no operation {operation}")

    def note(self, kind, given, spare=False):
        self.ids.setdefault(kind, []).append(given)
        if spare:
            self.spare.setdefault(kind, []).append(given)

    def make(self, kind, path, operation, /, **fields):
        """One that is used, of the example, and spare ones."""
        example = self.real(self.example(operation)) | fields
        made = self.call("POST", path, example)
        self.note(kind, made["id"])
        for place in range(OF_EACH):
            spare = example | {name: f"{example[name]} {place}" for name in ("name", "key") if name in example}
            self.note(kind, self.call("POST", path, spare)["id"], spare=True)
        return made

    def real(self, value):
        """The same with ids that there are."""
        if isinstance(value, dict):
            return {name: self.real(field) for name, field in value.items()}
        if isinstance(value, list):
            return [self.real(item) for item in value]
        kind = value.partition("_")[0] if isinstance(value, str) and len(value.partition("_")[2]) == 26 else None
        return self.ids[kind][0] if kind in self.ids else value

    def fill(self):
        self.make("ent", "/entities", "createEntity")
        self.make("wh", "/warehouses", "createWarehouse", path=self.files)
        self.make("as", "/assignment_sources", "createAssignmentSource")
        facts = self.make("fs", "/fact_sources", "createFactSource")
        for fact in facts["facts"]:
            self.note("fact", fact["id"])
        self.make("met", "/metrics", "createMetric")
        self.make("col", "/collections", "createCollection")
        self.make("sch", "/schedules", "createSchedule")
        self.make("team", "/teams", "createTeam")
        self.make("per", "/people", "createPerson")
        self.make("key", "/keys", "issueKey")
        self.make("ep", "/endpoints", "createEndpoint", url=self.receiver, events=[], filter={}, retry_schedule=[1])
        self.make("experiment", "/experiments", "createExperiment", assignments_end_date=None)
        self.call("POST", f"/assignment_sources/{self.ids['as'][0]}/scan")
        self.live()

    def live(self):
        """Some of what happens: runs, events, deliveries."""
        running, concluded = self.ids["experiment"][:2]
        self.spare["experiment"].remove(concluded)
        for number in (running, concluded):
            group = self.call("POST", f"/experiments/{number}/collections", self.real(self.example("attachCollection")))
            self.note("grp", group["group_id"])
            self.call("POST", f"/experiments/{number}/start")
            run = self.call("POST", f"/experiments/{number}/runs", {"mode": "full"})
            while self.call("GET", f"/runs/{run['id']}")["state"] in ("queued", "running"):
                pass
            self.note("run", run["id"])
        self.call("POST", f"/experiments/{concluded}/decide", self.example("decideExperiment"))
        endpoint = self.ids["ep"][0]
        for operation in ("recover", "replay"):
            made = self.call("POST", f"/endpoints/{endpoint}/{operation}", {"since": "2026-03-01T00:00:00Z"})
            self.note("rcv", made["id"])
            while self.call("GET", f"/recoveries/{made['id']}")["state"] == "running":
                pass
        self.call("POST", f"/endpoints/{endpoint}/test")
        for event in self.call("GET", "/events?limit=50")["items"]:
            self.note("evt", event["id"])
        for delivery in self.call("GET", "/deliveries?limit=50")["items"]:
            self.note("dlv", delivery["id"])
