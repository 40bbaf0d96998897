//! The usual receiver: it is told that a status changed, asks Eppo's API for the experiment, and rolls the winner out. It knows
//! nothing of Bellwether: the body's signature, the token, Eppo's words.

use std::collections::BTreeMap;

use bellwether_testkit::databases::Database;
use bellwether_testkit::on_both;
use bellwether_testkit::receiver::{Received, Receiver};
use bellwether_webhook::{Secret, sign_data};
use serde_json::{Value, json};

use super::{get, running};
use crate::api::subscribe_with;
use crate::server::Server;

/// A receiver as they stand in the field, and the flags that it serves.
struct Rollout<'s> {
    eppo: &'s Server,
    secret: &'s Secret,
    served: BTreeMap<String, String>,
}

impl Rollout<'_> {
    async fn receive(&mut self, request: &Received) {
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        let data = &body["data"];
        let is_signed = body["signature"] == sign_data(self.secret, data.to_string().as_bytes());
        if !is_signed || body["event"] != "experiment.status.updated" {
            return;
        }
        let experiment = get(self.eppo, &format!("/experiments/{}", data["experiment_id"])).await;
        if let ("Concluded", Some(winner)) =
            (experiment["status"].as_str().unwrap(), experiment["winning_variant_key"].as_str())
        {
            self.served.insert(experiment["experiment_key"].as_str().unwrap().to_owned(), winner.to_owned());
        }
    }
}

async fn a_winner_is_rolled_out_by_a_receiver_that_knows_eppos_api_alone(database: Database) {
    let (server, _, id) = running(&database).await;
    let receiver = Receiver::start().await;
    // Its secret is the one that Eppo gave: any text.
    let secret = Secret::parse("a secret that Eppo made").unwrap();
    let endpoint = json!({"url": receiver.url("/"), "secret": secret.text(), "events": ["experiment.status.updated"]});
    subscribe_with(&server, endpoint).await;
    let decision = json!({"outcome": "ship", "winning_variation": "red", "reason": "it sold more"});
    server.post(&format!("/experiments/{id}/decide"), decision).await.expect(200);
    let received = receiver.wait_for(1).await;
    let mut rollout = Rollout { eppo: &server, secret: &secret, served: BTreeMap::new() };
    rollout.receive(&received[0]).await;
    assert_eq!(rollout.served, BTreeMap::from([("checkout-cta".to_owned(), "red".to_owned())]));
    println!("rolled out: {:?}", rollout.served);
    server.stop().await;
}

on_both!(a_winner_is_rolled_out_by_a_receiver_that_knows_eppos_api_alone);
