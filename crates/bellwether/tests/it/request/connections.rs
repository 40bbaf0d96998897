//! How many connections there are, and how long they live.

use super::*;

#[tokio::test]
async fn a_connection_is_used_again() {
    let raw = Raw::answering(NO_CONTENT).await;
    let client = client(raw.url(), &outbound(&OutboundSettings::default()));
    for _ in 0..20 {
        assert_eq!(code(&send(&client).await), 204);
    }
    assert_eq!(raw.connections(), 1);
}

#[tokio::test]
async fn one_that_the_receiver_closed_is_not() {
    let raw = Raw::closing("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok").await;
    let client = client(raw.url(), &outbound(&OutboundSettings::default()));
    for _ in 0..5 {
        assert_eq!(body(&send(&client).await), "ok");
    }
    assert_eq!(raw.connections(), 5);
}

#[tokio::test]
async fn there_are_never_more_than_may_be_in_flight() {
    let open = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let (counted, peak) = (open.clone(), most.clone());
    let raw = Raw::start(move |mut stream| {
        let (open, most) = (counted.clone(), peak.clone());
        async move {
            most.fetch_max(open.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            while read_request(&mut stream).await.is_some() {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
            }
            open.fetch_sub(1, Ordering::SeqCst);
        }
    })
    .await;
    let target = Target { max_in_flight: 3, ..target(raw.url()) };
    let client = Arc::new(Client::connect(target, &outbound(&OutboundSettings::default())).unwrap());
    let mut sending = JoinSet::new();
    for _ in 0..50 {
        let client = client.clone();
        sending.spawn(async move { code(&send(&client).await) });
    }
    assert_eq!(sending.join_all().await, [200; 50]);
    assert!((1..=3).contains(&most.load(Ordering::SeqCst)), "{most:?} at once");
}

#[tokio::test]
async fn a_name_with_a_dead_address_is_reached_at_another() {
    let listener = Raw::answering(NO_CONTENT).await;
    // Nobody listens at the first one's port.
    let names = Names::with("hooks.test", &[&["127.0.0.2", "127.0.0.1"]]);
    let policy = AddressPolicy { allow_networks: vec!["127.0.0.0/8".parse().unwrap()], allow_http: false };
    let outbound = Outbound::from_settings(&OutboundSettings::default(), policy, Arc::new(SystemClock::start()))
        .unwrap()
        .with_resolver(names);
    let answer = send_once(format!("http://hooks.test:{}/", listener.address.port()), &outbound).await;
    assert_eq!(code(&answer), 204);
}

/// Three connections for eight receivers: those without work give way, and nobody fails for it.
#[tokio::test]
async fn more_receivers_than_connections_are_all_reached() {
    let outbound = outbound(&OutboundSettings::default()).with_connections(3);
    let mut receivers = Vec::new();
    for _ in 0..8 {
        receivers.push(Raw::answering(NO_CONTENT).await);
    }
    let clients: Vec<_> = receivers.iter().map(|raw| Arc::new(client(raw.url(), &outbound))).collect();
    for round in 0..3 {
        let mut sending = JoinSet::new();
        for client in clients.clone() {
            sending.spawn(async move { code(&send(&client).await) });
        }
        assert_eq!(sending.join_all().await, [204; 8], "round {round}");
        let (most, open) = outbound.connections();
        assert!(most == 3 && open <= 3, "{open} of {most}");
    }
}

/// With no connection to be had, no request is made: that is this server's want, and no failure of the receiver.
#[tokio::test]
async fn want_of_connections_is_told_apart() {
    let raw = Raw::answering(NO_CONTENT).await;
    let outbound = outbound(&OutboundSettings::default())
        .with_timeouts(Timeouts { connect: SHORT, ..LONG_TIMEOUTS })
        .with_connections(0);
    let answer = send_once(raw.url(), &outbound).await;
    assert_failed(&answer, ErrorClass::LocalLimit);
    assert!(answer.own_want().is_some());
    assert_eq!(raw.connections(), 0);
}

/// `localhost` is the loopback address that is allowed, at the door and when sending.
#[tokio::test]
async fn localhost_is_reached_where_loopback_is_allowed() {
    let raw = Raw::answering(NO_CONTENT).await;
    let policy = AddressPolicy { allow_networks: vec!["127.0.0.0/8".parse().unwrap()], allow_http: false };
    let url = format!("http://localhost:{}/", raw.address.port());
    assert!(policy.vet_url(&url).is_ok());
    let outbound =
        Outbound::from_settings(&OutboundSettings::default(), policy, Arc::new(SystemClock::start())).unwrap();
    assert_eq!(code(&send_once(url.clone(), &outbound).await), 204);
    assert!(AddressPolicy::default().vet_url(&url).is_err());
}
