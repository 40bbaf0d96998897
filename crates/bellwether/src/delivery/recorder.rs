//! Writes what came of attempts: many outcomes in one transaction, at low priority, again and again until it holds.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::id::{DeliveryId, EndpointId};
use crate::store::deliveries::{self, Outcome};
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

/// Deliveries of each endpoint whose latest outcome is on disk.
pub type Recorded = HashMap<EndpointId, Vec<DeliveryId>>;

/// Runs until `answered` is closed and everything from it is written. Nothing is dropped while the database cannot take
/// it: the lanes wait, for they are told only what is on disk.
pub async fn run(db: Db, mut answered: mpsc::UnboundedReceiver<Answered>, recorded: mpsc::UnboundedSender<Recorded>) {
    let mut batch = Vec::new();
    while answered.recv_many(&mut batch, LARGEST_BATCH).await > 0 {
        let mut done = Recorded::new();
        for answer in &batch {
            done.entry(answer.endpoint_id).or_default().push(answer.outcome.delivery_id);
        }
        let outcomes: Arc<[Outcome]> = batch.drain(..).map(|answer| answer.outcome).collect();
        if let Err(error) = write(&db, outcomes.clone()).await {
            // One of them cannot be written, ever. It must not keep the others out.
            tracing::error!(%error, "some outcomes of deliveries cannot be recorded; writing them one by one");
            for outcome in outcomes.iter() {
                if let Err(error) = write(&db, Arc::from([outcome.clone()])).await {
                    tracing::error!(%error, delivery = %outcome.delivery_id, "an outcome was not recorded");
                }
            }
        }
        // Nobody listens any more when the engine has been stopped.
        let _ = recorded.send(done);
    }
}

/// Tries until it holds, or until it is certain that it never will.
async fn write(db: &Db, outcomes: Arc<[Outcome]>) -> Result<(), StoreError> {
    let mut wait = SHORTEST_WAIT;
    loop {
        let outcomes = outcomes.clone();
        let written: Result<(), StoreError> = db.write_outcomes(move |tx| deliveries::record(tx, &outcomes)).await;
        match written {
            Err(error @ (StoreError::Unavailable(_) | StoreError::Full(_) | StoreError::OutcomeUnknown(_))) => {
                tracing::warn!(%error, "outcomes of deliveries cannot be recorded yet; trying again");
            }
            other => return other,
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}
