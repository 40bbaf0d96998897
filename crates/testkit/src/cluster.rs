//! A PostgreSQL server of the tests' own, shared by all test processes that run at the same time.
//!
//! Every process that needs it holds a shared lock on one file for as long as it lives. The first one starts the server,
//! in a temporary folder and on a unix socket there, and leaves a watcher behind. The watcher takes the same lock alone:
//! it gets it when the last process has ended, however that ended, and then stops the server and removes the folder.
//! Where the server itself was killed, say for want of memory, the next process starts another, and says how it ended.

use std::fs::File;
use std::io::{Read, Seek};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// Debian keeps the server's programs out of PATH.
const USUAL_FOLDERS: [&str; 3] =
    ["/usr/lib/postgresql/17/bin", "/usr/lib/postgresql/16/bin", "/usr/lib/postgresql/15/bin"];

/// Durability is tested on SQLite, and by killing the whole server; here it would only take time.
const SETTINGS: &str = "listen_addresses = ''\nmax_connections = 300\nfsync = off\nsynchronous_commit = off\n\
                        full_page_writes = off\nshared_buffers = 32MB\ndeadlock_timeout = 100ms\n";

/// What was committed outlives the server's crash, though not the machine's.
const CRASH_SAFE: &str = "synchronous_commit = on\nfull_page_writes = on\n";

/// $1 the lock, $2 the folder, $3 the user or '', $4 the programs, $5 the note that says where the server is.
const WATCHER: &str = r#"
until flock --exclusive --nonblock 9; do sleep 1; done
if [ -n "$3" ]; then runuser -u "$3" -- "$4/pg_ctl" stop -s -m immediate -D "$2/data"; else "$4/pg_ctl" stop -s -m immediate -D "$2/data"; fi
rm -rf "$2" "$5"
"#;

/// A folder below the target folder that this test program was built in.
fn scratch() -> PathBuf {
    let program = std::env::current_exe().expect("the test program has a path");
    program.ancestors().nth(3).expect("it lies in target/…/deps").join("tmp")
}

/// Where the server's sockets are. Starts it if it does not run.
pub fn socket_folder() -> &'static Path {
    static SHARED: OnceLock<(PathBuf, File)> = OnceLock::new();
    &SHARED.get_or_init(|| join("postgres")).0
}

/// A server that one test may restart. It ends with the process.
pub struct Own {
    folder: PathBuf,
    _held: File,
}

impl Own {
    pub fn start(name: &str) -> Self {
        let place = scratch();
        std::fs::create_dir_all(&place).expect("the target folder can be written to");
        let in_use = place.join(format!("postgres.{name}.in-use"));
        let held = File::create(&in_use).expect("the lock file can be made");
        held.lock_shared().expect("the lock can be shared");
        Self { folder: start(&in_use, &place.join(format!("postgres.{name}.folder")), CRASH_SAFE), _held: held }
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// At once, as after a crash: connections break, and what was not committed is gone.
    pub fn restart(&self) {
        let (owner, programs) = (owner(), programs());
        let log = self.folder.join("log");
        run(
            owner,
            &programs.join("pg_ctl"),
            &self.folder,
            &["restart", "--wait", "--silent", "-m", "immediate", "--log", log.to_str().expect("a printable name")],
        );
    }
}

fn run(owner: Option<&str>, program: &Path, folder: &Path, arguments: &[&str]) {
    let mut command = match owner {
        Some(owner) => {
            let mut command = Command::new("runuser");
            command.args(["-u", owner, "--"]).arg(program);
            command
        }
        None => Command::new(program),
    };
    succeed(command.args(arguments).arg("-D").arg(folder.join("data")).current_dir(folder).env("LC_ALL", "C.UTF-8"));
}

/// The shared server of this name.
fn join(name: &str) -> (PathBuf, File) {
    let place = scratch();
    std::fs::create_dir_all(&place).expect("the target folder can be written to");
    let file = |kind: &str| place.join(format!("{name}.{kind}"));
    let in_use = file("in-use");
    let held = File::create(&in_use).expect("the lock file can be made");
    held.lock_shared().expect("the lock can be shared");
    let starting = File::create(file("starting")).expect("the lock file can be made");
    starting.lock().expect("the lock can be taken");
    let note = file("folder");
    let noted = std::fs::read_to_string(&note).ok().map(PathBuf::from);
    let folder = noted.filter(|folder| listens(folder)).unwrap_or_else(|| {
        let folder = start(&in_use, &note, "");
        std::fs::write(&note, folder.to_str().expect("the folder has a printable name")).expect("the note is written");
        folder
    });
    (folder, held)
}

/// Whether the server in this folder lives.
fn listens(folder: &Path) -> bool {
    let Err(error) = UnixStream::connect(folder.join(".s.PGSQL.5432")) else { return true };
    let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
    let last: Vec<&str> = log.lines().rev().take(10).collect();
    eprintln!(
        "the tests' PostgreSQL is gone ({error}), another is started; its last words, the latest first: {last:#?}"
    );
    false
}

/// PostgreSQL refuses to run as root, so then it runs as `postgres`.
fn owner() -> Option<&'static str> {
    let id = Command::new("id").arg("-u").output().expect("'id' runs");
    (id.stdout.trim_ascii() == b"0").then_some("postgres")
}

fn programs() -> PathBuf {
    let configured = Command::new("pg_config").arg("--bindir").output().ok();
    let configured = configured.and_then(|output| String::from_utf8(output.stdout).ok());
    let path = std::env::var("PATH").unwrap_or_default();
    configured
        .iter()
        .map(|folder| PathBuf::from(folder.trim()))
        .chain(USUAL_FOLDERS.iter().map(PathBuf::from))
        .chain(std::env::split_paths(&path))
        .find(|folder| folder.join("initdb").is_file() && folder.join("pg_ctl").is_file())
        .expect("PostgreSQL's initdb and pg_ctl are needed by these tests; on Debian: apt-get install postgresql")
}

fn start(in_use: &Path, note: &Path, more_settings: &str) -> PathBuf {
    let (owner, programs) = (owner(), programs());
    let folder =
        tempfile::Builder::new().prefix("bellwether-postgres-").tempdir().expect("a folder can be made").keep();
    if let Some(owner) = owner {
        succeed(Command::new("chown").arg(owner).arg(&folder));
    }
    watch(in_use, &folder, owner, &programs, note);
    let data = folder.join("data");
    let run = |program: &str, arguments: &[&str]| run(owner, &programs.join(program), &folder, arguments);
    run("initdb", &["--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--wal-segsize=4"]);
    let settings = format!("{SETTINGS}unix_socket_directories = '{}'\n{more_settings}", folder.display());
    let file = data.join("postgresql.auto.conf");
    std::fs::write(&file, settings).expect("the settings are written");
    let log = folder.join("log");
    run("pg_ctl", &["start", "--wait", "--silent", "--log", log.to_str().expect("the folder has a printable name")]);
    folder
}

fn watch(in_use: &Path, folder: &Path, owner: Option<&str>, programs: &Path, note: &Path) {
    let lock = format!("exec 9<>\"$1\"\n{WATCHER}");
    let mut watcher = Command::new("sh");
    watcher.args(["-c", &lock, "watcher"]).arg(in_use).arg(folder).arg(owner.unwrap_or("")).arg(programs).arg(note);
    watcher.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).current_dir("/").process_group(0);
    // It outlives this process; waiting for it would be waiting for oneself.
    drop(watcher.spawn().expect("'sh' runs"));
}

/// The output goes to a file, for the server that stays behind must not hold a pipe open.
fn succeed(command: &mut Command) {
    let mut output = tempfile::tempfile().expect("a temporary file can be made");
    let share = || output.try_clone().expect("a file can be shared");
    command.stdin(Stdio::null()).stdout(share()).stderr(share());
    let status = command.status().unwrap_or_else(|error| panic!("{command:?} cannot be run: {error}"));
    if !status.success() {
        let mut said = String::new();
        output.rewind().and_then(|()| output.read_to_string(&mut said)).expect("the output can be read");
        panic!("{command:?} failed with {status}: {said}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_was_killed_is_replaced() {
        let (killed, _held) = join("postgres.killed");
        assert_eq!(join("postgres.killed").0, killed, "as long as it lives");
        let pid = std::fs::read_to_string(killed.join("data/postmaster.pid")).unwrap();
        let pid = pid.lines().next().unwrap();
        assert!(Command::new("sh").arg("-c").arg(format!("kill -KILL {pid}")).status().unwrap().success());
        while UnixStream::connect(killed.join(".s.PGSQL.5432")).is_ok() {
            std::thread::yield_now();
        }
        let (next, _held) = join("postgres.killed");
        assert_ne!(next, killed);
        assert!(listens(&next));
    }
}
