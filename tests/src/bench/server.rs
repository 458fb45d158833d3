//! The server under test: a process of its own on a data directory of its own.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use axum::body::Bytes;
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::args::Args;
use super::client::{Connection, Request};
use super::usage::{Usage, disk_bytes};
use crate::guests;

/// How long a server may take to become ready.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks at a server that is not ready yet.
const LOOK: Duration = Duration::from_millis(1);
/// Between two looks at a server's memory.
const WATCH: Duration = Duration::from_millis(20);

/// The program, and where its data goes.
#[derive(Debug)]
pub(super) struct Program {
    path: PathBuf,
    data: PathBuf,
    stepwise: bool,
}

impl Program {
    /// Builds the server unless the arguments name one.
    pub(super) fn new(args: &Args) -> anyhow::Result<Self> {
        let path = match &args.server {
            Some(path) => path.clone(),
            None => build()?,
        };
        let data = args.data.clone().unwrap_or_else(|| guests::root().join("target/bench"));
        std::fs::create_dir_all(&data).with_context(|| data.display().to_string())?;
        Ok(Self { path, data, stepwise: args.stepwise })
    }

    /// A server on a fresh directory, ready to take requests.
    pub(super) async fn serve(&self, sync_delay: Option<Duration>) -> anyhow::Result<Server> {
        let data = tempfile::Builder::new().prefix("data-").tempdir_in(&self.data)?;
        let (child, address) = self.spawn(data.path(), sync_delay)?;
        let server = Server { child, address, data };
        server.ready().await?;
        Ok(server)
    }

    /// The component of an app in another language, built by the program as its author would.
    pub(super) fn component(&self, folder: &str) -> anyhow::Result<Bytes> {
        let file = self.data.join(format!("{}.wasm", folder.replace('/', "-")));
        let mut build = Command::new(&self.path);
        build.arg("build").arg(guests::root().join(folder)).arg("-o").arg(&file);
        build.env("DURAWASM_CACHE", std::path::absolute(guests::root().join("target/tools"))?);
        if !build.stdout(Stdio::null()).status()?.success() {
            bail!("{folder} could not be built");
        }
        Ok(Bytes::from(std::fs::read(&file)?))
    }

    fn spawn(&self, data: &Path, sync_delay: Option<Duration>) -> anyhow::Result<(Child, SocketAddr)> {
        // A port that was free a moment ago.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut command = Command::new(&self.path);
        command.args(["serve", "--listen", &address.to_string(), "--store"]);
        command.arg(format!("sled:{}", data.display()));
        if let Some(delay) = sync_delay {
            command.args(["--bench-sync-delay-us", &delay.as_micros().to_string()]);
        }
        if self.stepwise {
            command.args(["--run-ahead", "0"]);
        }
        // What a guest does wrong is logged; thousands of such lines would be measured as well.
        command.env("RUST_LOG", "error").stdout(Stdio::null());
        command.stderr(File::options().create(true).append(true).open(data.join("server.log"))?);
        Ok((command.spawn().with_context(|| self.path.display().to_string())?, address))
    }
}

/// The same profile as this program's, in the same directory.
fn build() -> anyhow::Result<PathBuf> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--package", "durawasm-host", "--bin", "durawasm", "--manifest-path"]);
    cargo.arg(guests::root().join("Cargo.toml"));
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    if !cargo.status()?.success() {
        bail!("the server could not be built");
    }
    let own = std::env::current_exe()?;
    Ok(own.with_file_name(format!("durawasm{}", std::env::consts::EXE_SUFFIX)))
}

/// A running server. Dropped, it is killed and its data removed.
pub(super) struct Server {
    child: Child,
    /// Where it listens.
    pub(super) address: SocketAddr,
    data: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Server {
    /// Ends the process as kill -9 does.
    pub(super) fn kill(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }

    /// Ends the process in order.
    pub(super) async fn stop(&mut self) -> anyhow::Result<()> {
        Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status()?;
        let deadline = Instant::now() + PATIENCE;
        while self.child.try_wait()?.is_none() {
            if Instant::now() > deadline {
                bail!("the server does not stop");
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// Starts it again on the same data; returns at once.
    pub(super) fn restart(&mut self, program: &Program) -> anyhow::Result<()> {
        (self.child, self.address) = program.spawn(self.data.path(), None)?;
        Ok(())
    }

    /// Returns once it has taken up its work.
    pub(super) async fn ready(&self) -> anyhow::Result<()> {
        let request = Request::new("GET", "/readyz", ("text/plain", b""));
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Ok(mut connection) = Connection::open(self.address).await
                && connection.send(&request).await.is_ok_and(|answer| answer.status == 200)
            {
                return Ok(());
            }
            if Instant::now() > deadline {
                let log = std::fs::read_to_string(self.data.path().join("server.log")).unwrap_or_default();
                bail!("the server does not become ready: {log}");
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Deploys a component to the default hub.
    pub(super) async fn deploy(&self, app: &str, component: &Bytes) -> anyhow::Result<()> {
        self.deploy_to("default", app, component).await
    }

    /// Creates a hub.
    pub(super) async fn create_hub(&self, hub: &str) -> anyhow::Result<()> {
        let request = Request::new("PUT", &format!("/admin/hubs/{hub}"), ("application/json", b""));
        self.connect().await?.send(&request).await?.expect(201)
    }

    /// Deploys a component.
    pub(super) async fn deploy_to(&self, hub: &str, app: &str, component: &Bytes) -> anyhow::Result<()> {
        let path = format!("/admin/hubs/{hub}/apps/{app}");
        let request = Request::new("PUT", &path, ("application/wasm", component));
        self.connect().await?.send(&request).await?.expect(201)
    }

    /// A new connection.
    pub(super) async fn connect(&self) -> anyhow::Result<Connection> {
        Connection::open(self.address).await
    }

    /// What it has used so far.
    pub(super) fn usage(&self) -> Usage {
        Usage::of(self.child.id())
    }

    /// Megabytes of its memory; a page that it shares counts in parts. Linux only.
    pub(super) fn proportional_megabytes(&self) -> Option<f64> {
        let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", self.pid())).ok()?;
        let pss = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
        let kilobytes: f64 = pss.trim().strip_suffix(" kB")?.parse().ok()?;
        Some(kilobytes * 1024.0 / 1e6)
    }

    /// Watches how much memory it has resident.
    pub(super) fn watch(&self) -> Watched {
        let (pid, most) = (self.child.id(), Arc::new(AtomicU64::new(self.usage().rss)));
        let seen = Arc::clone(&most);
        let task = tokio::spawn(async move {
            loop {
                seen.fetch_max(Usage::of(pid).rss, Ordering::Relaxed);
                tokio::time::sleep(WATCH).await;
            }
        });
        Watched { most, task }
    }

    /// Its process.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Bytes of its data on the disk.
    pub(super) fn disk_bytes(&self) -> u64 {
        disk_bytes(self.data.path())
    }
}

/// A look at a server's memory now and then, until this is dropped.
pub(super) struct Watched {
    most: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Watched {
    /// The most resident memory that was seen, in bytes.
    pub(super) fn most(&self) -> u64 {
        self.most.load(Ordering::Relaxed)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.task.abort();
    }
}
