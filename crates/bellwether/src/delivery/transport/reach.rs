//! Whether the way out is open, as far as can be found out without a word to any receiver.

use std::net::SocketAddr;

use url::Url;

use super::connector::Connector;
use super::dial::dial;
use super::outbound::Outbound;

/// Whether a URL leads to where webhooks may go: its name is looked up, and what is found is vetted.
pub async fn vet(outbound: &Outbound, url: &str) -> Result<(), String> {
    let url = Url::parse(url).map_err(|error| error.to_string())?;
    let connector = Connector::to(&url, outbound.clone())?;
    connector.vet().await.map_err(|error| error.message)
}

/// Connects to the proxy, if there is one, and asks it for nothing: what it is called, and whether it is there.
pub async fn proxy(outbound: &Outbound) -> Option<(String, Result<(), String>)> {
    let proxy = outbound.proxy.as_ref()?;
    let reaching = async {
        let addresses = outbound.guard.resolve(&proxy.host).await.map_err(|error| error.reason)?;
        let addresses = addresses.into_iter().map(|address| SocketAddr::new(address, proxy.port));
        dial(addresses).await.map(drop).map_err(|error| error.reason)
    };
    let limit = outbound.timeouts.connect;
    let late = || Err(format!("it does not answer within {} s", limit.as_secs_f64()));
    let reached = tokio::time::timeout(limit, reaching).await.unwrap_or_else(|_| late());
    Some((format!("{} port {}", proxy.host, proxy.port), reached))
}
