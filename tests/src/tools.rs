//! Programs of other languages that test the server: the clients of the SDKs, a generator of requests.
//!
//! They are installed below `target/clients/` from the exact pins in `tests/clients/`, by the first test that wants them,
//! and again when the pins change.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::guests::root;

/// Set to 1, the tests with clients and generators in other languages are skipped.
pub const SKIP_CLIENTS: &str = "DURAWASM_SKIP_CLIENTS";
/// Set to 1, the tests that build apps in other languages than Rust are skipped.
pub const SKIP_POLYGLOT: &str = "DURAWASM_SKIP_POLYGLOT";

/// What a test may need besides Rust.
#[derive(Clone, Copy, Debug)]
pub enum Tool {
    /// `python3` with its module venv.
    Python,
    /// `node` and `npm`.
    Node,
}

impl Tool {
    /// Why it cannot be used here; none: it can.
    fn missing(self) -> Option<&'static str> {
        let works = |program: &str, args: &[&str]| {
            Command::new(program).args(args).output().is_ok_and(|output| output.status.success())
        };
        match self {
            Self::Python if !works("python3", &["-m", "venv", "--help"]) => {
                Some("there is no python3 with its module venv (Debian: apt install python3 python3-venv)")
            }
            Self::Node if !works("node", &["--version"]) || !works("npm", &["--version"]) => {
                Some("there is no node with npm (https://nodejs.org)")
            }
            Self::Python | Self::Node => None,
        }
    }
}

/// Whether the test that runs now is to be skipped: because this variable is 1, or a tool is not there. Says so, past
/// what hides the output of tests that pass.
#[must_use]
pub fn skipped(switch: &str, needed: &[Tool]) -> bool {
    let unwanted = std::env::var(switch).is_ok_and(|value| value == "1");
    let reason = if unwanted { Some(format!("{switch}=1")) } else { None };
    let reason = reason.or_else(|| needed.iter().find_map(|tool| tool.missing()).map(str::to_owned));
    if let Some(reason) = &reason {
        // The harness names the thread by its test.
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        let _closed = writeln!(std::io::stderr(), "SKIPPED {test}: {reason}");
    }
    reason.is_some()
}

/// A folder of `tests/clients/`.
#[must_use]
pub fn sources(name: &str) -> PathBuf {
    root().join("tests/clients").join(name)
}

/// The folder of the programs of a virtual environment with the packages of `tests/clients/NAME/requirements.txt`.
///
/// # Panics
/// When it cannot be made: says what is missing.
#[must_use]
pub fn python(name: &str) -> PathBuf {
    let requirements = sources(name).join("requirements.txt");
    let version = run(Command::new("python3").arg("--version"), "Python 3.10 or later (python3)");
    let installed = install(name, &[&requirements], &version, |folder| {
        run(Command::new("python3").args(["-m", "venv"]).arg(folder), "Python's module venv (Debian: python3-venv)");
        let mut pip = Command::new(folder.join("bin/python"));
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--requirement"]);
        run(pip.arg(&requirements), "pip, and a package index that it reaches");
    });
    installed.join("bin")
}

/// The `node_modules` of `tests/clients/NAME/package-lock.json`.
///
/// # Panics
/// When it cannot be made: says what is missing.
#[must_use]
pub fn node_modules(name: &str) -> PathBuf {
    let pins = ["package.json", "package-lock.json"].map(|file| sources(name).join(file));
    let version = run(Command::new("node").arg("--version"), "Node.js 20 or later (node)");
    let installed = install(name, &[&pins[0], &pins[1]], &version, |folder| {
        fs::create_dir_all(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        for pin in &pins {
            let copy = folder.join(pin.file_name().unwrap_or_default());
            fs::copy(pin, &copy).unwrap_or_else(|error| panic!("{}: {error}", copy.display()));
        }
        let mut npm = Command::new("npm");
        npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(folder);
        run(&mut npm, "npm, and a package registry that it reaches");
    });
    installed.join("node_modules")
}

/// Makes a folder unless it was made from the same pins by the same tool.
fn install(name: &str, pins: &[&Path], tool: &str, make: impl FnOnce(&Path)) -> PathBuf {
    let read = |path: &Path| fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let wanted = pins.iter().map(|pin| read(pin)).collect::<String>() + tool;
    let base = std::path::absolute(root().join("target/clients")).unwrap_or_else(|error| panic!("target: {error}"));
    let (folder, stamp) = (base.join(name), base.join(format!("{name}.installed")));
    fs::create_dir_all(&base).unwrap_or_else(|error| panic!("{}: {error}", base.display()));
    // Tests that want the same meet here, whatever process they are in.
    let lock = base.join(format!("{name}.lock"));
    let lock = File::create(&lock).unwrap_or_else(|error| panic!("{}: {error}", lock.display()));
    lock.lock().unwrap_or_else(|error| panic!("{name}: {error}"));
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return folder;
    }
    for old in [fs::remove_file(&stamp), fs::remove_dir_all(&folder)] {
        if let Err(error) = old
            && error.kind() != std::io::ErrorKind::NotFound
        {
            panic!("{}: {error}", folder.display());
        }
    }
    make(&folder);
    // Last: whatever is interrupted before is made anew.
    fs::write(&stamp, wanted).unwrap_or_else(|error| panic!("{}: {error}", stamp.display()));
    folder
}

/// Runs a program to its end. What it printed.
fn run(command: &mut Command, needed: &str) -> String {
    let program = command.get_program().to_owned();
    let advice =
        format!("This test needs {needed}. Install it, or set {SKIP_CLIENTS}=1 to skip the tests that need it.");
    match command.output() {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).into_owned(),
        Ok(output) => {
            let said = [output.stdout, output.stderr].concat();
            panic!("{advice}\n{program:?} failed ({}):\n{}", output.status, String::from_utf8_lossy(&said))
        }
        Err(error) => panic!("{advice}\n{program:?}: {error}"),
    }
}
