//! Guests: components are checked, compiled, kept and run here. Implements the engine's `Executor`.
//!
//! In the order one meets them: `inspect` and `admit` (what may come in), `compile` and `library` (what is kept),
//! `linker`, `orchestration`, `virtual_wasi`, `network`, `sockets` and `http` (what guests can call), `functions` and `incoming` (how
//! they are called), `guest` (one guest's state and limits), `run`
//! and `outcome` (how runs go and end). All limits are in [`limits`].

mod admit;
mod bindings;
mod client;
mod compile;
mod convert;
#[cfg(test)]
mod convert_tests;
#[cfg(test)]
mod determinism_tests;
mod engine;
mod fuel;
mod functions;
mod guest;
mod http;
mod incoming;
mod inspect;
mod library;
pub mod limits;
mod linker;
mod network;
mod orchestration;
mod outcome;
mod run;
mod sockets;
mod stdio;
#[cfg(test)]
mod tests;
mod ticker;
mod virtual_wasi;
mod warm;

use std::path::PathBuf;
use std::sync::Arc;

use durawasm_core::model::Outcome;

pub use compile::{CompileBounds, Compiler, Program, compile_file};
pub(crate) use library::{COMPONENTS, component_file};
pub use limits::Limits;

use crate::engine::executor::{
    ActivityRun, AdmitError, Executor, FunctionCall, FunctionEnd, FunctionRun, HostFault, OrchestratorRun, RunEnd,
};
use crate::engine::http::{HttpEnd, HttpRun};
use crate::net::call;
use crate::net::egress::Egress;
use crate::store::{AppVersion, BoxFuture, Digest, HubName};
use engine::Runtime;
use library::Library;
use run::Stage;
use warm::Warm;

/// Settings of a [`WasmExecutor`].
#[derive(Clone, Debug)]
pub struct Config {
    /// Where components and their compiled forms are kept; made if it does not exist.
    pub dir: PathBuf,
    /// What guests are held to.
    pub limits: Limits,
    /// Where components are compiled.
    pub compiler: Compiler,
    /// The way out.
    pub egress: Arc<Egress>,
}

impl Config {
    /// Default limits, compiling in this process.
    #[must_use]
    pub fn new(dir: PathBuf, egress: Arc<Egress>) -> Self {
        Self { dir, limits: Limits::default(), compiler: Compiler::InProcess, egress }
    }
}

/// Runs guests in wasmtime.
pub struct WasmExecutor {
    // Stops the ticker when it goes.
    runtime: Runtime,
    library: Arc<Library>,
    stage: Stage,
}

impl WasmExecutor {
    /// Reserves the memory for guests and opens the directory of components.
    ///
    /// # Errors
    /// The engine's, or those of the directory.
    pub fn new(config: Config) -> anyhow::Result<Self> {
        let failed = |error: wasmtime::Error| anyhow::anyhow!("{error:#}");
        let limits = Arc::new(config.limits);
        let runtime = Runtime::new(&limits).map_err(failed)?;
        let engine = runtime.engine().clone();
        let library =
            Library::open(&config.dir, engine.clone(), Arc::clone(&limits), config.compiler).map_err(failed)?;
        let warm = Warm::new(&limits);
        let stage = Stage { engine, limits, egress: config.egress, warm };
        Ok(Self { runtime, library: Arc::new(library), stage })
    }
}

impl Executor for WasmExecutor {
    fn orchestrate(&self, run: OrchestratorRun) -> BoxFuture<'static, RunEnd> {
        let (library, stage) = (Arc::clone(&self.library), self.stage.clone());
        Box::pin(self.runtime.pulse().during(async move {
            match library.get(run.digest).await {
                Ok(loaded) => stage.orchestrate(&loaded, run).await,
                Err(fault) => RunEnd::Host(fault),
            }
        }))
    }

    fn run_activity(&self, run: ActivityRun) -> BoxFuture<'static, Result<Outcome, HostFault>> {
        let (library, stage) = (Arc::clone(&self.library), self.stage.clone());
        Box::pin(self.runtime.pulse().during(async move {
            let loaded = library.get(run.digest).await?;
            stage.run_activity(&loaded, run).await
        }))
    }

    fn run_function(&self, run: FunctionRun, call: FunctionCall) -> BoxFuture<'static, FunctionEnd> {
        let (library, stage) = (Arc::clone(&self.library), self.stage.clone());
        Box::pin(self.runtime.pulse().during(async move {
            let loaded = library.get(run.digest).await?;
            stage.run_function(&loaded, (run, call)).await
        }))
    }

    fn forget(&self, digest: Digest) -> BoxFuture<'_, ()> {
        self.stage.warm.forget(digest);
        Box::pin(self.library.forget(digest))
    }

    fn kept(&self) -> BoxFuture<'_, Vec<Digest>> {
        Box::pin(self.library.kept())
    }

    fn allow(&self, hub: &HubName, rules: &[String]) {
        self.stage.egress.allow(hub, rules);
    }

    fn call_http(&self, run: HttpRun) -> BoxFuture<'static, HttpEnd> {
        let (egress, limit) = (Arc::clone(&self.stage.egress), self.stage.limits.payload);
        Box::pin(async move { call::attempt(&egress, run, limit).await })
    }

    fn admit(&self, component: bytes::Bytes) -> BoxFuture<'_, Result<AppVersion, AdmitError>> {
        Box::pin(self.runtime.pulse().during(admit::admit(&self.library, &self.stage, component)))
    }

    fn components(&self) -> BoxFuture<'_, Result<Vec<(Digest, PathBuf)>, HostFault>> {
        let library = Arc::clone(&self.library);
        Box::pin(async move { library.components().await.map_err(HostFault::Broken) })
    }
}
