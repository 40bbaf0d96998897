//! Names that resolve to what they should not, at once or later.

use bellwether::delivery::transport::error::ErrorClass;

use super::*;

fn with(names: &Arc<Names>) -> Outbound {
    outbound(&OutboundSettings::default()).with_resolver(names.clone())
}

#[tokio::test]
async fn one_bad_address_refuses_all() {
    let raw = Raw::answering(NO_CONTENT).await;
    let port = raw.address.port();
    for bad in ["10.0.0.1", "169.254.169.254", "127.0.0.2", "::1", "::ffff:10.0.0.1", "64:ff9b::a00:1"] {
        let names = Names::with("hooks.test", &[&["127.0.0.1", bad]]);
        let answer = send_once(format!("http://hooks.test:{port}/"), &with(&names)).await;
        let message = assert_failed(&answer, ErrorClass::BlockedAddress);
        assert!(message.contains(bad), "{message}");
    }
    assert_eq!(raw.connections(), 0);
}

#[tokio::test]
async fn addresses_in_urls_are_vetted_without_being_looked_up() {
    let names = Names::with("hooks.test", &[]);
    for url in ["https://[::1]/", "https://2130706434/", "https://0x7f.0.0.2/", "https://[::ffff:10.0.0.1]:443/"] {
        assert_failed(&send_once(url, &with(&names)).await, ErrorClass::BlockedAddress);
    }
    assert_eq!(names.asked(), 0);
}

#[tokio::test]
async fn a_name_that_is_rebound_is_refused_on_its_next_connection() {
    let allowed = Raw::closing(NO_CONTENT).await;
    let port = allowed.address.port();
    let forbidden = Raw::at(&format!("127.0.0.2:{port}"), |_| std::future::pending()).await;
    let names = Names::with("hooks.test", &[&["127.0.0.1"], &["127.0.0.2"]]);
    let client = client(format!("http://hooks.test:{port}/"), &with(&names));
    assert_eq!(code(&send(&client).await), 204);
    assert_eq!(names.asked(), 1);
    let answer = send(&client).await;
    assert_failed(&answer, ErrorClass::BlockedAddress);
    // One look-up a connection: none stands between vetting and connecting.
    assert_eq!((names.asked(), allowed.connections(), forbidden.connections()), (2, 1, 0));
}

#[tokio::test]
async fn a_name_without_addresses_is_told() {
    let names = Names::with("empty.test", &[&[]]);
    for name in ["hooks.test", "empty.test"] {
        let answer = send_once(format!("https://{name}/"), &with(&names)).await;
        let message = assert_failed(&answer, ErrorClass::Dns);
        assert!(message.contains(name), "{message}");
    }
}
