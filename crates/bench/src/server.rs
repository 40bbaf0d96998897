//! A server as a process of its own, that can be stopped well or killed.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::api::Api;
use crate::{Problem, process};

/// An admin key for servers that live no longer than a measurement.
pub const ADMIN_KEY: &str =
    "bw_00000000000000000000000001_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// Complete when the server has ended.
pub type Trace = std::thread::JoinHandle<std::io::Result<String>>;

pub struct Server {
    child: Child,
    address: SocketAddr,
}

fn serve(mut command: Command, data: &Path, database_url: Option<&str>) -> Command {
    command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(data);
    command.env("BELLWETHER_ADMIN_KEY", ADMIN_KEY).env("BELLWETHER_ALLOW_NETWORKS", "127.0.0.0/8");
    if let Some(url) = database_url {
        command.env("BELLWETHER_DATABASE_URL", url);
    }
    command.stdout(Stdio::piped());
    command
}

impl Server {
    /// Starts `program` on a data folder, at any free port, and waits until it listens. It may send to this machine.
    pub fn start(program: &Path, data: &Path, database_url: Option<&str>) -> Result<Self, Problem> {
        Self::start_with(program, data, database_url, &[])
    }

    /// The same with more in its environment.
    pub fn start_with(
        program: &Path,
        data: &Path,
        database_url: Option<&str>,
        variables: &[(&str, &str)],
    ) -> Result<Self, Problem> {
        let mut command = serve(Command::new(program), data, database_url);
        Self::listening(command.envs(variables.iter().copied()).spawn()?)
    }

    /// The same with points of failure, which only programs that were built for tests have.
    pub fn start_to_fail(
        program: &Path,
        data: &Path,
        database_url: Option<&str>,
        points: &str,
    ) -> Result<Self, Problem> {
        Self::start_with(program, data, database_url, &[("FAILPOINTS", points), ("BELLWETHER_LOG", "error")])
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> Result<bool, Problem> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// The same under strace: the trace of all its calls of these names can be read when the server has ended.
    pub fn start_traced(program: &Path, data: &Path, calls: &str) -> Result<(Self, Trace), Problem> {
        let mut command = Command::new("strace");
        // With -D the tracer is a process beside, so that signals meet the server; with -y it names files.
        command.args(["-D", "-f", "-y", "-s", "32", "-e", &format!("trace={calls}")]).arg(program);
        command.env("BELLWETHER_LOG", "off").stderr(Stdio::piped());
        let mut child = serve(command, data, None).spawn()?;
        let output = child.stderr.take().ok_or("the tracer has no output")?;
        let trace = std::thread::spawn(move || std::io::read_to_string(output));
        Ok((Self::listening(child)?, trace))
    }

    fn listening(mut child: Child) -> Result<Self, Problem> {
        let output = child.stdout.take().ok_or("the server has no output")?;
        for line in BufReader::new(output).lines() {
            if let Some(address) = line?.strip_prefix("Bellwether listens on http://") {
                return Ok(Self { child, address: address.parse()? });
            }
        }
        Err(format!("the server ended before it listened: {}", child.wait()?).into())
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn api(&self) -> Api {
        Api::at(self.address, ADMIN_KEY)
    }

    pub fn process_id(&self) -> u32 {
        self.child.id()
    }

    /// The processor time that it has used.
    pub fn processor_time(&self) -> Result<Duration, Problem> {
        process::processor_time(self.process_id())
    }

    /// The memory that it holds, in bytes.
    pub fn resident(&self) -> Result<u64, Problem> {
        process::resident(self.process_id())
    }

    /// SIGKILL: no time for anything.
    pub fn kill(mut self) -> Result<(), Problem> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// SIGTERM: the server finishes what is in flight, and must end well.
    pub fn stop(mut self) -> Result<(), Problem> {
        let asked = Command::new("sh").arg("-c").arg(format!("kill -TERM {}", self.child.id())).status()?;
        if !asked.success() {
            return Err("the server had ended before it was asked to".into());
        }
        let status = self.child.wait()?;
        if status.success() { Ok(()) } else { Err(format!("the server ended with {status} when asked to stop").into()) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It fails only if the process has ended, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
