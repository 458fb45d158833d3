//! Compiling components: in a child process that can be stopped, or in this one.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use rustix::process::{Resource, Rlimit, Signal, getrlimit, nice, setrlimit};
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use wasmtime::Engine;

use super::engine::compiling_engine;
use super::limits::{COMPILE_NICENESS, Limits};

/// Where components are compiled.
#[derive(Clone, Debug)]
pub enum Compiler {
    /// In this process. It cannot be stopped half-way, so it is for tests and tools.
    InProcess,
    /// By another process.
    Child(Program),
}

/// A program that is called as `<program> compile --input FILE --output FILE --memory BYTES --processor-time SECONDS` and
/// calls [`compile_file`].
#[derive(Clone, Debug)]
pub struct Program {
    path: PathBuf,
    /// Where it is begun. A process has the priority of the thread that begins it, and who asks may be on one that has
    /// to stand back.
    runtime: Handle,
}

impl Program {
    /// Within a runtime whose threads have the usual priority.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path, runtime: Handle::current() }
    }
}

/// What a process that compiles may use. It takes this upon itself before it reads anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompileBounds {
    /// Bytes of address space.
    pub memory: u64,
    /// Seconds of processor time, of all its threads together.
    pub processor_time: u64,
}

impl CompileBounds {
    fn of(limits: &Limits) -> Self {
        Self { memory: limits.compile_memory, processor_time: limits.compile_processor_time.as_secs().max(1) }
    }

    /// Bounds this process, for good.
    fn take(self) -> Result<(), String> {
        let failed = |error: rustix::io::Errno| format!("this process cannot be bounded: {error}");
        nice(COMPILE_NICENESS).map_err(failed)?;
        // Systems other than Linux do not all know a limit of address space.
        match lower(Resource::As, self.memory, self.memory) {
            Err(error) if cfg!(target_os = "linux") => return Err(failed(error)),
            Ok(()) | Err(_) => {}
        }
        // At the first a signal says why the process ends; at the second it is killed without a word.
        lower(Resource::Cpu, self.processor_time, self.processor_time.saturating_add(KILL_GRACE)).map_err(failed)
    }
}

/// Seconds of processor time between the signal that ends a process for what it used and the one that cannot be missed.
const KILL_GRACE: u64 = 5;

/// Lowers a limit that may be lower already: what holds, and what it may be raised to.
fn lower(resource: Resource, limit: u64, most: u64) -> rustix::io::Result<()> {
    let Rlimit { current, maximum } = getrlimit(resource);
    let least = |now: Option<u64>, limit: u64| Some(now.map_or(limit, |now| now.min(limit)));
    setrlimit(resource, Rlimit { current: least(current, limit), maximum: least(maximum, most) })
}

/// Why a component was not compiled.
pub(super) enum CompileError {
    /// The component is at fault.
    Invalid(String),
    /// The host is.
    Host(String),
}

/// Compiles the component in `input` into `output`, for this version of the host on this kind of machine. This process is
/// held to the bounds from now on.
///
/// # Errors
/// What is wrong with the component, or with the files.
pub fn compile_file(input: &Path, output: &Path, bounds: CompileBounds) -> Result<(), String> {
    bounds.take()?;
    let engine = compiling_engine().map_err(|error| format!("{error:#}"))?;
    compile_with(&engine, input, output).map_err(|error| match error {
        CompileError::Invalid(text) | CompileError::Host(text) => text,
    })
}

fn compile_with(engine: &Engine, input: &Path, output: &Path) -> Result<(), CompileError> {
    let host = |error: std::io::Error| CompileError::Host(error.to_string());
    let component = std::fs::read(input).map_err(host)?;
    let artifact =
        engine.precompile_component(&component).map_err(|error| CompileError::Invalid(format!("{error:#}")))?;
    std::fs::write(output, artifact).map_err(host)
}

impl Compiler {
    /// Compiles a file into another one.
    pub(super) async fn compile(
        &self,
        engine: &Engine,
        input: &Path,
        output: &Path,
        limits: &Limits,
    ) -> Result<(), CompileError> {
        match self {
            Self::InProcess => {
                let (engine, input, output) = (engine.clone(), input.to_owned(), output.to_owned());
                tokio::task::spawn_blocking(move || compile_with(&engine, &input, &output))
                    .await
                    .unwrap_or_else(|error| Err(CompileError::Host(format!("the compiler failed: {error}"))))
            }
            Self::Child(program) => child(program, input, output, limits).await,
        }
    }
}

async fn child(program: &Program, input: &Path, output: &Path, limits: &Limits) -> Result<(), CompileError> {
    let (bounds, limit) = (CompileBounds::of(limits), limits.compile_time);
    let mut command = Command::new(&program.path);
    command.arg("compile").arg("--input").arg(input).arg("--output").arg(output);
    command.arg("--memory").arg(bounds.memory.to_string());
    command.arg("--processor-time").arg(bounds.processor_time.to_string());
    // Whoever gives the compilation up ends the process with it.
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    // Given up here, it is given up there.
    let mut there = JoinSet::new();
    there.spawn_on(tokio::time::timeout(limit, finish(command, limits.compile_words)), &program.runtime);
    let Some(Ok(finished)) = there.join_next().await else {
        return Err(CompileError::Host("it was interrupted".to_owned()));
    };
    let Ok(finished) = finished else {
        return Err(CompileError::Invalid(format!("compiling it took longer than {limit:?}; make it smaller")));
    };
    let (status, said) = finished
        .map_err(|error| CompileError::Host(format!("{} could not be run: {error}", program.path.display())))?;
    match status.code() {
        Some(0) => Ok(()),
        Some(_) => Err(CompileError::Invalid(said)),
        None => Err(killed(status, &said, bounds)),
    }
}

/// Runs a command to its end; how it ended and what it said on stderr, of which so many bytes are kept: the beginning,
/// where it says what is wrong.
async fn finish(mut command: Command, words: usize) -> std::io::Result<(ExitStatus, String)> {
    let mut child = command.spawn()?;
    let mut said = Vec::new();
    if let Some(mut stderr) = child.stderr.take() {
        let limit = u64::try_from(words).unwrap_or(u64::MAX);
        (&mut stderr).take(limit).read_to_end(&mut said).await?;
        // A process that is not listened to any more would wait for that.
        tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await?;
    }
    let status = child.wait().await?;
    let whole = said.len() < words;
    let said = String::from_utf8_lossy(&said).trim().to_owned();
    Ok((status, if whole { said } else { format!("{said}…") }))
}

/// Why a process that compiled was killed: for its bounds, or by somebody else.
fn killed(status: ExitStatus, said: &str, bounds: CompileBounds) -> CompileError {
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    let is = |known: Signal| signal == Some(known.as_raw());
    if is(Signal::XCPU) {
        let seconds = bounds.processor_time;
        return CompileError::Invalid(format!(
            "compiling it took more than {seconds} s of processor time; make it smaller"
        ));
    }
    // What cannot have memory aborts; so does what nests so deeply that a stack ends.
    if is(Signal::ABORT) && said.contains("memory allocation of") {
        let bytes = bounds.memory;
        return CompileError::Invalid(format!("compiling it took more than {bytes} bytes of memory; make it smaller"));
    }
    if is(Signal::ABORT) && said.contains("overflowed its stack") {
        return CompileError::Invalid("it is nested too deeply to be compiled".to_owned());
    }
    CompileError::Host(format!("the compiler was killed ({status}): {said}"))
}
