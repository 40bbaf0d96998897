//! The demo's own server, started in this process: the one place of the demo that knows how.

use std::net::SocketAddr;
use std::path::Path;

use crate::app::{self, Running};
use crate::config::Config;
use crate::domain::address::AddressPolicy;

/// Serves the data folder on embedded defaults, and may send to this machine. Also gives the admin key.
pub async fn start(data: &Path, listen: SocketAddr) -> Result<(Running, String), String> {
    let own_machine = "127.0.0.0/8".parse()?;
    let addresses = AddressPolicy { allow_networks: vec![own_machine], allow_http: false };
    let config = Config { listen, addresses, ..Config::defaults(data) };
    let server = app::start(config).await;
    let server = server.map_err(|error| format!("the server does not start: {error}; try another --listen"))?;
    let admin_key = server.admin_key().ok_or("the data folder has been used before")?.to_owned();
    Ok((server, admin_key))
}
