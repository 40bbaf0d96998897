//! The receiver over real TCP: what is genuine, forged, stale, repeated; and its failing on demand.

use std::{net::Ipv4Addr, sync::mpsc};

use bellwether_webhook::{Signer, body, data};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::*;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

struct Bench {
    receiver: Receiver,
    received: mpsc::Receiver<Received>,
}

impl Bench {
    async fn with(behaviour: Behaviour) -> Bench {
        let (sender, received) = mpsc::channel();
        let secret = Secret::parse(SECRET).unwrap();
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let receiver = Receiver::start(any_port, &secret, behaviour, move |received| sender.send(received).unwrap());
        Bench { receiver: receiver.await.unwrap(), received }
    }

    /// Sends the request and says how it was answered and what the receiver told of it.
    async fn send(&self, webhook: &Sent) -> (u16, Received) {
        let status = exchange(self.receiver.address(), &webhook.request()).await;
        (status, self.received.try_recv().unwrap())
    }
}

async fn exchange(address: SocketAddr, request: &str) -> u16 {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

struct Sent {
    id: &'static str,
    timestamp: i64,
    body_secret: &'static str,
    header_secret: &'static str,
}

impl Sent {
    fn genuine(id: &'static str) -> Sent {
        let timestamp = SystemClock::start().now().as_seconds();
        Sent { id, timestamp, body_secret: SECRET, header_secret: SECRET }
    }

    fn request(&self) -> String {
        let [in_body, in_header] =
            [self.body_secret, self.header_secret].map(|secret| Signer::new(&Secret::parse(secret).unwrap()));
        let data = data(42, "checkout-\u{1f600}", None);
        let body = body("experiment.status.updated", &data, &in_body.sign_data(data.as_bytes()));
        let Sent { id, timestamp, .. } = self;
        let signature = in_header.sign_message(id, *timestamp, body.as_bytes());
        format!(
            "POST /any/path HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\nwebhook-id: {id}\r\n\
             webhook-timestamp: {timestamp}\r\nwebhook-signature: {signature}\r\nbellwether-revision: 7\r\n\
             bellwether-attempt: 2\r\n\r\n{body}",
            body.len()
        )
    }
}

#[tokio::test]
async fn a_genuine_one_is_accepted_and_its_copy_known() {
    let bench = Bench::with(Behaviour::default()).await;
    let (status, first) = bench.send(&Sent::genuine("evt_1")).await;
    assert!(status == 204 && first.is_genuine() && !first.is_duplicate, "{first}");
    assert_eq!((first.revision, first.attempt), (Some(7), Some(2)));
    for part in
        ["experiment.status.updated", "checkout-", "(42)", "revision 7", "attempt 2", "evt_1", "✓ body signature ✓"]
    {
        assert!(first.to_string().contains(part), "{part} is not in {first}");
    }
    let (status, copy) = bench.send(&Sent::genuine("evt_1")).await;
    assert!(status == 204 && copy.is_duplicate, "{copy}");
    assert!(!bench.send(&Sent::genuine("evt_2")).await.1.is_duplicate);
    assert_eq!(copy.to_json()["data"]["experiment_key"], "checkout-\u{1f600}");
}

#[tokio::test]
async fn what_either_signature_does_not_cover_is_refused_with_the_reason() {
    let bench = Bench::with(Behaviour::default()).await;
    let stale = Sent { timestamp: Sent::genuine("").timestamp - 301, ..Sent::genuine("evt_1") };
    for (sent, reason) in [
        (Sent { header_secret: "another", ..Sent::genuine("evt_1") }, "standard-webhooks ✗ no signature fits"),
        (Sent { body_secret: "another", ..Sent::genuine("evt_1") }, "body signature ✗ no signature fits"),
        (stale, "apart"),
    ] {
        let (status, received) = bench.send(&sent).await;
        assert_eq!(status, 400);
        assert!(received.refusal().unwrap().contains(reason), "{received}");
        assert_eq!(received.to_json()["is_verified"], false);
    }
    let (status, received) = bench.send(&Sent::genuine("evt_1")).await;
    assert!(status == 204 && !received.is_duplicate, "a refused one is not remembered: {received}");
}

#[tokio::test]
async fn it_fails_as_told_then_recovers_and_a_retry_is_no_duplicate() {
    let behaviour = Behaviour { fail_first: Some(2), ..Behaviour::default() };
    let bench = Bench::with(behaviour).await;
    let mut answers = Vec::new();
    for _ in 0..4 {
        let (status, received) = bench.send(&Sent::genuine("evt_1")).await;
        answers.push((status, received.is_duplicate));
    }
    assert_eq!(answers, [(503, false), (503, false), (204, false), (204, true)]);

    let always = Bench::with(Behaviour { status: Some(StatusCode::GONE), ..Behaviour::default() }).await;
    assert_eq!(always.send(&Sent::genuine("evt_1")).await.0, 410);
    assert_eq!(always.send(&Sent::genuine("evt_1")).await.0, 410);
}

#[tokio::test]
async fn other_methods_and_large_bodies_are_refused() {
    let bench = Bench::with(Behaviour::default()).await;
    let address = bench.receiver.address();
    assert_eq!(exchange(address, "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await, 405);
    let size = LARGEST_BODY + 1;
    let head = format!("POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {size}\r\n\r\n");
    assert_eq!(exchange(address, &(head + &" ".repeat(size))).await, 400);
    assert!(bench.received.try_recv().unwrap().refusal().unwrap().contains("1048576"));
}

#[tokio::test]
async fn stopping_frees_the_address() {
    let bench = Bench::with(Behaviour::default()).await;
    let address = bench.receiver.address();
    bench.receiver.stop().await;
    TcpListener::bind(address).await.unwrap();
}

#[test]
fn the_oldest_ids_are_forgotten_first() {
    let mut ledger = Ledger::default();
    for number in 0..=REMEMBERED_IDS {
        ledger.remember(&number.to_string());
    }
    assert!(!ledger.accepted.contains("0") && ledger.accepted.contains("1"));
    assert_eq!((ledger.accepted.len(), ledger.order.len()), (REMEMBERED_IDS, REMEMBERED_IDS));
}
