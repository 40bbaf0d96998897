//! Every setting, from where it comes and what it may be: flags over environment over file over what is usual.
//! Validated once, before anything starts.

mod given;
mod public_url;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::api::tls;
use crate::delivery::transport::settings::OutboundSettings;
use crate::domain::address::{AddressPolicy, Network};
use crate::domain::definition::Schedule;
use crate::domain::error::Validate;
use crate::domain::id::WarehouseId;
use crate::domain::key::check_own;
use crate::platform::pem::CertificateFiles;
use given::{Absolute, DefaultSchedule};
pub use given::{Environment, Given, is_unknown};
pub use public_url::PublicUrl;

#[derive(Debug, Clone)]
pub struct Config {
    pub listen: SocketAddr,
    /// What the API shows to be spoken to by https; plain http without.
    pub tls: Option<CertificateFiles>,
    /// Plain http may be spoken on addresses that other machines reach.
    pub listen_without_tls: bool,
    /// Proxies whose word on their clients counts.
    pub trusted_proxies: Vec<Network>,
    /// What links begin with; the address listened on, if not given.
    pub public_url: Option<PublicUrl>,
    /// Holds the database, the keys and, unless set otherwise, the warehouse's files.
    pub data: PathBuf,
    /// PostgreSQL instead of the embedded database.
    pub database_url: Option<String>,
    /// By whom PostgreSQL's certificate is signed, if not by one of the web's authorities.
    pub database_ca_file: Option<PathBuf>,
    /// The text of the first admin key; made by Bellwether if not given.
    pub admin_key: Option<String>,
    /// 64 hexadecimal digits that encrypt secrets at rest; kept in the data folder if not given. Nodes of one database
    /// have the same.
    pub secret_key: Option<String>,
    pub addresses: AddressPolicy,
    pub outbound: OutboundSettings,
    /// Folders that `files` warehouses may lie in.
    pub files_roots: Vec<PathBuf>,
    /// When experiments run that have no schedule of their own.
    pub default_schedule: Schedule,
    /// Where the fact sources lie that metric syncs declare.
    pub default_warehouse_id: Option<WarehouseId>,
    /// The longest a run may take, in seconds.
    pub run_timeout_seconds: u64,
    /// The most memory that a run's worker may use, in MiB; its engine holds half of it before it spills.
    pub run_memory_mib: u64,
    /// Runs under way at once.
    pub max_runs: usize,
    /// How long ended deliveries and the log's events are kept.
    pub retention_days: u64,
    /// The largest file that may be put into a warehouse by the API.
    pub max_upload_bytes: u64,
    /// Connections to the API at a time; as many as there are descriptors for, if not given.
    pub max_connections: Option<usize>,
    /// The program that runs queries when started with `worker`: this one, but for tests.
    pub program: PathBuf,
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(String);

impl Config {
    /// What holds for a server in `data` if nothing is said.
    pub fn defaults(data: &Path) -> Self {
        // Workers start elsewhere and would read a relative path otherwise.
        let data = PathBuf::from(Absolute::from(data.to_owned()));
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 7070)),
            tls: None,
            listen_without_tls: false,
            trusted_proxies: Vec::new(),
            public_url: None,
            data: data.clone(),
            database_url: None,
            database_ca_file: None,
            admin_key: None,
            secret_key: None,
            addresses: AddressPolicy::default(),
            outbound: OutboundSettings::default(),
            files_roots: vec![data.join("files")],
            default_schedule: DefaultSchedule::DEFAULT.into(),
            default_warehouse_id: None,
            run_timeout_seconds: 3600,
            run_memory_mib: 4096,
            max_runs: 1,
            retention_days: 30,
            max_upload_bytes: 1024 * 1024 * 1024,
            max_connections: None,
            program: std::env::current_exe().unwrap_or_else(|_| PathBuf::from("bellwether")),
        }
    }

    /// `flags` win over the environment, this over the file.
    pub fn load(flags: Given, file: Option<&Path>, environment: Environment<'_>) -> Result<Self, ConfigError> {
        let file = file.map_or_else(|| Ok(Given::default()), Given::from_file)?;
        let mut given = flags.over(Given::from_environment(environment)?).over(file);
        let mut config = Self::defaults(&given.data.take().unwrap_or_else(|| PathBuf::from("bellwether-data")));
        given.apply(&mut config);
        let files = [given.tls_cert, given.tls_key].map(|file| file.map(PathBuf::from));
        config.tls = CertificateFiles::from_given(files, tls::SETTINGS).map_err(ConfigError)?;
        let outbound = OutboundSettings::from_given(
            given.outbound_proxy.as_deref(),
            given.proxy_resolves.unwrap_or(false),
            given.outbound_ca_file.map(PathBuf::from),
            given.outbound_client_cert_file.map(PathBuf::from),
            given.outbound_client_key_file.map(PathBuf::from),
        );
        config.outbound = outbound.map_err(ConfigError)?;
        config.validate()?;
        Ok(config)
    }

    fn validate(&self) -> Result<(), ConfigError> {
        let check = |holds: bool, message: String| if holds { Ok(()) } else { Err(ConfigError(message)) };
        check(
            self.listen.ip().to_canonical().is_loopback()
                || self.tls.is_some()
                || !self.trusted_proxies.is_empty()
                || self.listen_without_tls,
            format!(
                "listen: {} was given, which other machines reach, and without TLS whoever is on the way reads keys and \
                 data. Set tls_cert and tls_key; or trusted_proxies, where a proxy with TLS stands in front; or \
                 listen_without_tls = true, where nobody else is on the network",
                self.listen
            ),
        )?;
        self.admin_key.as_deref().map_or(Ok(()), check_own).map_err(|reason| {
            // Before anything is made: a start that fails for its key leaves nothing behind.
            ConfigError(format!("admin_key: {reason}; or leave it out to have one made"))
        })?;
        self.default_schedule.validate().map_err(|error| ConfigError(format!("default_schedule: {error}")))?;
        check(
            (1..=86_400).contains(&self.run_timeout_seconds),
            format!("run_timeout_seconds: {} was given; from 1 to 86400 are allowed", self.run_timeout_seconds),
        )?;
        check(
            (64..=1_048_576).contains(&self.run_memory_mib),
            format!("run_memory_mib: {} was given; from 64 to 1048576 are allowed", self.run_memory_mib),
        )?;
        check(
            (1..=64).contains(&self.max_runs),
            format!("max_runs: {} was given; from 1 to 64 are allowed", self.max_runs),
        )?;
        check(
            self.max_connections.is_none_or(|most| (16..=1_000_000).contains(&most)),
            format!("max_connections: {} was given; from 16 to 1000000 are allowed", self.max_connections.unwrap_or(0)),
        )?;
        check(
            (1..=1 << 50).contains(&self.max_upload_bytes),
            format!("max_upload_bytes: {} was given; from 1 to {} are allowed", self.max_upload_bytes, 1_u64 << 50),
        )?;
        check(
            (1..=3650).contains(&self.retention_days),
            format!("retention_days: {} was given; from 1 to 3650 are allowed", self.retention_days),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::transport::settings::ProxyProtocol;

    #[test]
    fn flags_win_over_the_environment_and_this_over_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bellwether.toml");
        std::fs::write(&file, "listen = '127.0.0.1:1'\nallow_http = true\nmax_runs = 3\n").unwrap();
        let environment = |name: &str| match name {
            "BELLWETHER_LISTEN" => Some("127.0.0.1:2".to_owned()),
            "BELLWETHER_MAX_RUNS" => Some("2".to_owned()),
            "BELLWETHER_ALLOW_NETWORKS" => Some("127.0.0.0/8, fd00::/8".to_owned()),
            _ => None,
        };
        let flags = Given { listen: Some("127.0.0.1:3".parse().unwrap()), ..Given::default() };
        let config = Config::load(flags, Some(&file), &environment).unwrap();
        assert_eq!((config.listen.port(), config.max_runs, config.addresses.allow_http), (3, 2, true));
        assert_eq!(config.addresses.allow_networks.len(), 2);
        assert!(config.data.is_absolute() && config.files_roots.iter().all(|root| root.is_absolute()));
    }

    #[test]
    fn parts_of_the_schedule_are_given_one_by_one() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bellwether.toml");
        let (cron, zone) = ("BELLWETHER_DEFAULT_SCHEDULE", "BELLWETHER_DEFAULT_TIME_ZONE");
        let load = |text: &str, set: &[(&str, &str)]| {
            std::fs::write(&file, text).unwrap();
            let environment =
                |name: &str| set.iter().find(|(other, _)| *other == name).map(|(_, value)| (*value).to_owned());
            let schedule = Config::load(Given::default(), Some(&file), &environment).unwrap().default_schedule;
            (schedule.cron, schedule.time_zone)
        };
        let both = "default_schedule = { cron = '0 2 * * *', time_zone = 'Europe/Berlin' }";
        let is = |cron: &str, zone: &str| (cron.to_owned(), zone.to_owned());
        assert_eq!(load(both, &[(zone, "Asia/Tokyo")]), is("0 2 * * *", "Asia/Tokyo"));
        assert_eq!(load(both, &[(cron, "0 3 * * *")]), is("0 3 * * *", "Europe/Berlin"));
        assert_eq!(load(both, &[(cron, "0 3 * * *"), (zone, "UTC")]), is("0 3 * * *", "UTC"));
        assert_eq!(load("", &[(zone, "Asia/Tokyo")]), is("0 6 * * *", "Asia/Tokyo"));
    }

    #[test]
    fn the_way_out_is_read_from_file_and_environment() {
        let folder = tempfile::tempdir().unwrap();
        let (file, proxy) = (folder.path().join("bellwether.toml"), folder.path().join("proxy"));
        std::fs::write(&file, "proxy_resolves = true\noutbound_ca_file = 'ca.pem'\n").unwrap();
        std::fs::write(&proxy, "socks5://me:secret@proxy.example\n").unwrap();
        let environment = |name: &str| match name {
            "BELLWETHER_OUTBOUND_PROXY_FILE" => Some(proxy.display().to_string()),
            "BELLWETHER_OUTBOUND_CLIENT_CERT_FILE" => Some("/c.pem".to_owned()),
            "BELLWETHER_OUTBOUND_CLIENT_KEY_FILE" => Some("/k.pem".to_owned()),
            _ => None,
        };
        let outbound = Config::load(Given::default(), Some(&file), &environment).unwrap().outbound;
        let proxy = outbound.proxy.unwrap();
        assert_eq!((proxy.host.as_str(), proxy.port, proxy.protocol), ("proxy.example", 1080, ProxyProtocol::Socks5));
        assert!(outbound.proxy_resolves && outbound.ca_file.unwrap().is_absolute());
        assert_eq!(outbound.client_certificate.unwrap().key, Path::new("/k.pem"));
    }

    #[test]
    fn wrong_settings_are_refused_by_name() {
        let refused = |name: &'static str, value: &'static str| {
            let environment = move |asked: &str| (asked == name).then(|| value.to_owned());
            Config::load(Given::default(), None, &environment).unwrap_err().to_string()
        };
        assert!(refused("BELLWETHER_LISTEN", "nowhere").contains("BELLWETHER_LISTEN"));
        assert!(refused("BELLWETHER_DEFAULT_SCHEDULE", "sometimes").contains("default_schedule"));
        assert!(refused("BELLWETHER_DEFAULT_TIME_ZONE", "Mars/Olympus").contains("default_schedule"));
        assert!(refused("BELLWETHER_MAX_RUNS", "0").contains("max_runs"));
        assert!(refused("BELLWETHER_MAX_UPLOAD_BYTES", "0").contains("max_upload_bytes"));
        assert!(refused("BELLWETHER_TLS_CERT", "a.pem").contains("tls_key: is missing"));
        assert!(refused("BELLWETHER_TLS_KEY", "a.pem").contains("tls_cert: is missing"));
        assert!(refused("BELLWETHER_TRUSTED_PROXIES", "proxy.example").contains("BELLWETHER_TRUSTED_PROXIES"));
        assert!(refused("BELLWETHER_PUBLIC_URL", "example.com").contains("BELLWETHER_PUBLIC_URL"));
        assert!(refused("BELLWETHER_OUTBOUND_PROXY", "ftp://proxy").contains("outbound_proxy"));
        assert!(refused("BELLWETHER_OUTBOUND_CLIENT_CERT_FILE", "a.pem").contains("outbound_client_key_file"));
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bellwether.toml");
        std::fs::write(&file, "lisen = 1").unwrap();
        let error = Config::load(Given::default(), Some(&file), &|_| None).unwrap_err().to_string();
        assert!(error.contains("lisen"), "{error}");
    }

    #[test]
    fn other_machines_are_spoken_to_without_tls_only_where_somebody_says_so() {
        let load = |listen: &'static str, others: &'static [(&'static str, &'static str)]| {
            let all = [("BELLWETHER_LISTEN", listen)];
            let all: Vec<_> = all.iter().chain(others).copied().collect();
            let environment = |asked: &str| all.iter().find(|(name, _)| *name == asked).map(|(_, to)| (*to).to_owned());
            Config::load(Given::default(), None, &environment).map(|_| ()).map_err(|error| error.to_string())
        };
        for listen in ["0.0.0.0:7070", "[::]:7070", "192.168.1.7:7070"] {
            let error = load(listen, &[]).unwrap_err();
            assert!(
                error.contains(listen) && error.contains("tls_cert") && error.contains("listen_without_tls"),
                "{error}"
            );
            load(listen, &[("BELLWETHER_TLS_CERT", "a.pem"), ("BELLWETHER_TLS_KEY", "b.pem")]).unwrap();
            load(listen, &[("BELLWETHER_TRUSTED_PROXIES", "10.0.0.0/8")]).unwrap();
            load(listen, &[("BELLWETHER_LISTEN_WITHOUT_TLS", "true")]).unwrap();
        }
        for listen in ["127.0.0.1:7070", "127.1.2.3:7070", "[::1]:7070", "[::ffff:127.0.0.1]:7070"] {
            load(listen, &[]).unwrap();
        }
    }

    #[test]
    fn a_wrong_file_is_told_by_line_and_name_and_never_quoted() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bellwether.toml");
        let error = |text: &str| {
            std::fs::write(&file, text).unwrap();
            Config::load(Given::default(), Some(&file), &|_| None).unwrap_err().to_string()
        };
        let unquoted = error("max_runs = 1\nadmin_key = bw_SECRETSECRETSECRETSECRETSECRETSECRET\n");
        assert!(unquoted.contains("line 2") && !unquoted.contains("SECRET"), "{unquoted}");
        let open = error("database_url = 'postgres://me:SECRET@host/db\n");
        assert!(open.contains("line 1") && !open.contains("SECRET"), "{open}");
        let both = error("lisen = 1\nmax_runs = 'x'\n");
        assert!(both.contains("lisen") && both.contains("max_runs"), "{both}");
        assert!(error("default_schedule = ['0 6 * * *', 'UTC']").contains("default_schedule"));
    }

    #[test]
    fn variables_that_mean_nothing_are_told_from_settings() {
        for known in
            ["BELLWETHER_LISTEN", "BELLWETHER_ADMIN_KEY_FILE", "BELLWETHER_DEFAULT_TIME_ZONE", "BELLWETHER_LOG", "HOME"]
        {
            assert!(!is_unknown(known), "{known}");
        }
        for unknown in [
            "BELLWETHER_DEFAULT_SCHEDULE_TIME_ZONE",
            "BELLWETHER_LISEN",
            "BELLWETHER_listen",
            "BELLWETHER_MAX_RUNS_FILE",
            "BELLWETHER_DEFAULT_SCHEDULE_FILE",
            "BELLWETHER_OUTBOUND_CA_FILE_FILE",
        ] {
            assert!(is_unknown(unknown), "{unknown}");
        }
    }

    #[test]
    fn an_admin_key_is_checked_before_anything_is_made() {
        let load = |key: &str| {
            let given = Given { admin_key: Some(key.to_owned()), ..Given::default() };
            Config::load(given, None, &|_| None).map(|config| config.admin_key)
        };
        let own = "bw_9f86d081884c7d659a2feaa0c55ad015";
        assert_eq!(load(own).unwrap().as_deref(), Some(own));
        // In the form of those made here, a secret that anybody guesses is none either.
        let weak = format!("bw_00000000000000000000000001_{}", "0".repeat(64));
        for key in ["secret", "bw_secret", &weak] {
            let error = load(key).unwrap_err().to_string();
            assert!(error.starts_with("admin_key: ") && error.ends_with("to have one made"), "{error}");
        }
    }
}
