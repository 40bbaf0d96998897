//! Experiments that nobody touches: they start, end and are decided by themselves, and a receiver hears of it in order.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use bellwether::domain::clock::{Clock, Timestamp};
use bellwether_testkit::clocks::JumpingClock;
use bellwether_testkit::receiver::Receiver;
use http::Method;
use serde_json::{Value, json};

use crate::installation::{Installation, shown, write};
use crate::study::{FACTS, KEY, Study};

const MINUTE: i64 = 60_000_000;

/// Subjects of both arms that were assigned within a minute of this time, each with a fact a second later: amounts about 10
/// in the control, about `treatment` in the other.
fn write_tables(here: &Installation, first: Timestamp, count: u64, treatment: f64) {
    let mut assignments = "subject,variation,at,experiment\n".to_owned();
    let mut facts = "subject,at,amount\n".to_owned();
    for n in 0..count {
        let (variation, amount) = if n % 2 == 0 { ("control", 10.0) } else { ("treatment", treatment) };
        let at = first.plus(Duration::from_millis(n * 60_000 / count));
        let noise = (n * 7919 % 101) as f64 / 50.0 - 1.0;
        writeln!(assignments, "{n},{variation},{at},{KEY}").unwrap();
        writeln!(facts, "{n},{},{}", at.plus(Duration::from_secs(1)), amount + noise).unwrap();
    }
    write(&here.files(), "assignments.csv", &assignments);
    write(&here.files(), "facts.csv", &facts);
}

struct Stage {
    here: Installation,
    clock: Arc<JumpingClock>,
    receiver: Receiver,
    study: Study,
    metric: String,
}

impl Stage {
    async fn set() -> Self {
        let clock = Arc::new(JumpingClock::start());
        let here = Installation::by(clock.clone(), |_| {}).await;
        let receiver = Receiver::start().await;
        write_tables(&here, clock.now(), 2, 10.0);
        let study = Study::define(&here.api, &here.files()).await;
        let (metric, _) = study.metric("Amount", FACTS, Some("amount"), "sum").await;
        let endpoint = json!({"url": receiver.url("/"), "format": "detailed"});
        here.api.post("/endpoints", &endpoint).await.unwrap();
        Self { here, clock, receiver, study, metric }
    }

    /// What the receiver has heard, once it is so many: the event, the actor, and the status that it came to, if it did.
    async fn heard(&self, count: usize) -> Vec<(String, String, String)> {
        let received = self.receiver.wait_for(count).await;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let of = |body: Value| {
            let event = text(&body["event"]).replace("experiment.", "").replace(".updated", "");
            let changes = body["data"]["changes"].as_array().cloned().unwrap_or_default();
            let status = changes.iter().find(|change| change["field"] == "status").map(|change| text(&change["to"]));
            (event, text(&body["data"]["actor"]["type"]), status.unwrap_or_default())
        };
        received.iter().map(|request| of(request.json())).collect()
    }

    async fn history(&self, experiment: i64) -> Vec<Value> {
        let path = format!("/experiments/{experiment}/history?limit=250");
        self.here.api.get(&path).await.unwrap()["items"].as_array().unwrap().clone()
    }
}

fn said(event: &str, actor: &str, status: &str) -> (String, String, String) {
    (event.to_owned(), actor.to_owned(), status.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_experiment_goes_from_draft_to_ready_for_review_untouched_by_its_dates() {
    let stage = Stage::set().await;
    let now = stage.clock.now();
    let (start, end) = (now.plus(Duration::from_secs(180)), now.plus(Duration::from_secs(360)));
    write_tables(&stage.here, start, 80, 12.0);
    let fields = json!({
        "assignments_start_date": start, "assignments_end_date": end,
        "metrics": [{"metric_id": stage.metric, "is_primary": true}],
    });
    let experiment = stage.study.draft(KEY, fields).await;
    assert_eq!(
        stage.heard(2).await,
        [said("configuration", "key", ""), said("metric", "key", "")],
        "nothing is due before its time"
    );
    // Less than what is taken for a jump that may be wrong.
    stage.clock.jump(4 * MINUTE);
    assert_eq!(stage.heard(3).await[2], said("status", "system", "running"));
    stage.clock.jump(4 * MINUTE);
    assert_eq!(
        stage.heard(5).await[3..],
        [said("calculated_metrics", "system", ""), said("status", "system", "ready_for_review")]
    );
    let shown = stage.here.api.get(&format!("/experiments/{experiment}")).await.unwrap();
    assert_eq!((&shown["status"], &shown["revision"]), (&json!("ready_for_review"), &json!(5)));
    let results = stage.here.results(experiment).await;
    assert_eq!(results["traffic"]["variations"][0]["subjects"], 40);
    let history = stage.history(experiment).await;
    assert!(history[2]["reason"].as_str().unwrap().contains("has come"), "{history:?}");
    assert!(history[4]["reason"].as_str().unwrap().contains("final results"), "{history:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_far_ahead_starts_and_ends_nothing_for_an_hour() {
    let stage = Stage::set().await;
    let start = stage.clock.now().plus(Duration::from_hours(2));
    write_tables(&stage.here, start, 80, 12.0);
    let experiment = stage.study.draft(KEY, json!({"assignments_start_date": start})).await;
    stage.heard(1).await;
    stage.clock.jump(3 * 60 * MINUTE);
    stage.here.running.registry().carry_out_due(100).await.unwrap();
    let path = format!("/experiments/{experiment}");
    assert_eq!(stage.here.api.get(&path).await.unwrap()["status"], "draft");
    assert!(stage.here.running.registry().clock_doubt().is_some());
    // Whoever asks for it is believed.
    stage.here.api.post(&format!("{path}/start"), &json!({})).await.unwrap();
    assert_eq!(stage.heard(2).await[1], said("status", "key", "running"));
}

#[tokio::test(flavor = "multi_thread")]
async fn results_decide_before_the_end_under_a_plan_that_may_look_early_and_no_other() {
    for (method, is_decided) in [("sequential", true), ("bayesian", true), ("fixed", false)] {
        let stage = Stage::set().await;
        let start = stage.clock.now().minus(Duration::from_hours(1));
        write_tables(&stage.here, start, 1000, 13.0);
        let fields = json!({
            "assignments_start_date": start, "analysis_plan": {"method": method, "minimum_subjects": 1000},
            "metrics": [{"metric_id": stage.metric, "is_primary": true}],
        });
        let experiment = stage.study.started(KEY, fields).await;
        let run = stage.here.api.post(&format!("/experiments/{experiment}/runs"), &json!({})).await.unwrap();
        let heard = stage.heard(if is_decided { 5 } else { 4 }).await;
        assert_eq!(heard[3], said("calculated_metrics", "key", ""), "{method}");
        let results = stage.here.results(experiment).await;
        let treatment = &results["metrics"][0]["variations"][1];
        assert_eq!(
            (&treatment["verdict"], &results["verdict"]["verdict"]),
            (&json!("better"), &json!("better")),
            "{method}"
        );
        let sentence = results["verdict"]["sentence"].as_str().unwrap();
        assert!(sentence.starts_with("'treatment' raises 'Amount' by"), "{sentence}");
        assert_eq!(treatment["posterior"].is_object(), method == "bayesian", "{method}");
        assert_eq!(treatment["p_value"].is_null(), method == "bayesian", "{method}");
        let experiment_shown = stage.here.api.get(&format!("/experiments/{experiment}")).await.unwrap();
        let summary = &experiment_shown["results_summary"];
        assert_eq!((&summary["subjects"], &summary["verdict"]), (&json!(1000), &json!("better")), "{summary}");
        assert_eq!(
            (&summary["leading"]["metric"], &summary["leading"]["variation"]),
            (&json!("Amount"), &json!("treatment"))
        );
        let lift = &summary["leading"]["lift"];
        assert!([&treatment["lift"], &treatment["posterior"]["mean"]].contains(&lift), "{summary}");
        if is_decided {
            assert_eq!(heard[4], said("status", "system", "ready_for_review"), "{method}");
            assert_eq!(results["decided"].as_str(), Some(sentence.trim_end_matches('.')), "{method}");
            assert_eq!(stage.history(experiment).await[4]["action"], "decided_by_results");
        } else {
            assert_eq!((&experiment_shown["status"], &results["decided"]), (&json!("running"), &Value::Null));
        }
        assert_eq!(shown(&stage.here.api, &run).await["state"], "success");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_held_is_released_by_a_later_run_and_a_deleted_experiment_ends_its_run() {
    let stage = Stage::set().await;
    let start = stage.clock.now().minus(Duration::from_hours(2));
    write_tables(&stage.here, start, 80, 13.0);
    let end = stage.clock.now().minus(Duration::from_hours(1));
    let fields = json!({
        "assignments_start_date": start, "assignments_end_date": end, "analysis_plan": {"minimum_subjects": 100},
        "metrics": [{"metric_id": stage.metric, "is_guardrail": true, "guardrail_cutoff": -0.1}],
    });
    let experiment = stage.study.started(KEY, fields).await;
    let path = format!("/experiments/{experiment}");
    stage.here.api.post(&format!("{path}/runs"), &json!({})).await.unwrap();
    assert_eq!(stage.heard(5).await[4], said("status", "system", "wrap_up"));
    let held = stage.history(experiment).await[4]["reason"].as_str().unwrap().to_owned();
    assert!(held.contains("80 subjects count, of 100"), "{held}");
    let results = stage.here.results(experiment).await;
    assert_eq!(results["metrics"][0]["variations"][1]["guardrail"], "safe");
    write_tables(&stage.here, start, 120, 13.0);
    stage.here.api.post(&format!("{path}/runs"), &json!({})).await.unwrap();
    assert_eq!(stage.heard(7).await[6], said("status", "system", "ready_for_review"));

    stage.study.set_assignments(crate::study::ENDLESS).await;
    let run = stage.here.api.post(&format!("{path}/runs"), &json!({})).await.unwrap();
    crate::installation::until_under_way(&stage.here.api, &run).await;
    stage.here.api.exchange(Method::DELETE, &path, None).await.unwrap();
    let heard = stage.heard(9).await;
    assert_eq!(heard[7..], [said("calculated_metrics", "key", ""), said("status", "key", "deleted")]);
    let ended = shown(&stage.here.api, &run).await;
    assert_eq!(ended["state"], "failure");
    assert!(ended["error"].as_str().unwrap().contains("deleted"), "{ended}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_is_moved_into_the_past_has_a_final_run_of_its_own() {
    let stage = Stage::set().await;
    let start = stage.clock.now().minus(Duration::from_hours(2));
    write_tables(&stage.here, start, 80, 13.0);
    let fields = json!({"assignments_start_date": start, "metrics": [{"metric_id": stage.metric}]});
    let experiment = stage.study.started(KEY, fields).await;
    let path = format!("/experiments/{experiment}");
    stage.here.api.post(&format!("{path}/runs"), &json!({})).await.unwrap();
    stage.heard(4).await;
    let end = start.plus(Duration::from_secs(30));
    stage.here.api.patch(&path, &json!({"assignments_end_date": end})).await.unwrap();
    stage.clock.jump(MINUTE);
    let heard = stage.heard(7).await;
    assert_eq!(heard[5..], [said("calculated_metrics", "system", ""), said("status", "system", "ready_for_review")]);
    let results = stage.here.results(experiment).await;
    assert_eq!(results["traffic"]["variations"][0]["subjects"], 20, "those of the first half minute");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_take_noise_out_of_a_metric_does_not_fail_it() {
    let stage = Stage::set().await;
    let start = stage.clock.now().minus(Duration::from_hours(2));
    write_tables(&stage.here, start, 80, 13.0);
    // Nobody has a past, so that its upper bound is 0, below the lower one.
    let winsorization = json!({"lower_value": 1, "upper_percentile": 0.99});
    let metric = json!({"metric_id": stage.metric, "is_primary": true, "winsorization": winsorization});
    let plan = json!({"cuped": true});
    let fields = json!({"assignments_start_date": start, "analysis_plan": plan, "metrics": [metric]});
    let experiment = stage.study.started(KEY, fields).await;
    let run = stage.here.api.post(&format!("/experiments/{experiment}/runs"), &json!({})).await.unwrap();
    stage.heard(4).await;
    let run = shown(&stage.here.api, &run).await;
    assert_eq!(run["state"], "success", "{}", run["error"]);
    let results = stage.here.results(experiment).await;
    let treatment = &results["metrics"][0]["variations"][1];
    assert!(treatment["lift"].is_number() && treatment["cuped"].is_null(), "{treatment}");
}
