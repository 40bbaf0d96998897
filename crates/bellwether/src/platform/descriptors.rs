//! How many files and sockets this process may have open. What is done with them is others' to say.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// For the database, the worker's pipes, files being read, and whatever libraries open.
const RESERVED: u64 = 96;
/// Where the system sets no limit, more are of no use.
const MOST: u64 = 1_048_576;
/// With fewer, nothing would go on.
const FEWEST: u64 = 16;

/// The descriptors of this process, and how they are shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptors {
    /// All there may be.
    pub limit: u64,
    /// For connections that clients make to the API.
    pub inbound: usize,
    /// For connections that webhooks go over.
    pub outbound: usize,
}

impl Descriptors {
    /// Raises the limit as far as this process may, and shares it out: half for each side.
    pub fn raised() -> Self {
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        let wanted = maximum.unwrap_or(MOST).min(MOST);
        let has_more = current.is_some_and(|current| current < wanted);
        let is_raised = has_more && setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }).is_ok();
        Self::of(if is_raised { wanted } else { current.unwrap_or(MOST) })
    }

    fn of(limit: u64) -> Self {
        let limit = limit.min(MOST);
        let half = (limit.saturating_sub(RESERVED) / 2).max(FEWEST);
        let half = usize::try_from(half).unwrap_or(usize::MAX);
        Self { limit, inbound: half, outbound: half }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_and_the_rest_fit_into_the_limit() {
        for limit in [256, 1024, 65_536, u64::MAX] {
            let shared = Descriptors::of(limit);
            assert!((shared.inbound + shared.outbound) as u64 + RESERVED <= shared.limit, "{shared:?}");
        }
        assert_eq!(Descriptors::of(10).outbound, 16, "never none");
    }

    #[test]
    fn the_limit_is_as_high_as_it_may_be() {
        let raised = Descriptors::raised();
        assert_eq!(Descriptors::raised(), raised);
        assert!(getrlimit(Resource::Nofile).maximum.is_none_or(|most| raised.limit >= most.min(MOST)));
    }
}
