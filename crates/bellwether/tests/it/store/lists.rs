//! Deliveries are found by id, by event, by endpoint, and by where they stand in a queue.

use bellwether::domain::delivery::{Delivery, DeliveryState, Origin, Queue};
use bellwether::domain::event::{Event, Format};
use bellwether::domain::id::{DeliveryId, EndpointId, EventId};
use bellwether::domain::topic::Topic;
use bellwether::store::deliveries::{self, Selection};
use bellwether::store::pending::{self, Look, Owed};
use bellwether::store::{Tx, event_log, events, experiments, outcomes};
use bellwether_testkit::databases::Database;
use bellwether_testkit::on_both;
use bellwether_webhook::EventType;

use super::delivery::{OWED, behind, delivery_id, delivery_ids, event_id, outcome, place, with_deliveries};
use super::{at, event_of, read, write};

async fn deliveries_are_listed_by_id_by_event_and_by_queue(database: Database) {
    let db = database.open().await;
    with_deliveries(&db).await;
    let ids = |listed: Vec<Delivery>| listed.into_iter().map(|delivery| delivery.id).collect::<Vec<_>>();
    let list =
        async |selection: Selection| ids(read(&db, move |tx| deliveries::list(tx, &selection)).await.unwrap().found);
    let ten = || Selection { limit: 10, ..Selection::default() };
    assert_eq!(list(Selection { limit: 3, ..ten() }).await, delivery_ids(&[111, 112, 121]));
    let after = Some(delivery_id(222));
    assert_eq!(list(Selection { after, endpoint: Some(EndpointId::of(2)), ..ten() }).await, delivery_ids(&[232]));
    let newest = || Selection { is_newest_first: true, ..ten() };
    assert_eq!(list(Selection { limit: 3, ..newest() }).await, delivery_ids(&[232, 231, 222]));
    let before = Some(delivery_id(121));
    assert_eq!(
        list(Selection { after: before, endpoint: Some(EndpointId::of(1)), ..newest() }).await,
        delivery_ids(&[111])
    );
    assert!(list(Selection { is_delivered: true, ..ten() }).await.is_empty());
    write(&db, |tx| outcomes::record(tx, &[&outcome(131, 1, DeliveryState::Delivered)])).await.unwrap();
    assert_eq!(list(Selection { is_delivered: true, ..ten() }).await, delivery_ids(&[131]));

    let queued = async |endpoint: Option<u128>, queues: &'static [Queue], after: Option<u128>, limit: u32| {
        let after = after.map(|number| OWED.position(place(number)));
        let list =
            move |tx: &mut dyn Tx| deliveries::list_queued(tx, endpoint.map(EndpointId::of), queues, after, limit);
        ids(read(&db, list).await.unwrap())
    };
    const PENDING: &[Queue] = &[Queue::Live, Queue::Behind];
    assert_eq!(queued(Some(1), PENDING, None, 10).await, delivery_ids(&[111, 121, 211, 221, 231]));
    assert_eq!(queued(Some(1), PENDING, Some(121), 2).await, delivery_ids(&[211, 221]));
    assert_eq!(queued(None, PENDING, Some(231), 3).await, delivery_ids(&[112, 122, 132]), "lane after lane");
    assert!(queued(None, &[Queue::Exhausted], None, 9).await.is_empty());

    // Those that are sent once more have ids of their own, and are the event's all the same.
    let again = DeliveryId::of(u128::MAX);
    write(&db, move |tx| {
        let event = events::get(tx, event_id(230))?.expect("it is there");
        deliveries::insert(tx, &event, Origin::Resend, at(900), &[(again, 2)])
    })
    .await
    .unwrap();
    let of_event = ids(read(&db, |tx| deliveries::list_of_event(tx, event_id(230))).await.unwrap());
    assert_eq!(of_event, [delivery_ids(&[231, 232]), vec![again]].concat());
    for (event, is_any) in [(event_id(230), true), (event_id(999), false)] {
        assert_eq!(read(&db, move |tx| deliveries::is_any_of(tx, event)).await.unwrap(), is_any);
    }
    let known = [event_id(110), event_id(999), event_id(230)];
    let among = async |endpoint: u128| {
        let owed = read(&db, move |tx| deliveries::owed_among(tx, EndpointId::of(endpoint), &known)).await.unwrap();
        known.map(|event| owed.contains(&event))
    };
    assert_eq!((among(2).await, among(3).await), ([true, false, true], [false; 3]));
    let resent = read(&db, move |tx| deliveries::get(tx, again)).await.unwrap().unwrap();
    assert_eq!(
        (resent.origin, resent.queue, resent.endpoint_id),
        (Origin::Resend, Some(Queue::Live), EndpointId::of(2))
    );
    let owed = Owed { endpoint: EndpointId::of(2), lane: 2, is_behind: false };
    let look = Look { owed, after: behind(2, 2), due_by: at(0), reach: 9, limit: 9, format: Format::Eppo };
    let read = read(&db, move |tx| pending::read(tx, &look)).await.unwrap();
    let read: Vec<_> = read.iter().map(|pending| (pending.id, pending.is_resent)).collect();
    assert_eq!(read, [(delivery_id(232), false), (again, true)]);
}

/// One that is delivered, behind more that are not than one page looks at; and an event of one type behind those of another.
async fn a_page_looks_at_no_more_than_it_may(database: Database) {
    const MANY: i64 = 12_000;
    let db = database.open().await;
    let [id, _] = with_deliveries(&db).await;
    write(&db, |tx| tx.execute("DELETE FROM undelivered", &[]).map(drop)).await.unwrap();
    write(&db, |tx| tx.execute("DELETE FROM deliveries", &[]).map(drop)).await.unwrap();
    write(&db, |tx| tx.execute("DELETE FROM events", &[]).map(drop)).await.unwrap();
    let experiment = read(&db, move |tx| experiments::get(tx, id)).await.unwrap().unwrap();
    let event = event_of(&experiment, 1, EventType::StatusUpdated, 1);
    let template = event.clone();
    write(&db, move |tx| {
        for number in 1..=MANY {
            let id = EventId::of(u128::try_from(number).unwrap());
            let topic = if number == MANY { Topic::Experiment(EventType::MetricUpdated) } else { template.topic };
            events::inserting(&Event { id, revision: number, topic, ..template.clone() }).execute(tx)?;
        }
        Ok(())
    })
    .await
    .unwrap();
    while write(&db, |tx| event_log::number_committed(tx, 1000)).await.unwrap() > 0 {}
    let (mut after, mut pages) = (0, 0);
    let found = loop {
        let types = vec![EventType::MetricUpdated.as_str().to_owned()];
        let selection = event_log::Selection { after, types, limit: 10, ..event_log::Selection::default() };
        let reach = selection.reach();
        let found = read(&db, move |tx| event_log::list(tx, &selection)).await.unwrap();
        (after, pages) = (reach, pages + 1);
        if !found.is_empty() || pages > 5 {
            break found;
        }
    };
    assert_eq!((found.len(), pages), (1, 2), "the second page finds it");

    let owed: Vec<_> = (1..=MANY).map(|number| DeliveryId::of(u128::try_from(number).unwrap())).collect();
    let last = *owed.last().unwrap();
    write(&db, move |tx| {
        for id in &owed {
            deliveries::insert(tx, &event, Origin::Change, at(1), &[(*id, 1)])?;
        }
        tx.execute("DELETE FROM undelivered WHERE delivery_id = $1", &[last.into()]).map(drop)
    })
    .await
    .unwrap();
    let mut selection = Selection { is_delivered: true, limit: 10, ..Selection::default() };
    let mut sizes = Vec::new();
    loop {
        let asked = selection.clone();
        let page = read(&db, move |tx| deliveries::list(tx, &asked)).await.unwrap();
        sizes.push(page.found.len());
        match page.next {
            Some(next) => selection.after = Some(next),
            None => break,
        }
    }
    assert_eq!(sizes, [0, 0, 1], "5000 are looked at for a page");
    let exhausted = |tx: &mut dyn Tx| deliveries::list_queued(tx, None, &[Queue::Exhausted], None, 10);
    assert!(read(&db, exhausted).await.unwrap().is_empty());
}

on_both!(a_page_looks_at_no_more_than_it_may, deliveries_are_listed_by_id_by_event_and_by_queue);
