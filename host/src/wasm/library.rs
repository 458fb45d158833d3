//! The components this host has: their bytes, their compiled form on disk, and what is loaded.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use tempfile::{Builder, NamedTempFile, TempPath};
use tokio::sync::{Mutex, MutexGuard};
use wasmtime::Engine;
use wasmtime::component::{Component, InstancePre};
use wasmtime_wasi_http::p2::bindings::exports::wasi::http::incoming_handler;

use super::bindings::exports::durable::functions::{activity, describe, http_function, orchestrator, trigger};
use super::compile::{CompileError, Compiler};
use super::engine::fingerprint;
use super::guest::Guest;
use super::limits::Limits;
use super::linker::Linkers;
use crate::engine::executor::HostFault;
use crate::private;
use crate::store::Digest;

/// How files begin that are still being written; they are removed when the library is opened.
const UNFINISHED: &str = ".unfinished-";

/// The directory of components.
pub(crate) const COMPONENTS: &str = "components";

/// Where a host keeps a component whose data lie in this directory.
pub(crate) fn component_file(data: &Path, digest: Digest) -> PathBuf {
    data.join(COMPONENTS).join(file_name(digest))
}

fn file_name(digest: Digest) -> String {
    format!("{digest}.wasm")
}

fn digest_of(file_name: &str) -> Option<Digest> {
    let digest = hex::decode(file_name.strip_suffix(".wasm")?).ok()?;
    digest.try_into().ok().map(Digest)
}

/// A component that is ready to be instantiated.
pub(super) struct Loaded {
    /// Linked with virtual WASI, for orchestrators and `describe`.
    pub(super) repeatable: InstancePre<Guest>,
    /// Linked with the real one, for activities.
    pub(super) real: InstancePre<Guest>,
    pub(super) describe: describe::GuestIndices,
    pub(super) orchestrator: Option<orchestrator::GuestIndices>,
    pub(super) activity: Option<activity::GuestIndices>,
    pub(super) http: Option<http_function::GuestIndices>,
    pub(super) trigger: Option<trigger::GuestIndices>,
    pub(super) incoming: Option<incoming_handler::GuestIndices>,
}

/// All components.
pub(super) struct Library {
    components: PathBuf,
    cache: PathBuf,
    engine: Engine,
    fingerprint: String,
    linkers: Linkers,
    limits: Arc<Limits>,
    compiler: Compiler,
    loaded: RwLock<HashMap<Digest, Arc<Loaded>>>,
    /// One component at a time is compiled: a big one takes all cores for many seconds.
    compiling: Mutex<()>,
}

/// A component that was compiled and is not kept yet. Dropped, it leaves nothing behind.
pub(super) struct Candidate {
    component: NamedTempFile,
    artifact: TempPath,
    pub(super) loaded: Loaded,
}

impl Library {
    pub(super) fn open(dir: &Path, engine: Engine, limits: Arc<Limits>, compiler: Compiler) -> wasmtime::Result<Self> {
        let (components, cache) = (dir.join(COMPONENTS), dir.join("cache"));
        for dir in [&components, &cache] {
            private::create_directory(dir)?;
            remove_unfinished(dir)?;
        }
        Ok(Self {
            components,
            cache,
            fingerprint: fingerprint(&engine),
            linkers: Linkers::new(&engine)?,
            engine,
            limits,
            compiler,
            loaded: RwLock::default(),
            compiling: Mutex::default(),
        })
    }

    fn component_path(&self, digest: Digest) -> PathBuf {
        self.components.join(file_name(digest))
    }

    /// All components and their files.
    pub(super) async fn components(&self) -> Result<Vec<(Digest, PathBuf)>, String> {
        let dir = self.components.clone();
        let listed = blocking(move || {
            let mut found = Vec::new();
            for entry in std::fs::read_dir(dir)? {
                let entry = entry?;
                found.extend(digest_of(&entry.file_name().to_string_lossy()).map(|digest| (digest, entry.path())));
            }
            Ok(found)
        });
        listed.await
    }

    fn artifact_path(&self, digest: Digest) -> PathBuf {
        self.cache.join(format!("{digest}-{}.cwasm", self.fingerprint))
    }

    fn in_memory(&self, digest: Digest) -> Option<Arc<Loaded>> {
        self.loaded.read().unwrap_or_else(PoisonError::into_inner).get(&digest).cloned()
    }

    fn remember(&self, digest: Digest, loaded: Loaded) -> Arc<Loaded> {
        let mut all = self.loaded.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(digest).or_insert_with(|| Arc::new(loaded)))
    }

    /// True: the component was admitted by this host before, and is kept. That it is in memory says nothing: a guest that
    /// began while it was removed may have brought it back there.
    pub(super) fn has(&self, digest: Digest) -> bool {
        self.component_path(digest).exists()
    }

    /// A component that was admitted before. Compiles it when its compiled form is missing or made by another engine.
    pub(super) async fn get(&self, digest: Digest) -> Result<Arc<Loaded>, HostFault> {
        if let Some(loaded) = self.in_memory(digest) {
            return Ok(loaded);
        }
        if let Some(loaded) = self.load_kept(digest).await {
            return Ok(loaded);
        }
        let _turn = self.turn_to_compile().await;
        // Somebody else may have done it while we waited.
        if let Some(loaded) = self.load_kept(digest).await {
            return Ok(loaded);
        }
        let component = self.component_path(digest);
        if !component.exists() {
            return Err(HostFault::Broken(format!("component {digest} is not on this host")));
        }
        tracing::info!(%digest, "compiling a component again");
        let fault = |error: CompileError| match error {
            CompileError::Invalid(text) | CompileError::Host(text) => {
                HostFault::Broken(format!("component {digest}: {text}"))
            }
        };
        let (artifact, loaded) = self.compile(&component).await.map_err(fault)?;
        self.keep(artifact, self.artifact_path(digest)).await.map_err(HostFault::Broken)?;
        Ok(self.remember(digest, loaded))
    }

    async fn load_kept(&self, digest: Digest) -> Option<Arc<Loaded>> {
        let artifact = self.artifact_path(digest);
        if !artifact.exists() {
            return None;
        }
        match self.load(artifact).await {
            Ok(loaded) => Some(self.remember(digest, loaded)),
            Err(error) => {
                tracing::warn!(%digest, "a compiled component cannot be loaded: {error}");
                None
            }
        }
    }

    /// Waits for the turn to compile.
    pub(super) async fn turn_to_compile(&self) -> MutexGuard<'_, ()> {
        self.compiling.lock().await
    }

    /// Compiles a new component. Nothing is kept before [`Library::admit`].
    pub(super) async fn prepare(&self, component: bytes::Bytes) -> Result<Candidate, CompileError> {
        let dir = self.components.clone();
        let written = blocking(move || {
            let mut file = unfinished(&dir)?;
            file.write_all(&component)?;
            file.as_file().sync_all()?;
            Ok(file)
        });
        let component = written.await.map_err(CompileError::Host)?;
        let (artifact, loaded) = self.compile(component.path()).await?;
        Ok(Candidate { component, artifact, loaded })
    }

    /// Keeps a component durably.
    pub(super) async fn admit(&self, digest: Digest, candidate: Candidate) -> Result<(), String> {
        let Candidate { component, artifact, loaded } = candidate;
        // The artifact first: a component without one would be compiled again, and an artifact alone is never used.
        self.keep(artifact, self.artifact_path(digest)).await?;
        self.keep(component.into_temp_path(), self.component_path(digest)).await?;
        self.remember(digest, loaded);
        Ok(())
    }

    /// Removes a component and its compiled forms. What cannot be removed costs space, nothing else.
    pub(super) async fn forget(&self, digest: Digest) {
        // Nobody compiles it again meanwhile.
        let _turn = self.turn_to_compile().await;
        self.loaded.write().unwrap_or_else(PoisonError::into_inner).remove(&digest);
        let paths = [self.component_path(digest), self.artifact_path(digest)];
        let removed = blocking(move || {
            for path in paths {
                match std::fs::remove_file(&path) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
                    Ok(()) | Err(_) => {}
                }
            }
            Ok(())
        });
        if let Err(error) = removed.await {
            tracing::warn!(%digest, error, "a component that nobody needs cannot be removed");
        }
    }

    /// All components. A folder that cannot be read has none to be removed.
    pub(super) async fn kept(&self) -> Vec<Digest> {
        self.components().await.unwrap_or_default().into_iter().map(|(digest, _)| digest).collect()
    }

    async fn compile(&self, component: &Path) -> Result<(TempPath, Loaded), CompileError> {
        let artifact = unfinished(&self.cache).map_err(|error| CompileError::Host(error.to_string()))?.into_temp_path();
        self.compiler.compile(&self.engine, component, &artifact, &self.limits).await?;
        let loaded = self.load(artifact.to_path_buf()).await.map_err(CompileError::Invalid)?;
        Ok((artifact, loaded))
    }

    async fn load(&self, artifact: PathBuf) -> Result<Loaded, String> {
        let engine = self.engine.clone();
        let component = blocking(move || deserialize(&engine, &artifact)).await?;
        self.link(&component).map_err(|error| format!("{error:#}"))
    }

    fn link(&self, component: &Component) -> wasmtime::Result<Loaded> {
        let repeatable = self.linkers.repeatable.instantiate_pre(component)?;
        let real = self.linkers.real.instantiate_pre(component)?;
        Ok(Loaded {
            describe: describe::GuestIndices::new(&repeatable)?,
            orchestrator: orchestrator::GuestIndices::new(&repeatable).ok(),
            activity: activity::GuestIndices::new(&real).ok(),
            http: http_function::GuestIndices::new(&real).ok(),
            trigger: trigger::GuestIndices::new(&real).ok(),
            incoming: incoming_handler::GuestIndices::new(&real).ok(),
            repeatable,
            real,
        })
    }

    /// Gives a finished file its name: after this it is there whole, whatever happens, or not at all.
    async fn keep(&self, file: TempPath, path: PathBuf) -> Result<(), String> {
        let kept = blocking(move || {
            File::open(&file)?.sync_all()?;
            file.persist(&path).map_err(|error| error.error)?;
            match path.parent() {
                Some(dir) => Ok(File::open(dir)?.sync_all()?),
                None => Ok(()),
            }
        });
        kept.await
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> wasmtime::Result<T> + Send + 'static) -> Result<T, String> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(|error| format!("{error:#}")),
        Err(error) => Err(error.to_string()),
    }
}

#[allow(unsafe_code, reason = "compiled components are mapped into memory and trusted")]
fn deserialize(engine: &Engine, artifact: &Path) -> wasmtime::Result<Component> {
    // SAFETY: artifacts are written by this host's own compiler only, into a directory of its own, get their names when
    // they are complete, and are never changed afterwards. wasmtime itself refuses those of other versions and settings.
    unsafe { Component::deserialize_file(engine, artifact) }
}

fn unfinished(dir: &Path) -> std::io::Result<NamedTempFile> {
    Builder::new().prefix(UNFINISHED).tempfile_in(dir)
}

fn remove_unfinished(dir: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
