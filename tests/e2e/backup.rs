//! A server is backed up while it works; another one goes on from the backup. What is no whole backup is refused, and so
//! is a directory with something in it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use durawasm_host::restore::{RestoreError, restore};
use durawasm_tests::{Host, guests};
use serde_json::{Value, json};

use crate::kills::{Client, Deed, Instance, check, random};
use crate::program::{Program, verb};
use crate::versions::comes_to;

const CLIENTS: u64 = 4;
const INSTANCES: &str = "/runtime/webhooks/durabletask/instances";

/// Runs `durawasm restore`.
async fn restore_verb(file: &Path, data: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_durawasm-e2e"));
    command.arg("restore").arg(file).arg("--store").arg(format!("sled:{}", data.display()));
    tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What is in a directory, with the files' contents.
fn contents(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), fs::read(path).unwrap_or_default()))
        .collect();
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_a_busy_server_goes_on_elsewhere() {
    let directory = tempfile::tempdir().unwrap();
    let [data, elsewhere, file] = ["data", "elsewhere", "backup"].map(|name| directory.path().join(name));
    let mut random = random();
    let program = Program::serve(&data).await;
    program.deploy("flow", guests::guest("flow")).await;
    // Those that nobody asks anything of, until they are elsewhere.
    let waiting: Vec<_> = (0..10).map(|number| format!("waiting{number}")).collect();
    for id in &waiting {
        assert_eq!(program.start("Event", id, json!("Go")).await, 202);
    }
    let stop = Arc::new(AtomicBool::new(false));
    let (asked, noted) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let started = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|name| {
            let (stop, asked, noted) = (Arc::clone(&stop), Arc::clone(&asked), Arc::clone(&noted));
            let started = Arc::clone(&started);
            let mut client = Client::new(&program.url, random.fork());
            tokio::spawn(async move {
                let mut before: Option<Vec<Instance>> = None;
                while !stop.load(Ordering::SeqCst) {
                    if asked.load(Ordering::SeqCst) && before.is_none() {
                        before = Some(client.instances.clone());
                        noted.fetch_add(1, Ordering::SeqCst);
                    }
                    let known = client.instances.len();
                    client.act(name).await;
                    started.fetch_add(client.instances.len() - known, Ordering::SeqCst);
                }
                (before.unwrap_or_default(), client.instances)
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(random.u64(500..1500))).await;
    // However slow the disk is, there is something to be backed up.
    comes_to(async || started.load(Ordering::SeqCst) >= 40).await;
    asked.store(true, Ordering::SeqCst);
    while noted.load(Ordering::SeqCst) < CLIENTS {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let (code, out, err) = verb(&program, &["backup", file.to_str().unwrap()]).await;
    assert!(code == Some(0) && out.starts_with("backed up to"), "{out} {err}");
    stop.store(true, Ordering::SeqCst);
    let mut known = Vec::new();
    for client in clients {
        known.push(client.await.unwrap());
    }
    drop(program);
    let output = restore_verb(&file, &elsewhere).await;
    assert!(output.status.success(), "{}", said(&output));
    let program = Program::serve(&elsewhere).await;
    for id in waiting {
        let (code, body) = program.get(&format!("{INSTANCES}/{id}")).await.unwrap();
        assert_eq!(code, 202, "{body}");
        check(&program, &Instance { id, deed: Deed::Waits, acknowledged: true }).await;
    }
    let mut in_it = 0;
    for (before, after) in known {
        for instance in after {
            let acknowledged = before.iter().any(|known| known.id == instance.id && known.acknowledged);
            let (code, _) = program.get(&format!("{INSTANCES}/{}", instance.id)).await.unwrap();
            assert!(
                code != 404 || !acknowledged,
                "{} was acknowledged before the backup and is not in it",
                instance.id
            );
            if code == 404 {
                continue;
            }
            in_it += 1;
            // What was asked of it later may be in the backup or not.
            let earlier = before.iter().find(|known| known.id == instance.id);
            let deed = match (earlier.map(|known| known.deed), instance.deed) {
                (Some(before), after) if before == after => after,
                (_, Deed::Raised(_)) => Deed::Raised(false),
                (_, Deed::Terminated(_)) => Deed::Terminated(false),
                (_, Deed::Steps | Deed::Waits) => instance.deed,
            };
            check(&program, &Instance { deed, ..instance }).await;
        }
    }
    println!("{in_it} instances");
    assert!(in_it > 20, "{in_it}");
    // It is a server like any other: ids go on, code can be changed, and it can be backed up in turn.
    assert_eq!(program.start("Sequence", "new", json!([1])).await, 202);
    assert_eq!(program.ended("new").await["output"], json!([1]));
    program.deploy("hello-cities", guests::example("hello-cities")).await;
    let (code, _, err) = verb(&program, &["backup", file.to_str().unwrap(), "--json"]).await;
    assert_eq!(code, Some(0), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_whole_backup_is_refused_and_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let [data, elsewhere, file, bad] = ["data", "elsewhere", "backup", "bad"].map(|name| directory.path().join(name));
    let mut random = random();
    let program = Program::serve_with(&format!("sled:{}", data.display()), &["--admin-key", "k"]).await;
    let (code, _, err) = verb(&program, &["backup", file.to_str().unwrap()]).await;
    assert!(code == Some(1) && err.contains("--key"), "{err}");
    assert!(!file.exists());
    let url = format!("{}/admin/hubs/default/apps/hello-cities?code=k", program.url);
    let deployed = program.http.put(url).body(guests::example("hello-cities")).send().await.unwrap();
    assert!(deployed.status().is_success());
    let (code, _, err) = verb(&program, &["backup", file.to_str().unwrap(), "--key", "k"]).await;
    assert_eq!(code, Some(0), "{err}");
    drop(program);
    let whole = fs::read(&file).unwrap();
    for round in 0..20 {
        let at = random.usize(..whole.len());
        let mut bytes = whole.clone();
        match round % 3 {
            0 => bytes.truncate(at),
            1 => bytes[at] ^= 1 << random.u8(..8),
            _ => bytes.extend_from_slice(&whole[at..]),
        }
        fs::write(&bad, bytes).unwrap();
        let refused = restore(&bad, &elsewhere, &|_| ());
        assert!(matches!(refused, Err(RestoreError::File { .. })), "round {round}, byte {at}: {refused:?}");
        assert!(!elsewhere.exists(), "round {round}, byte {at}");
    }
    fs::write(&bad, &whole[..whole.len() - 1]).unwrap();
    let output = restore_verb(&bad, &elsewhere).await;
    assert!(output.status.code() == Some(1) && said(&output).contains("cut off"), "{}", said(&output));
    assert!(!elsewhere.exists());

    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("letter"), "dear").unwrap();
    let before = contents(&elsewhere);
    let output = restore_verb(&file, &elsewhere).await;
    assert!(output.status.code() == Some(1) && said(&output).contains("not empty"), "{}", said(&output));
    assert_eq!(contents(&elsewhere), before);
    let output = restore_verb(&file, &data).await;
    assert!(said(&output).contains("not empty"), "{}", said(&output));

    // One that was interrupted is no store, and can be done again.
    fs::remove_dir_all(&elsewhere).unwrap();
    fs::create_dir_all(elsewhere.join("store")).unwrap();
    File::create(elsewhere.join("restoring")).unwrap();
    let refused = Command::new(env!("CARGO_BIN_EXE_durawasm-e2e"))
        .args(["serve", "--listen", "127.0.0.1:0", "--store", &format!("sled:{}", elsewhere.display())])
        .output()
        .unwrap();
    assert!(!refused.status.success() && said(&refused).contains("durawasm restore"), "{}", said(&refused));
    let output = restore_verb(&file, &elsewhere).await;
    assert!(output.status.success(), "{}", said(&output));
    let program = Program::serve(&elsewhere).await;
    assert_eq!(program.start("E1_HelloSequence", "a", Value::Null).await, 202);
    program.ended("a").await;
}

#[tokio::test]
async fn a_store_in_memory_says_that_it_has_none() {
    let host = Host::new().await;
    let answer = host.send("GET", "/admin/backup", "").await;
    assert_eq!(answer.status, 409, "{}", answer.text());
    assert!(answer.text().contains("no-backup"), "{}", answer.text());
}
