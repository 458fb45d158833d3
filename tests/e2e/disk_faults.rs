//! A disk that fails: nothing is acknowledged that is not durable, the reason is said, and what was acknowledged is
//! there once the disk works again.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::time::{Duration, Instant};

use durawasm_host::store::SharedStore;
use durawasm_host::store::sled::{SledOptions, SledStore, SyncGate};
use durawasm_tests::{Host, guests};
use serde_json::{Value, json};

use crate::kills::{random, rounds};
use crate::program::{Program, port};

/// Builds the library that stands between a process and its disk.
fn shim(directory: &Path) -> PathBuf {
    let library = directory.join("disk.so");
    let source = guests::root().join("tests/shim/disk.c");
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".into());
    let built = Command::new(compiler).args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).status();
    assert!(built.unwrap().success(), "a C compiler is needed");
    library
}

/// Which calls fail from when on, and how that is said.
#[derive(Clone, Debug)]
struct Fault {
    kind: &'static str,
    after: u32,
    error: i32,
    said: &'static str,
    times: u32,
}

/// A data directory on a failing disk.
struct Disk {
    data: PathBuf,
    log: PathBuf,
    library: PathBuf,
    /// While it exists, the disk works.
    cure: PathBuf,
    /// While it exists, no sync ends of the file that it names.
    hang: PathBuf,
}

impl Disk {
    fn new(directory: &Path) -> Self {
        let [data, log, cure, hang] = ["data", "log", "cure", "hang"].map(|name| directory.join(name));
        Self { data, log, library: shim(directory), cure, hang }
    }

    /// A disk that works, except while it is made to hang.
    fn serve_without_faults(&self) -> Program {
        self.spawn(|command| {
            command.env("DISK_HANG", &self.hang);
        })
    }

    fn spawn(&self, configure: impl FnOnce(&mut Command)) -> Program {
        Program::spawn(&self.data, port(), |command| {
            command.env("LD_PRELOAD", &self.library).env("DISK_DIRECTORY", &self.data);
            command.stderr(File::create(&self.log).unwrap());
            configure(command);
        })
    }

    fn serve(&self, fault: &Fault) -> Program {
        let Fault { kind, after, error, times, .. } = fault;
        let fault = format!("{kind} {after} {error} {times}");
        self.spawn(|command| {
            command.env("DISK_FAULT", fault).env("DISK_CURE", &self.cure);
        })
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }
}

async fn ended(program: &mut Program, disk: &Disk) -> ExitStatus {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(status) = program.child.try_wait().unwrap() {
            return status;
        }
        assert!(Instant::now() < deadline, "the program goes on with a store that has stopped: {}", disk.said());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Starts instances until one is not acknowledged or the program is gone. Adds those that were acknowledged.
async fn start_until_refused(program: &mut Program, round: &str, acknowledged: &mut Vec<String>) {
    for number in 0.. {
        let id = format!("{round}n{number}");
        let url = format!("{}/runtime/webhooks/durabletask/orchestrators/Sequence/{id}", program.url);
        let request = program.http.post(url).body("[1, 2]").timeout(Duration::from_secs(60));
        match request.send().await.map(|answer| answer.status().as_u16()) {
            Ok(202) => acknowledged.push(id),
            Err(error) if error.is_timeout() => panic!("{id}: no answer from a store that has stopped"),
            Ok(500 | 503) | Err(_) => {
                let gone = program.child.try_wait().unwrap().is_some();
                if gone || program.get("/readyz").await.is_some_and(|(_, body)| body.contains("failed")) {
                    return;
                }
                // It does not listen yet, or opens its store, or has just gone.
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Ok(other) => panic!("{id}: {other}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_disk_stops_the_program_and_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let disk = Disk::new(directory.path());
    let mut random = random();
    let mut program = Program::serve(&disk.data).await;
    program.deploy("flow", guests::guest("flow")).await;
    drop(program);
    let mut acknowledged = Vec::new();
    for round in 0..rounds(8) {
        drop(fs::remove_file(&disk.cure));
        let (error, said) = [(5, "Input/output error"), (28, "No space left on device")][random.usize(..2)];
        // A write that fails may be one whose loss is none (of the file `sequence`), unless all fail. One failed write of
        // the log is enough.
        let (kind, times) = [("write", 0), ("sync", 0), ("sync", 1), ("log", 0), ("log", 1)][random.usize(..5)];
        // The log is written at checkpoints only, some two thousand commits apart.
        let after = if kind == "log" { random.u32(1..3) } else { random.u32(1..200) };
        let fault = Fault { kind, after, error, said, times };
        println!("round {round}: {fault:?}");
        program = disk.serve(&fault);
        start_until_refused(&mut program, &format!("r{round}"), &mut acknowledged).await;
        assert!(!ended(&mut program, &disk).await.success(), "{fault:?}");
        assert!(disk.said().contains(fault.said), "{fault:?}: {}", disk.said());
        // A supervisor starts it again while the disk still fails: it says so and changes nothing for the worse.
        if times == 0 {
            program = disk.serve(&Fault { after: 1, ..fault.clone() });
            // Under ids of their own: those before may still be on their way.
            start_until_refused(&mut program, &format!("again{round}"), &mut Vec::new()).await;
            assert!(!ended(&mut program, &disk).await.success(), "{fault:?}");
            assert!(disk.said().contains(fault.said), "{fault:?}: {}", disk.said());
        }
        File::create(&disk.cure).unwrap();
        program = disk.serve(&fault);
        program.ready().await;
        for id in &acknowledged {
            let status = program.ended(id).await;
            assert_eq!((&status["runtimeStatus"], &status["output"]), (&json!("Completed"), &json!([1, 2])), "{id}");
        }
        drop(program);
    }
    assert!(!acknowledged.is_empty(), "nothing was acknowledged before a fault");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_space_it_says_so_and_with_space_it_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let disk = Disk::new(directory.path());
    let full = Fault { kind: "write", after: 1, error: 28, said: "No space left on device", times: 0 };
    let refused = async |fault: &Fault| {
        let mut program = disk.serve(fault);
        start_until_refused(&mut program, "r0", &mut Vec::new()).await;
        let status = ended(&mut program, &disk).await;
        assert_eq!(status.code(), Some(1), "{}", disk.said());
        let said = disk.said();
        let plain = said.lines().last().unwrap_or_default().to_owned();
        assert!(plain.starts_with("error: ") && plain.contains(full.said), "{said}");
        plain
    };
    // A store cannot even be made: the directory is named, and what was begun is no obstacle later.
    let plain = refused(&full).await;
    assert!(plain.contains(&*disk.data.to_string_lossy()), "{plain}");
    File::create(&disk.cure).unwrap();
    let mut program = disk.serve(&full);
    program.ready().await;
    program.deploy("flow", guests::guest("flow")).await;
    for number in 0..20 {
        assert_eq!(program.start("Event", &format!("waiting{number}"), json!("Go")).await, 202);
    }
    // It runs full under load: the process says how to go on. Starting again without space says the same.
    fs::remove_file(&disk.cure).unwrap();
    start_until_refused(&mut program, "r1", &mut Vec::new()).await;
    assert_eq!(ended(&mut program, &disk).await.code(), Some(1));
    assert!(disk.said().contains(full.said) && disk.said().contains("start again"), "{}", disk.said());
    for _ in 0..2 {
        refused(&full).await;
    }
    File::create(&disk.cure).unwrap();
    program = disk.serve(&full);
    program.ready().await;
    for number in 0..20 {
        let url = format!("{}/runtime/webhooks/durabletask/instances/waiting{number}/raiseEvent/Go", program.url);
        let request = program.http.post(url).header("content-type", "application/json").body("1");
        assert_eq!(request.send().await.unwrap().status(), 202);
        assert_eq!(program.ended(&format!("waiting{number}")).await["output"], json!(1));
    }
}

/// What the server says of its readiness, once that has this status.
async fn readiness(program: &Program, status: u16) -> Value {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let (found, body) = program.get("/readyz").await.expect("the server answers whatever its disk does");
        if found == status {
            return serde_json::from_str(&body).unwrap();
        }
        assert!(Instant::now() < deadline, "{found} {body}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Starts one after the other, until the last one is acknowledged.
async fn start_all(program: &Program, starts: usize, bytes: usize) {
    for number in 0..starts {
        assert_eq!(program.start("Event", &number.to_string(), json!("x".repeat(bytes))).await, 202);
    }
}

/// While syncs of this file hang, the server says so, and goes on by itself when they no longer do.
async fn a_hang_is_told(file: &str, (starts, bytes): (usize, usize), said: &str) {
    let directory = tempfile::tempdir().unwrap();
    let disk = Disk::new(directory.path());
    let mut program = disk.serve_without_faults();
    program.ready().await;
    program.deploy("flow", guests::guest("flow")).await;
    fs::write(&disk.hang, file).unwrap();
    let told = async {
        let stalled = readiness(&program, 503).await;
        assert_eq!(stalled["status"], "stalled");
        let missing = stalled["missing"][0].as_str().unwrap();
        let seconds = missing.strip_prefix(said).and_then(|rest| rest.strip_prefix(" for ")?.split_once(" s; "));
        assert!(seconds.unwrap().0.parse::<u32>().unwrap() >= 10, "{missing}");
        let (_, metrics) = program.get("/metrics").await.unwrap();
        let longest = metrics.lines().find_map(|line| line.strip_prefix("durawasm_store_longest_write_seconds "));
        assert!(longest.unwrap().parse::<f64>().unwrap() >= 10.0, "{metrics}");
        let deadline = Instant::now() + Duration::from_secs(60);
        while !disk.said().contains(said) {
            assert!(Instant::now() < deadline, "{}", disk.said());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(!disk.said().contains("the disk answers again"));
        fs::remove_file(&disk.hang).unwrap();
        readiness(&program, 200).await;
    };
    tokio::join!(start_all(&program, starts, bytes), told);
    let deadline = Instant::now() + Duration::from_secs(60);
    while !disk.said().contains("the disk answers again, after ") {
        assert!(Instant::now() < deadline, "{}", disk.said());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(disk.said().matches(said).count(), 1, "{}", disk.said());
    let (_, metrics) = program.get("/metrics").await.unwrap();
    let stalls = metrics.lines().find_map(|line| line.strip_prefix("durawasm_store_stalls_total "));
    assert!(stalls.unwrap().parse::<u32>().unwrap() >= 1, "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_hangs_is_told_until_it_goes_on() {
    a_hang_is_told("journal", (1, 10), "the disk has not answered a write of the journal").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_hangs_within_a_checkpoint_is_told_until_it_goes_on() {
    // More than the journal holds.
    a_hang_is_told("db", (60, 200_000), "the disk has not answered a checkpoint").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_says_that_the_disk_hangs_and_is_there_again_afterwards() {
    let gate = SyncGate::new();
    let folder = tempfile::tempdir().unwrap();
    let options = SledOptions { sync_gate: Some(gate.clone()), patience: Duration::ZERO, ..SledOptions::default() };
    let store: SharedStore = Arc::new(SledStore::open(folder.path(), options).unwrap());
    let host = Host::on(store).await;
    host.deploy("flow", guests::guest("flow")).await;
    gate.hold();
    let start = host.send("POST", "/runtime/webhooks/durabletask/orchestrators/Event/x", "\"Go\"");
    let told = async {
        while !gate.is_waiting() {
            tokio::task::yield_now().await;
        }
        let ready = host.send("GET", "/readyz", "").await;
        assert_eq!(ready.status, 503);
        assert_eq!(ready.json()["status"], "stalled");
        let said = ready.json()["missing"][0].as_str().unwrap().to_owned();
        assert!(said.starts_with("the disk has not answered a write of the journal for 0 s"), "{said}");
        let metrics = host.send("GET", "/metrics", "").await.text();
        assert!(metrics.contains("durawasm_store_longest_write_seconds "), "{metrics}");
        gate.release();
    };
    let (started, ()) = tokio::join!(start, told);
    assert_eq!(started.status, 202, "{}", started.text());
    // It may write in the background.
    while host.send("GET", "/readyz", "").await.status != 200 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_says_why_the_store_has_stopped() {
    let gate = SyncGate::new();
    let folder = tempfile::tempdir().unwrap();
    let options = SledOptions { sync_gate: Some(gate.clone()), ..SledOptions::default() };
    let store: SharedStore = Arc::new(SledStore::open(folder.path(), options).unwrap());
    let host = Host::on(store).await;
    host.deploy("flow", guests::guest("flow")).await;
    assert_eq!(host.send("GET", "/readyz", "").await.status, 200);
    gate.fail_next("the disk is gone");
    let refused = host.send("POST", "/runtime/webhooks/durabletask/orchestrators/Event/x", "\"Go\"").await;
    assert_eq!(refused.status, 503, "{}", refused.text());
    let ready = host.send("GET", "/readyz", "").await;
    assert_eq!(ready.status, 503);
    let said: Value = serde_json::from_slice(&ready.body).unwrap();
    assert_eq!(said["status"], "failed");
    assert!(said["missing"][0].as_str().unwrap().contains("the disk is gone"), "{said}");
}
