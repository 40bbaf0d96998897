//! Looks names up as the machine is set up to: its hosts file first, then the servers of its resolv.conf. Changes of either
//! are taken up while running; a machine without a usable one is no reason not to start. Vets nothing.

use std::collections::HashMap;
use std::error::Error;
use std::fs;
use std::future::Future;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::ResolveHosts;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::Name;
use hickory_resolver::system_conf::parse_resolv_conf;

use super::error::is_own_want;

/// Why a name has no addresses.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{reason}")]
pub struct Unresolved {
    pub reason: String,
    /// This machine could not even ask: it was short of descriptors or memory.
    pub is_own_want: bool,
}

impl From<String> for Unresolved {
    fn from(reason: String) -> Self {
        Self { reason, is_own_want: false }
    }
}

impl Unresolved {
    fn by(error: &(dyn Error + 'static)) -> Self {
        Self { reason: error.to_string(), is_own_want: is_own_want(error) }
    }
}

/// Addresses, or the reason why there are none.
pub type Resolving<'a> = Pin<Box<dyn Future<Output = Result<Vec<IpAddr>, Unresolved>> + Send + 'a>>;

/// Looks names up.
pub trait Resolve: Send + Sync + 'static {
    fn resolve<'a>(&'a self, name: &'a str) -> Resolving<'a>;
}

/// Resolves as the files of this machine say.
pub struct SystemResolver {
    resolv_conf: PathBuf,
    hosts: PathBuf,
    read: Mutex<Option<Read>>,
}

/// What a file was when it was read: a change shows in one of these.
type Stamp = Option<(u64, u64, i64, i64)>;

#[derive(Clone)]
struct Read {
    stamps: [Stamp; 2],
    hosts: Arc<HashMap<String, Vec<IpAddr>>>,
    /// Or why there is none.
    servers: Result<TokioResolver, String>,
}

impl SystemResolver {
    pub fn of_machine() -> Self {
        Self::reading("/etc/resolv.conf", "/etc/hosts")
    }

    pub fn reading(resolv_conf: impl Into<PathBuf>, hosts: impl Into<PathBuf>) -> Self {
        Self { resolv_conf: resolv_conf.into(), hosts: hosts.into(), read: Mutex::new(None) }
    }

    /// What keeps it from asking any server; the text names the file.
    pub fn problem(&self) -> Option<String> {
        self.as_it_is().servers.err()
    }

    fn as_it_is(&self) -> Read {
        let stamps = [stamp(&self.resolv_conf), stamp(&self.hosts)];
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        match &*read {
            Some(read) if read.stamps == stamps => read.clone(),
            _ => {
                let hosts = Arc::new(hosts(&fs::read_to_string(&self.hosts).unwrap_or_default()));
                read.insert(Read { stamps, hosts, servers: servers(&self.resolv_conf) }).clone()
            }
        }
    }
}

impl Resolve for SystemResolver {
    fn resolve<'a>(&'a self, name: &'a str) -> Resolving<'a> {
        Box::pin(async move {
            let Read { hosts, servers, .. } = self.as_it_is();
            if let Some(addresses) = hosts.get(&name.trim_end_matches('.').to_ascii_lowercase()) {
                return Ok(addresses.clone());
            }
            // Names with `_` are usual among containers, and are nothing that IDNA knows.
            let asked = Name::from_ascii(name).map_err(|error| Unresolved::by(&error))?;
            let found = servers?.lookup_ip(asked).await.map_err(|error| Unresolved::by(&error))?;
            Ok(found.iter().collect())
        })
    }
}

/// Whether `name` can be asked for at all.
pub fn check(name: &str) -> Result<(), Unresolved> {
    Name::from_ascii(name).map(drop).map_err(|error| Unresolved::by(&error))
}

fn stamp(file: &Path) -> Stamp {
    let metadata = fs::metadata(file).ok()?;
    Some((metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec()))
}

fn servers(file: &Path) -> Result<TokioResolver, String> {
    let unusable =
        |reason: String| format!("{}: {reason}; no name can be looked up but those of the hosts file", file.display());
    let text = fs::read(file).map_err(|error| unusable(format!("it cannot be read: {error}")))?;
    let (config, mut options) = parse_resolv_conf(&text).map_err(|error| unusable(error.to_string()))?;
    if config.name_servers().is_empty() {
        return Err(unusable("it names no server".to_owned()));
    }
    options.use_hosts_file = ResolveHosts::Never;
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    *builder.options_mut() = options;
    builder.build().map_err(|error| unusable(error.to_string()))
}

/// Lines of an address and its names; the rest is passed over, as everybody does.
fn hosts(text: &str) -> HashMap<String, Vec<IpAddr>> {
    let mut hosts: HashMap<String, Vec<IpAddr>> = HashMap::new();
    for line in text.lines() {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let Some(address) = words.next().and_then(|word| word.parse().ok()) else { continue };
        for name in words {
            let known = hosts.entry(name.trim_end_matches('.').to_ascii_lowercase()).or_default();
            if !known.contains(&address) {
                known.push(address);
            }
        }
    }
    hosts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(resolv_conf: &str, hosts: &str) -> (tempfile::TempDir, SystemResolver) {
        let folder = tempfile::tempdir().unwrap();
        let paths = ["resolv.conf", "hosts"].map(|name| folder.path().join(name));
        fs::write(&paths[0], resolv_conf).unwrap();
        fs::write(&paths[1], hosts).unwrap();
        let resolver = SystemResolver::reading(&paths[0], &paths[1]);
        (folder, resolver)
    }

    #[tokio::test]
    async fn names_of_the_hosts_file_are_known_in_any_case_and_with_underscores() {
        let (_folder, resolver) =
            files("", "# comment\n10.0.0.1 My_Service other # more\n10.0.0.2 other\nnonsense x\n::1\n");
        let found = |name: &'static str| {
            let resolver = &resolver;
            async move { resolver.resolve(name).await.map_err(|error| error.reason) }
        };
        assert_eq!(found("my_service").await.unwrap(), ["10.0.0.1".parse::<IpAddr>().unwrap()]);
        assert_eq!(found("OTHER.").await.unwrap().len(), 2);
        assert!(found("unknown").await.unwrap_err().contains("resolv.conf"), "the file is named");
    }

    #[tokio::test]
    async fn changes_are_taken_up_while_it_runs() {
        let (folder, resolver) = files("", "");
        assert!(resolver.problem().unwrap().contains("resolv.conf"));
        assert!(resolver.resolve("late").await.is_err());
        fs::write(folder.path().join("hosts"), "10.0.0.9 late\n").unwrap();
        assert_eq!(resolver.resolve("late").await.unwrap().len(), 1);
        fs::write(folder.path().join("resolv.conf"), "nameserver 127.0.0.1\n").unwrap();
        assert_eq!(resolver.problem(), None);
        fs::remove_file(folder.path().join("resolv.conf")).unwrap();
        assert!(resolver.problem().unwrap().contains("cannot be read"));
    }

    #[test]
    fn names_with_an_underscore_inside_can_be_asked_for() {
        assert!(Name::from_ascii("my_service.internal").is_ok() && Name::from_ascii("xn--bcher-kva.example").is_ok());
    }
}
