//! Certificates that an endpoint has of its own. Whether they can be used is for whoever connects to say.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::error::FieldErrors;
use crate::domain::hidden::HIDDEN;

const LONGEST_PEM: usize = 32 * 1024;

/// In PEM: whom to trust, and what to show, when connecting to this endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OwnTls {
    /// The only authorities that are trusted.
    #[serde(default)]
    #[schemars(length(max = LONGEST_PEM))]
    pub ca_pem: Option<String>,
    #[serde(default)]
    #[schemars(length(max = LONGEST_PEM))]
    pub client_cert_pem: Option<String>,
    #[serde(default)]
    #[schemars(length(max = LONGEST_PEM))]
    pub client_key_pem: Option<String>,
}

impl OwnTls {
    pub(super) fn fields(&mut self) -> [(&'static str, &mut Option<String>); 3] {
        let Self { ca_pem, client_cert_pem, client_key_pem } = self;
        [("tls.ca_pem", ca_pem), ("tls.client_cert_pem", client_cert_pem), ("tls.client_key_pem", client_key_pem)]
    }

    pub(super) fn validate(&self, errors: &mut FieldErrors) {
        for (field, given) in self.clone().fields() {
            errors.text(field, given.as_deref().unwrap_or_default(), LONGEST_PEM);
        }
        let has_both = self.client_cert_pem.is_some() == self.client_key_pem.is_some();
        errors.check(has_both, "tls", || {
            "a client certificate needs its key, and a key its certificate; give both".to_owned()
        });
    }

    /// As it is shown: not at all.
    pub(super) fn shown(&self) -> Self {
        let mut shown = self.clone();
        for (_, value) in shown.fields() {
            *value = value.take().map(|_| HIDDEN.to_owned());
        }
        shown
    }
}
