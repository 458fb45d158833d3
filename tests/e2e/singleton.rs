//! One instance for one id, whoever starts it and however many at once: the real program, many connections, kill -9.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use durawasm_tests::guests;
use serde_json::{Value, json};
use tokio::sync::{Barrier, Notify};

use crate::kills::{random, rounds};
use crate::program::{Program, port};

const CONNECTIONS: usize = 64;
const STARTS: usize = 500;
const INSTANCES: &str = "/runtime/webhooks/durabletask/instances";

/// The answer to each start, with the number that its input carried; none: it went unheard.
type Answers = Vec<(usize, Option<u16>)>;

/// A program that waits for the event `Go`, then does the last step.
fn input(number: usize, last: &Value) -> Value {
    json!({"step": {"seq": [{"echo": number}, {"event": "Go"}, last]}})
}

/// Sends all starts of one id at the same time. Tells when so many of them were begun.
async fn race(url: &str, id: &str, last: &Value, told: (usize, Arc<Notify>)) -> Answers {
    let (barrier, next) = (Arc::new(Barrier::new(CONNECTIONS)), Arc::new(AtomicUsize::new(0)));
    let url = format!("{url}/runtime/webhooks/durabletask/orchestrators/Program/{id}");
    let connection = |_| {
        let (url, last, told) = (url.clone(), last.clone(), told.clone());
        let (barrier, next) = (Arc::clone(&barrier), Arc::clone(&next));
        tokio::spawn(async move {
            // A client of its own is a connection of its own.
            let (http, mut answers) = (durawasm_tests::tls::http(), Answers::new());
            barrier.wait().await;
            loop {
                let number = next.fetch_add(1, Ordering::SeqCst);
                if number >= STARTS {
                    return answers;
                }
                if number == told.0 {
                    told.1.notify_one();
                }
                let answer = http.post(&url).body(input(number, &last).to_string()).send().await;
                answers.push((number, answer.ok().map(|answer| answer.status().as_u16())));
            }
        })
    };
    let mut answers = Answers::new();
    for connection in (0..CONNECTIONS).map(connection).collect::<Vec<_>>() {
        answers.extend(connection.await.unwrap());
    }
    assert_eq!(answers.len(), STARTS);
    answers
}

/// The race without an end before the end.
async fn undisturbed(url: &str, id: &str, last: &Value) -> Answers {
    race(url, id, last, (STARTS, Arc::default())).await
}

fn with(answers: &Answers, status: u16) -> Vec<usize> {
    answers.iter().filter(|(_, answer)| *answer == Some(status)).map(|(number, _)| *number).collect()
}

/// The status of an instance, or nothing when there is none.
async fn status(program: &Program, id: &str) -> Option<Value> {
    let (code, body) = program.get(&format!("{INSTANCES}/{id}")).await.unwrap();
    assert!([200, 202, 404].contains(&code), "{code} {body}");
    (code != 404).then(|| serde_json::from_str(&body).unwrap())
}

async fn post(program: &Program, id: &str, verb: &str) {
    let request = program.http.post(format!("{}{INSTANCES}/{id}/{verb}", program.url));
    let answer = request.header("content-type", "application/json").body("null").send().await.unwrap();
    assert_eq!(answer.status(), 202, "{verb}");
}

fn quiet(command: &mut Command) {
    command.env("RUST_LOG", "error,tower_http=off");
}

async fn serve(data: &Path, port: u16) -> Program {
    let mut program = Program::spawn(data, port, quiet);
    program.ready().await;
    program
}

/// Exactly one start was accepted, and the instance is the one of that start.
async fn one_won(program: &Program, id: &str, answers: &Answers, last: &Value) {
    let (won, lost) = (with(answers, 202), with(answers, 409));
    assert_eq!((won.len(), lost.len()), (1, STARTS - 1), "{id}: {answers:?}");
    assert_eq!(status(program, id).await.unwrap()["input"], input(won[0], last), "{id}: the accepted start is the one");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_simultaneous_starts_of_an_id_one_is_accepted() {
    let data = tempfile::tempdir().unwrap();
    let program = serve(data.path(), port()).await;
    program.deploy("flow", guests::guest("flow")).await;
    // Each round finds the id free, or used by an instance that ended in another way.
    let ends = [
        ("Completed", "raiseEvent/Go", json!({"echo": "done"})),
        ("Failed", "raiseEvent/Go", json!({"fail": "as it should"})),
        ("Terminated", "terminate?reason=enough", json!({"echo": "never"})),
        ("Completed", "raiseEvent/Go", json!({"echo": "again"})),
    ];
    for (end, verb, last) in &ends {
        let answers = undisturbed(&program.url, "single", last).await;
        one_won(&program, "single", &answers, last).await;
        post(&program, "single", verb).await;
        let ended = program.ended("single").await;
        assert_eq!(ended["runtimeStatus"], *end, "{ended}");
    }
    let (_, list) = program.get(INSTANCES).await.unwrap();
    let list: Value = serde_json::from_str(&list).unwrap();
    assert_eq!(list.as_array().unwrap().len(), 1, "{list}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_is_started_once_even_if_the_program_is_killed_meanwhile() {
    let (data, port, mut random) = (tempfile::tempdir().unwrap(), port(), random());
    let mut program = serve(data.path(), port).await;
    program.deploy("flow", guests::guest("flow")).await;
    let last = json!({"echo": "done"});
    // How often the kill came before, and after, an answer.
    let mut moments = [0, 0];
    for round in 0..rounds(8) {
        let id = format!("single{round}");
        let told = (random.usize(..2 * CONNECTIONS), Arc::new(Notify::new()));
        let (url, race_id, race_last, race_told) = (program.url.clone(), id.clone(), last.clone(), told.clone());
        let racing = tokio::spawn(async move { race(&url, &race_id, &race_last, race_told).await });
        told.1.notified().await;
        tokio::time::sleep(Duration::from_micros(random.u64(..20_000))).await;
        drop(program);
        let before = racing.await.unwrap();
        program = serve(data.path(), port).await;
        let won = with(&before, 202);
        assert!(won.len() <= 1, "{id}: {before:?}");
        moments[won.len()] += 1;
        let found = status(&program, &id).await;
        if let Some(number) = won.first() {
            let found = found.as_ref().expect("an accepted start is not lost");
            assert_eq!(found["input"], input(*number, &last), "{id}: the accepted start is the one");
        }
        let after = undisturbed(&program.url, &id, &last).await;
        match found {
            // One that was accepted, or one whose answer went unheard; no refused one.
            Some(found) => {
                assert_eq!(with(&after, 409).len(), STARTS, "{id}: {after:?}");
                let refused = with(&before, 409);
                assert!(refused.iter().all(|number| found["input"] != input(*number, &last)), "{id}: {found}");
            }
            None => {
                assert_eq!(with(&before, 409), [0; 0], "{id}: nothing was refused in favour of nothing");
                one_won(&program, &id, &after, &last).await;
            }
        }
        post(&program, &id, "raiseEvent/Go").await;
        assert_eq!(program.ended(&id).await["runtimeStatus"], "Completed", "{id}");
    }
    println!("killed {} times before an answer was heard, {} times after", moments[0], moments[1]);
}
