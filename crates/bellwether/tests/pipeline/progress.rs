//! How far a run is: in its view while it runs, and as a stream to its end.

use std::time::Duration;

use bellwether::store::{StoreError, Tx, query_as};
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use serde_json::{Value, json};

use crate::installation::{Installation, refusal, request, shown, until_under_way};
use crate::study::{self, ENDLESS, FACTS, KEY, Study};

/// For one message; what takes so long has failed.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A reader of a run's stream.
struct Reader {
    body: Incoming,
    text: String,
}

impl Reader {
    async fn open(here: &Installation, run: &Value) -> Self {
        let (address, id) = (here.running.address(), run["id"].as_str().unwrap());
        let uri = format!("http://{address}/api/v1/runs/{id}/stream");
        let key = format!("Bearer {}", bellwether_bench::server::ADMIN_KEY);
        let request = Request::get(uri).header("authorization", key).body(Full::default()).unwrap();
        let answer = here.api.send(request).await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["content-type"]),
            (200, &"text/event-stream".parse().unwrap())
        );
        Self { body: answer.into_body(), text: String::new() }
    }

    /// The run as the next message tells it; `None` at the end.
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some((message, rest)) = self.text.split_once("\n\n") {
                let data = message.strip_prefix("event: run\ndata: ").map(|data| serde_json::from_str(data).unwrap());
                self.text = rest.to_owned();
                match data {
                    Some(run) => return Some(run),
                    None => continue, // A heartbeat.
                }
            }
            let frame = tokio::time::timeout(TIMEOUT, self.body.frame()).await.expect("it comes in time")?;
            self.text += std::str::from_utf8(&frame.unwrap().into_data().unwrap()).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_tells_how_far_it_is_until_it_has_ended() {
    let mut here = Installation::start().await;
    study::write_trial(&here.files());
    let study = Study::define(&here.api, &here.files()).await;
    let experiment = study.started(KEY, json!({})).await;
    study.set_assignments(ENDLESS).await;
    let run = request(&here.api, experiment).await;
    assert_eq!(run["progress"], Value::Null, "it is queued");
    until_under_way(&here.api, &run).await;
    let running = json!({"steps_done": 0, "steps_expected": 3, "step": "census of assignments"});
    assert_eq!(shown(&here.api, &run).await["progress"], running);
    let listed = here.api.get(&format!("/experiments/{experiment}/runs")).await.unwrap();
    assert_eq!(listed["items"][0]["progress"], running);

    let mut reader = Reader::open(&here, &run).await;
    let first = reader.next().await.unwrap();
    assert_eq!((&first["id"], &first["state"], &first["progress"]), (&run["id"], &json!("running"), &running));
    here.api.post(&format!("/runs/{}/cancel", run["id"].as_str().unwrap()), &json!({})).await.unwrap();
    let last = reader.next().await.unwrap();
    assert_eq!((&last["state"], &last["progress"]), (&json!("failure"), &Value::Null));
    assert_eq!(reader.next().await, None, "nothing comes after the end");
    here.ends.next(&here.api, &run).await;
    let mut late = Reader::open(&here, &run).await;
    assert_eq!(late.next().await.unwrap()["state"], "failure");
    assert_eq!(late.next().await, None);
    let (status, _) = refusal(here.api.get("/runs/run_00000000000000000000000000/stream").await);
    assert_eq!(status, 404);
}

/// What is expected after planning is what is there at the end, if nothing fails.
#[tokio::test(flavor = "multi_thread")]
async fn as_many_steps_are_expected_as_there_will_be() {
    let mut here = Installation::start().await;
    study::write_trial(&here.files());
    let study = Study::define(&here.api, &here.files()).await;
    let experiment = study.started(KEY, json!({"assignments_end_date": "2024-03-31"})).await;
    let (sum, sums) = study.metric("Earnings", FACTS, Some("amount"), "sum").await;
    let (count, counts) = study.metric("Pays", FACTS, None, "count").await;
    let mut facts = Vec::new();
    for source in [&sums, &counts] {
        facts.push(here.api.get(&format!("/fact_sources/{source}")).await.unwrap()["facts"][0]["id"].clone());
    }
    let of = |fact: &Value, operation: &str| json!({"fact_id": fact, "operation": operation});
    let mut capped = of(&facts[0], "sum");
    capped["winsorization"] = json!({"upper_percentile": 0.9});
    let mut metrics = vec![sum, count];
    for (name, numerator, denominator) in [
        ("of two sources", of(&facts[0], "sum"), of(&facts[1], "count")),
        ("of one source", of(&facts[0], "sum"), of(&facts[0], "count")),
        ("capped", capped, Value::Null),
    ] {
        let mut metric = json!({"name": name, "entity_id": study.entity(), "kind": "simple", "numerator": numerator});
        if !denominator.is_null() {
            (metric["kind"], metric["denominator"]) = (json!("ratio"), denominator);
        }
        metrics.push(here.api.post("/metrics", &metric).await.unwrap()["id"].as_str().unwrap().to_owned());
    }
    let median = |name: &str, level: f64| {
        let percentile = json!({"fact_id": facts[0], "level": level});
        json!({"name": name, "entity_id": study.entity(), "kind": "percentile", "percentile": percentile})
    };
    let steps = json!([{"fact_id": facts[1]}, {"fact_id": facts[0]}]);
    let funnel = json!({"name": "funnel", "entity_id": study.entity(), "kind": "funnel", "funnel": {"steps": steps}});
    for metric in [funnel, median("median", 0.5), median("p40", 0.4)] {
        // By themselves they ask about the sources, which no other metric is of.
        let alone = here.api.post("/metrics", &metric).await.unwrap()["id"].as_str().unwrap().to_owned();
        metrics.insert(0, alone);
    }
    for (attached, metric) in metrics.iter().enumerate() {
        study.attach(experiment, metric, attached == 0).await;
        let ended = here.run(experiment).await;
        assert_eq!((&ended.run["state"], &ended.run["progress"]), (&json!("success"), &Value::Null), "{}", ended.run);
        let expected = |tx: &mut dyn Tx| {
            let sql = "SELECT steps_expected FROM runs ORDER BY id";
            query_as::<i64>(tx, "runs", sql, &[], |row| row.get("steps_expected"))
        };
        let expected: Result<_, StoreError> = here.running.registry().db().read(expected).await;
        let there = ended.run["steps"].as_array().unwrap().len();
        assert_eq!(usize::try_from(*expected.unwrap().last().unwrap()).unwrap(), there, "{} metrics", attached + 1);
    }
}
