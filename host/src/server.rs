//! Assembly: the store, the executor, the engine and the HTTP surface put together. Only it and
//! `restore.rs` name backends.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::api::{self, ApiSettings, ApiState, EngineSlot, Stopping};
use crate::engine::executor::Executor;
use crate::engine::guest_client::Outside;
use crate::engine::spans::SpanSink;
use crate::engine::verdict::{self, Verdict};
use crate::engine::{self, Engine, Settings};
use crate::listener;
use crate::machine::{self, Allowed, Needed};
use crate::net::egress::Egress;
use crate::net::otlp::{Exporter, OtlpOptions};
use crate::net::rules::Rules;
use crate::origin::{Origin, Pages};
use crate::restore;
use crate::store::memory::MemoryStore;
use crate::store::sled::{SledOptions, SledStore};
use crate::store::{SharedStore, Stall, portable};
use crate::wasm::{self, WasmExecutor};

/// Bytes below which a key may be guessed.
const SHORT_KEY: usize = 16;

/// How often a server looks whether its store still works; what fails is refused at once in any case.
const HEALTH_CHECK: Duration = Duration::from_millis(500);

/// Where data is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreChoice {
    /// `sled:PATH`: in this directory.
    Sled(PathBuf),
    /// `memory`: nowhere; gone with the process.
    Memory,
}

impl FromStr for StoreChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("sled", path)) if !path.is_empty() => Ok(Self::Sled(PathBuf::from(path))),
            None if text == "memory" => Ok(Self::Memory),
            Some(_) | None => Err(format!("a store is 'sled:DIRECTORY' or 'memory', not '{text}'")),
        }
    }
}

/// What an operator decides when a server is started.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// `host:port` to listen on.
    pub listen: String,
    /// Where data is kept.
    pub store: StoreChoice,
    /// The key that opens everything; without one only loopback addresses are served.
    pub admin_key: Option<String>,
    /// The origin of links when a request names none; none: the listen address.
    pub public_url: Option<Origin>,
    /// Believe `X-Forwarded-Host` and `X-Forwarded-Proto`.
    pub trust_proxy: bool,
    /// Instances that ended longer ago than this are purged; none: they are kept.
    pub retention: Option<Duration>,
    /// How far orchestrations run ahead of what is durable, see [`Settings::run_ahead`].
    pub run_ahead: Duration,
    /// How long a guest that has answered an HTTP call stays, see [`wasm::Limits::function_stay`].
    pub function_stay: Duration,
    /// Whose web pages may use the server; none by default.
    pub cors_origins: Vec<Pages>,
    /// What guests may reach.
    pub egress: Rules,
    /// Certificates that TLS trusts beside the public ones; a file of PEM.
    pub egress_ca: Option<PathBuf>,
    /// Where spans go; none: none are made.
    pub otlp: Option<OtlpOptions>,
    /// What the paths of HTTP functions begin with, see [`ApiSettings::route_prefix`].
    pub route_prefix: String,
    /// Added to every sync of the store; for benchmarks that imitate a slower disk.
    pub sync_delay: Option<Duration>,
}

/// A server that listens. Its engine opens behind it: health is answered meanwhile.
pub struct Server {
    address: SocketAddr,
    http: JoinHandle<()>,
    opening: JoinHandle<Result<(Engine, DataFolder), String>>,
    folder: Option<DataFolder>,
    stop: watch::Sender<bool>,
    surface: ApiState,
    exporter: Option<Arc<Exporter>>,
}

impl Server {
    /// Binds the address, serves, and begins to open the store.
    ///
    /// # Errors
    /// For people: why this address cannot be served.
    pub async fn start(options: ServerOptions) -> Result<Self, String> {
        let exporter = options.otlp.as_ref().map(|otlp| Exporter::start(otlp, options.egress_ca.as_deref()));
        let exporter = exporter.transpose()?;
        let spans = exporter.clone().map(|exporter| exporter as Arc<dyn SpanSink>);
        let threads = tokio::runtime::Handle::current().metrics().num_workers();
        let heavy_threads = Some(threads);
        let (retention, run_ahead) = (options.retention, options.run_ahead);
        let settings = Settings { retention, run_ahead, spans, heavy_threads, ..Settings::default() };
        let limits = wasm::Limits { function_stay: options.function_stay, ..wasm::Limits::default() };
        check_machine(machine::allowed(), &settings, &limits)?;
        let address = resolve(&options.listen).await?;
        check_exposure(address, &options)?;
        let egress = Arc::new(Egress::new(options.egress, options.egress_ca.as_deref())?);
        let listener = TcpListener::bind(address).await.map_err(|error| cannot_listen(address, &error))?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        if options.admin_key.as_ref().is_some_and(|key| key.len() < SHORT_KEY) {
            tracing::warn!(
                "the admin key is short: whoever has a link can try keys against the link's code. \
                 Use a long random one, such as `openssl rand -hex 32` prints."
            );
        }
        let slot = EngineSlot::new();
        let api = ApiSettings {
            admin_key: options.admin_key,
            trust_proxy: options.trust_proxy,
            route_prefix: options.route_prefix,
            cors_origins: options.cors_origins.iter().map(Pages::to_string).collect(),
            ..ApiSettings::new(options.public_url.map_or_else(|| format!("http://{address}"), |url| url.to_string()))
        };
        let (stop, stopped) = watch::channel(false);
        let stopping = Stopping::new(stopped);
        let state = ApiState::new(slot.clone(), api).stopping(stopping.clone());
        let outside = state.outside();
        let router = api::router(state.clone());
        let http = tokio::spawn(listener::serve(listener, router, stopping));
        let opening =
            tokio::spawn(open_engine((options.store, options.sync_delay), (settings, limits, egress), (slot, outside)));
        Ok(Self { address, http, opening, folder: None, stop, surface: state, exporter })
    }

    /// Its HTTP surface.
    #[must_use]
    pub fn surface(&self) -> &ApiState {
        &self.surface
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until the engine is open.
    ///
    /// # Errors
    /// For people: why it did not open.
    pub async fn engine(&mut self) -> Result<Engine, String> {
        let opened = (&mut self.opening).await.map_err(|error| format!("opening the store failed: {error}"))?;
        let (engine, folder) = opened?;
        self.folder = Some(folder);
        Ok(engine)
    }

    /// Takes no more requests, lets those in flight end for at most 10 seconds, stops the engine and sends the spans that
    /// wait, for at most 3 seconds. Starts that wait for
    /// their instance are answered with its links at once.
    ///
    /// # Errors
    /// For people: what went wrong with the listener.
    pub async fn stop(self, engine: Engine) -> Result<(), String> {
        self.stop.send_replace(true);
        let ended = self.http.await;
        engine.stop();
        engine.write_usage().await;
        if let Some(exporter) = self.exporter {
            exporter.close().await;
        }
        ended.map_err(|error| format!("the listener failed: {error}"))
    }
}

/// Returns once the store of this engine has stopped for good, with the reason. Meanwhile it logs when the disk leaves a write
/// unanswered for too long, and when that is over.
pub async fn store_failure(engine: &Engine) -> String {
    let mut stalled_since = None;
    loop {
        if let Some(reason) = engine.store_failed() {
            return reason;
        }
        log_stall(engine.store_stalled(), &mut stalled_since);
        tokio::time::sleep(HEALTH_CHECK).await;
    }
}

fn log_stall(stall: Option<Stall>, since: &mut Option<Instant>) {
    match (stall, *since) {
        (Some(stall), None) => {
            *since = Instant::now().checked_sub(stall.lasts);
            tracing::warn!("{stall}; what is to be written waits, and /readyz answers 503 until the disk goes on");
        }
        (None, Some(began)) => {
            *since = None;
            tracing::info!("the disk answers again, after {} s; what waited goes on", began.elapsed().as_secs());
        }
        (Some(_), Some(_)) | (None, None) => {}
    }
}

fn cannot_listen(address: SocketAddr, error: &std::io::Error) -> String {
    let why = match error.kind() {
        std::io::ErrorKind::AddrInUse => "another program listens there already (perhaps another durawasm)".to_owned(),
        std::io::ErrorKind::PermissionDenied => "this user may not listen there".to_owned(),
        std::io::ErrorKind::AddrNotAvailable => "this machine has no such address".to_owned(),
        // Whatever else the system has to say.
        _ => error.to_string(),
    };
    format!("cannot listen on {address}: {why}. Choose another address with --listen.")
}

/// Refuses a machine on which no guest can run, and says what else it has too little of.
fn check_machine(allowed: Allowed, settings: &Settings, limits: &wasm::Limits) -> Result<(), String> {
    let needed = Needed {
        connections: listener::MOST_CONNECTIONS as u64,
        working_guests: (settings.activities + settings.functions) as u64,
        guests: limits.concurrent_guests.into(),
        mappings_of_guest: wasm::limits::MAPPINGS,
        address_space: limits.address_space(),
    };
    for shortage in machine::shortages(allowed, &needed) {
        if shortage.is_fatal() {
            return Err(shortage.to_string());
        }
        tracing::warn!("{shortage}");
    }
    Ok(())
}

/// Without a key nothing but this machine may reach the server.
fn check_exposure(address: SocketAddr, options: &ServerOptions) -> Result<(), String> {
    if options.admin_key.is_none() && options.cors_origins.contains(&Pages::All) {
        return Err("refusing to let the web pages of everybody use a server without a key: any page could run code \
             here. Give a key with --admin-key, or name the origins with --cors-origin."
            .to_owned());
    }
    match &options.admin_key {
        Some(key) if key.trim().is_empty() => {
            Err("the admin key is empty; leave it out to serve this machine only".to_owned())
        }
        None if !address.ip().is_loopback() => Err(format!(
            "refusing to listen on {address} without a key: anyone who reaches it could run code here. \
             Give one with --admin-key (or DURAWASM_ADMIN_KEY), or listen on 127.0.0.1."
        )),
        Some(_) | None => Ok(()),
    }
}

async fn resolve(listen: &str) -> Result<SocketAddr, String> {
    let problem = |why: String| format!("'{listen}' is no address to listen on ({why}); write it as 127.0.0.1:7071");
    let mut found = tokio::net::lookup_host(listen).await.map_err(|error| problem(error.to_string()))?;
    found.next().ok_or_else(|| problem("the name has no address".to_owned()))
}

async fn open_engine(
    (choice, sync_delay): (StoreChoice, Option<Duration>),
    (settings, limits, egress): (Settings, wasm::Limits, Arc<Egress>),
    (slot, outside): (EngineSlot, Arc<dyn Outside>),
) -> Result<(Engine, DataFolder), String> {
    // Opening reads and repairs files: not for the threads that answer health checks.
    let opened = tokio::task::spawn_blocking(move || {
        let store = open_store(&choice, sync_delay)?;
        let folder = DataFolder::of(&choice)?;
        let executor = open_executor(folder.path(), limits, egress)?;
        Ok::<_, String>((store, executor, folder))
    });
    let (store, executor, folder) = opened.await.map_err(|error| format!("opening the store failed: {error}"))??;
    let engine =
        Engine::open(store, executor, settings, engine::system_clock()).await.map_err(|error| error.to_string())?;
    engine.set_outside(outside);
    slot.set(engine.clone());
    Ok((engine, folder))
}

/// Where components and compiled code lie.
enum DataFolder {
    /// Beside the store.
    Kept(PathBuf),
    /// Gone with the server, as its store.
    Temporary(tempfile::TempDir),
}

impl DataFolder {
    fn of(choice: &StoreChoice) -> Result<Self, String> {
        match choice {
            StoreChoice::Sled(path) => Ok(Self::Kept(path.clone())),
            StoreChoice::Memory => tempfile::tempdir()
                .map(Self::Temporary)
                .map_err(|error| format!("cannot make a temporary directory: {error}")),
        }
    }

    fn path(&self) -> &Path {
        match self {
            Self::Kept(path) => path,
            Self::Temporary(folder) => folder.path(),
        }
    }
}

/// Opens the store that was chosen. Blocks.
fn open_store(choice: &StoreChoice, sync_delay: Option<Duration>) -> Result<SharedStore, String> {
    match choice {
        StoreChoice::Sled(path) => {
            restore::check_complete(path)?;
            let store =
                SledStore::open(&path.join(restore::STORE), SledOptions { sync_delay, ..SledOptions::default() });
            Ok(Arc::new(store.map_err(|error| error.to_string())?))
        }
        StoreChoice::Memory => Ok(Arc::new(MemoryStore::default())),
    }
}

/// Opens what runs guests; it keeps components and compiled code under `data`. Blocks.
fn open_executor(data: &Path, limits: wasm::Limits, egress: Arc<Egress>) -> Result<Arc<dyn Executor>, String> {
    let program = std::env::current_exe().map_err(|error| format!("cannot find the program itself: {error}"))?;
    let compiler = wasm::Compiler::Child(wasm::Program::new(program));
    let config = wasm::Config { compiler, limits, ..wasm::Config::new(data.to_owned(), egress) };
    let executor = WasmExecutor::new(config);
    Ok(Arc::new(executor.map_err(|error| format!("cannot run guests from {}: {error:#}", data.display()))?))
}

/// Runs a component on a history in its portable form, in a folder that is gone afterwards.
///
/// # Errors
/// For people: what is wrong with the history or the component.
pub async fn replay(history: &[u8], component: bytes::Bytes) -> Result<Verdict, String> {
    let history = portable::decode_history(history).map_err(|error| format!("the history cannot be read: {error}"))?;
    let folder = DataFolder::of(&StoreChoice::Memory)?;
    let egress = Arc::new(Egress::new(Rules::default(), None)?);
    let executor = open_executor(folder.path(), wasm::Limits::default(), egress)?;
    let version = executor.admit(component).await.map_err(|error| format!("the component is refused: {error}"))?;
    verdict::check(&*executor, &version, &history).await.map_err(|error| error.to_string())
}

/// Compiles a component; runs in a process of its own, so that it can be limited (to bytes of address space and seconds of
/// processor time) and stopped.
///
/// # Errors
/// For people: what is wrong with the component.
pub fn compile_component(input: &Path, output: &Path, (memory, processor_time): (u64, u64)) -> Result<(), String> {
    wasm::compile_file(input, output, wasm::CompileBounds { memory, processor_time })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stores_are_named() {
        assert_eq!("memory".parse(), Ok(StoreChoice::Memory));
        assert_eq!("sled:./.durawasm".parse(), Ok(StoreChoice::Sled("./.durawasm".into())));
        for bad in ["", "sled", "sled:", "memory:", "postgres:x"] {
            assert!(bad.parse::<StoreChoice>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_machine_is_refused_only_if_no_guest_can_run() {
        let check = |allowed| check_machine(allowed, &Settings::default(), &wasm::Limits::default());
        let files = Some(256);
        assert_eq!(check(Allowed { files, mappings: Some(1_000), address_space: None }), Ok(()));
        let refused = check(Allowed { address_space: Some(8 << 30), ..Allowed::default() });
        assert!(refused.is_err_and(|text| text.contains("`ulimit -v unlimited`")));
    }

    #[test]
    fn only_loopback_is_served_without_a_key() {
        let check = |address: &str, key: Option<&str>, pages: &[Pages]| {
            let options = ServerOptions {
                listen: address.to_owned(),
                store: StoreChoice::Memory,
                admin_key: key.map(str::to_owned),
                public_url: None,
                trust_proxy: false,
                retention: None,
                run_ahead: Duration::ZERO,
                function_stay: Duration::ZERO,
                cors_origins: pages.to_vec(),
                egress: Rules::default(),
                egress_ca: None,
                otlp: None,
                route_prefix: "api".to_owned(),
                sync_delay: None,
            };
            check_exposure(address.parse().unwrap(), &options)
        };
        assert!(check("127.0.0.1:7071", None, &[]).is_ok());
        assert!(check("[::1]:7071", None, &[]).is_ok());
        assert!(check("0.0.0.0:7071", None, &[]).is_err_and(|text| text.contains("--admin-key")));
        assert!(check("0.0.0.0:7071", Some("k"), &[]).is_ok());
        assert!(check("127.0.0.1:7071", Some(" "), &[]).is_err());
        assert!(check("127.0.0.1:7071", None, &[Pages::All]).is_err_and(|text| text.contains("--cors-origin")));
        assert!(check("127.0.0.1:7071", Some("k"), &[Pages::All]).is_ok());
    }
}
