//! Who is told, of what, and what came of it: endpoints, events, deliveries. The bar of tabs that their pages share is here.

pub mod actions;
pub mod deliveries;
pub mod delivery;
pub mod endpoint;
pub mod endpoints;
pub mod event;
pub mod events;
mod settings;
mod snippets;
pub mod views;

/// The tabs: what each is called and where it is.
const TABS: [(&str, &str); 3] = [("endpoints", "endpoints"), ("events", "events"), ("deliveries", "deliveries")];
