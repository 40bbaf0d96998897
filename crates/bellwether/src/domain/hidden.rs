//! What stands in place of what is not shown.

/// Shown in place of a value that may be a token. It is never a value: sending it back keeps what is stored, or is refused.
pub const HIDDEN: &str = "[hidden]";
