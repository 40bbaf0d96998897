//! The demo's own server, started in this process: the one place of the demo that knows how.

use std::{net::SocketAddr, path::Path};

use crate::{
    app::{App, Running},
    config::Config,
};

/// Serves the data folder on embedded defaults, and may send to this machine.
pub async fn start(data: &Path, listen: SocketAddr) -> Result<Running, String> {
    let own_machine = "127.0.0.0/8".parse()?;
    let config = Config { listen, data: data.to_owned(), allow_networks: vec![own_machine], ..Config::default() };
    App::start(config).await.map_err(|error| format!("the server does not start: {error}; try another --listen"))
}
