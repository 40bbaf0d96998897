//! Writes what came of attempts: many outcomes in one transaction, at low priority, again and again until it holds.

use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::id::{DeliveryId, EndpointId};
use crate::store::deliveries::{self, DeliveryState, Outcome};
use crate::store::{Db, StoreError};

/// The most outcomes under one transaction.
const LARGEST_BATCH: usize = 256;
const SHORTEST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// An outcome, and whose lane waits for it to be on disk.
pub struct Answered {
    pub endpoint_id: EndpointId,
    pub outcome: Outcome,
}

/// Deliveries of one endpoint whose end is on disk.
pub type Recorded = HashMap<EndpointId, Vec<DeliveryId>>;

/// Runs until `answered` is closed and everything from it is written. Nothing is dropped: while the database cannot
/// take it, the lanes wait, for they are told only what is on disk.
pub async fn run(db: Db, mut answered: mpsc::UnboundedReceiver<Answered>, recorded: mpsc::UnboundedSender<Recorded>) {
    let mut batch = Vec::new();
    while answered.recv_many(&mut batch, LARGEST_BATCH).await > 0 {
        let mut ended = Recorded::new();
        for answer in batch.iter().filter(|answer| answer.outcome.state != DeliveryState::Pending) {
            ended.entry(answer.endpoint_id).or_default().push(answer.outcome.delivery_id);
        }
        let outcomes: std::sync::Arc<[Outcome]> = batch.drain(..).map(|answer| answer.outcome).collect();
        let mut wait = SHORTEST_WAIT;
        loop {
            let outcomes = outcomes.clone();
            let written: Result<(), StoreError> = db.write_outcomes(move |tx| deliveries::record(tx, &outcomes)).await;
            let Err(error) = written else { break };
            tracing::warn!(%error, "outcomes of deliveries cannot be recorded yet; trying again");
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
        // Nobody listens any more when the engine has been stopped.
        let _ = recorded.send(ended);
    }
}
