//! Compiling components: in a child process that can be stopped, or in this one.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use wasmtime::Engine;

use super::engine::compiling_engine;

/// Where components are compiled.
#[derive(Clone, Debug)]
pub enum Compiler {
    /// In this process. It cannot be stopped half-way, so it is for tests and tools.
    InProcess,
    /// By a program that is called as `<program> compile --input FILE --output FILE` and calls [`compile_file`].
    Child(PathBuf),
}

/// Why a component was not compiled.
pub(super) enum CompileError {
    /// The component is at fault.
    Invalid(String),
    /// The host is.
    Host(String),
}

/// Compiles the component in `input` into `output`, for this version of the host on this kind of machine.
///
/// # Errors
/// What is wrong with the component, or with the files.
pub fn compile_file(input: &Path, output: &Path) -> Result<(), String> {
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
        limit: Duration,
    ) -> Result<(), CompileError> {
        match self {
            Self::InProcess => {
                let (engine, input, output) = (engine.clone(), input.to_owned(), output.to_owned());
                tokio::task::spawn_blocking(move || compile_with(&engine, &input, &output))
                    .await
                    .unwrap_or_else(|error| Err(CompileError::Host(format!("the compiler failed: {error}"))))
            }
            Self::Child(program) => child(program, input, output, limit).await,
        }
    }
}

async fn child(program: &Path, input: &Path, output: &Path, limit: Duration) -> Result<(), CompileError> {
    let mut command = Command::new(program);
    command.arg("compile").arg("--input").arg(input).arg("--output").arg(output);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let Ok(finished) = tokio::time::timeout(limit, command.output()).await else {
        return Err(CompileError::Invalid(format!("compiling it took longer than {limit:?}; make it smaller")));
    };
    let finished =
        finished.map_err(|error| CompileError::Host(format!("{} could not be run: {error}", program.display())))?;
    let said = String::from_utf8_lossy(&finished.stderr).trim().to_owned();
    match finished.status.code() {
        Some(0) => Ok(()),
        Some(_) => Err(CompileError::Invalid(said)),
        // Killed, most likely for want of memory.
        None => Err(CompileError::Host(format!("the compiler was killed ({}): {said}", finished.status))),
    }
}
