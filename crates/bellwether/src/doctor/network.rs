//! The way out: names, the proxy, and whether each endpoint's host leads to addresses that webhooks may go to. No receiver is
//! sent anything.

use futures_util::StreamExt;
use futures_util::stream;

use super::contents::{Contents, named};
use crate::delivery::transport::outbound::Outbound;
use crate::delivery::transport::reach;
use crate::delivery::transport::resolver::SystemResolver;
use crate::domain::check::Check;

/// Endpoints whose names are looked up at a time.
const AT_ONCE: usize = 16;

pub async fn examine(outbound: &Outbound, contents: Option<&Contents>) -> Vec<Check> {
    let names = match SystemResolver::of_machine().problem() {
        None => Check::ok("names", "there are servers to look names up with"),
        Some(problem) => Check::warning("names", problem, "mend the file, or give endpoints by address"),
    };
    let proxy = match reach::proxy(outbound).await {
        None => Check::skipped("proxy", "none is set"),
        Some((proxy, Ok(()))) => Check::ok("proxy", format!("{proxy} takes connections")),
        Some((proxy, Err(reason))) => Check::failure(
            "proxy",
            format!("{proxy} cannot be reached: {reason}"),
            "start it, or correct outbound_proxy",
        ),
    };
    let endpoints = match contents {
        Some(contents) => endpoints(outbound, contents).await,
        None => Check::skipped("endpoints", "what is stored cannot be looked at"),
    };
    vec![names, proxy, endpoints]
}

async fn endpoints(outbound: &Outbound, contents: &Contents) -> Check {
    let enabled: Vec<_> = contents.enabled().map(|endpoint| (endpoint.id, endpoint.settings.url.clone())).collect();
    let vetting = stream::iter(enabled).map(|(id, url)| async move {
        let vetted = reach::vet(outbound, &url).await;
        vetted.map_err(|reason| format!("{id}: {reason}"))
    });
    let vetted: Vec<Result<(), String>> = vetting.buffered(AT_ONCE).collect().await;
    let count = vetted.len();
    let wrong: Vec<String> = vetted.into_iter().filter_map(Result::err).collect();
    if wrong.is_empty() {
        return Check::ok("endpoints", format!("the hosts of all {count} that are enabled lead to allowed addresses"));
    }
    let finding = format!("{} of {count} that are enabled cannot be sent to: {}", wrong.len(), named(&wrong));
    let advice = "correct the URL or the name's addresses; or allow the network with allow_networks";
    Check::failure("endpoints", finding, advice)
}
