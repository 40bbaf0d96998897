//! Schedules: an experiment is due by what its schedule says now.

use std::time::Duration;

use bellwether::domain::clock::Timestamp;
use bellwether::store::{StoreError, experiments};
use bellwether_testkit::databases::Database;
use bellwether_testkit::on_both;
use serde_json::{Value, json};

use crate::server::{Definitions, Server};

async fn next_run(server: &Server, id: i64) -> Option<Timestamp> {
    let next: Result<_, StoreError> =
        server.running().registry().db().read(move |tx| experiments::next_run(tx, id)).await;
    next.unwrap()
}

async fn an_edited_schedule_moves_the_runs_that_follow_it(database: Database) {
    let server = Server::start(&database).await;
    let definitions = Definitions::make(&server, &database).await;
    let yearly = server.make("/schedules", json!({"name": "yearly", "cron": "0 6 1 1 *"})).await;
    let mut experiment = definitions.experiment("k");
    experiment["schedule_id"] = json!(yearly);
    let id = server.experiment(experiment).await;
    assert_eq!(next_run(&server, id).await, None, "a draft is not due");
    let started = server.post(&format!("/experiments/{id}/start"), Value::Null).await.expect(200);
    assert_eq!(started["next_run_at"], server.get(&format!("/experiments/{id}")).await["next_run_at"]);
    let first = next_run(&server, id).await.expect("it runs by schedule");
    let new_year: Timestamp = format!("{}-01-01T06:00:00Z", first.date().year()).parse().unwrap();
    assert!(first >= new_year && first < new_year.plus(Duration::from_mins(10)), "{first}");
    assert_eq!(server.get(&format!("/experiments/{id}")).await["next_run_at"], json!(first));

    server.patch(&format!("/schedules/{yearly}"), json!({"cron": "* * * * *"})).await.expect(200);
    let now = server.running().registry().clock().now();
    let moved = next_run(&server, id).await.expect("it still runs by schedule");
    let latest = now.plus(Duration::from_secs(66));
    assert!(moved <= latest, "{moved} is more than a minute, and a tenth of it, after {now}");
    server.stop().await;
}

on_both!(an_edited_schedule_moves_the_runs_that_follow_it);
