//! Why an attempt failed: the classes that programs may rely on, and what is nobody's fault but this machine's.

use std::error::Error;
use std::fmt;

/// Why an attempt failed, in a word that programs may rely on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// The name has no address, or cannot be looked up.
    Dns,
    /// An address that webhooks may not go to.
    BlockedAddress,
    Connect,
    /// The proxy cannot be reached, or does not want to.
    Proxy,
    /// No TLS, or a certificate that is not trusted, on either side.
    Tls,
    TimeoutDns,
    TimeoutConnect,
    TimeoutProxy,
    TimeoutTls,
    /// The request was sent, and no status came in time.
    TimeoutAnswer,
    /// The connection broke before a status came.
    Exchange,
    /// What came is not HTTP, or its head is too large.
    MalformedAnswer,
    /// A status other than 2xx.
    Status,
    /// The request cannot be made at all.
    Request,
    /// This server has no descriptor, memory or port left for a connection. It is nobody else's fault.
    LocalLimit,
}

impl ErrorClass {
    pub const ALL: [Self; 15] = [
        Self::Dns,
        Self::BlockedAddress,
        Self::Connect,
        Self::Proxy,
        Self::Tls,
        Self::TimeoutDns,
        Self::TimeoutConnect,
        Self::TimeoutProxy,
        Self::TimeoutTls,
        Self::TimeoutAnswer,
        Self::Exchange,
        Self::MalformedAnswer,
        Self::Status,
        Self::Request,
        Self::LocalLimit,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::BlockedAddress => "blocked_address",
            Self::Connect => "connect",
            Self::Proxy => "proxy",
            Self::Tls => "tls",
            Self::TimeoutDns => "timeout_dns",
            Self::TimeoutConnect => "timeout_connect",
            Self::TimeoutProxy => "timeout_proxy",
            Self::TimeoutTls => "timeout_tls",
            Self::TimeoutAnswer => "timeout_answer",
            Self::Exchange => "exchange",
            Self::MalformedAnswer => "malformed_answer",
            Self::Status => "status",
            Self::Request => "request",
            Self::LocalLimit => "local_limit",
        }
    }
}

impl fmt::Display for ErrorClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Why there is no connection.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct ConnectError {
    pub class: ErrorClass,
    pub message: String,
}

pub fn failed(class: ErrorClass, message: impl Into<String>) -> ConnectError {
    ConnectError { class, message: message.into() }
}

/// Whether an error, or a cause of it, is that this machine is short of descriptors, memory, buffers or ports. That is no
/// fault of whoever was to be reached.
pub fn is_own_want(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(current) = cause {
        let Some(of_system) = current.downcast_ref::<std::io::Error>() else {
            cause = current.source();
            continue;
        };
        if matches!(of_system.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::ENOBUFS)) {
            return true;
        }
        // What wraps another error keeps it as its inner one, which is no source of it.
        cause = of_system.get_ref().map(|inner| inner as &(dyn Error + 'static));
    }
    false
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn what_this_machine_is_short_of_is_told_from_what_others_refuse() {
        for code in [libc::EMFILE, libc::ENFILE, libc::ENOMEM, libc::ENOBUFS] {
            let error = io::Error::from_raw_os_error(code);
            assert!(is_own_want(&error), "{error}");
            assert!(is_own_want(&io::Error::other(io::Error::from_raw_os_error(code))), "{error}, wrapped");
        }
        for code in [libc::ECONNREFUSED, libc::ECONNRESET, libc::ENETUNREACH, libc::ETIMEDOUT] {
            assert!(!is_own_want(&io::Error::from_raw_os_error(code)));
        }
        assert!(!is_own_want(&io::Error::other("words")));
    }
}
