//! Several commits as one: all of them or none.

use std::sync::Arc;

use durawasm_core::Status;

use super::{completed, history, hub, next, payload, start};
use crate::store::{Commit, CommitError, Store};

fn starts(ids: &[&str]) -> Vec<Commit> {
    let large = |id: &&str| {
        let mut commit = Commit { events: vec![completed(1, 300_000)], ..start(id) };
        commit.payloads.input = Some(Some(payload(2_000)));
        commit
    };
    ids.iter().map(large).collect()
}

pub(in crate::store) async fn several_starts_are_one_commit(store: Arc<dyn Store>) {
    let done = store.commit_all(starts(&["a", "b", "c"])).await.unwrap();
    assert_eq!(done.len(), 3);
    for (id, done) in ["a", "b", "c"].into_iter().zip(done) {
        assert_eq!(store.instance(&hub(), id).await.unwrap().unwrap().number, done.number);
        assert_eq!(history(&*store, done.number).await, [completed(1, 300_000)]);
    }
    assert!(store.commit_all(Vec::new()).await.unwrap().is_empty());
}

pub(in crate::store) async fn of_several_starts_one_refused_refuses_all(store: Arc<dyn Store>) {
    let mut ended = start("ended");
    ended.record.status = Status::Completed;
    let ended = store.commit(ended).await.unwrap();
    let running = store.commit(start("running")).await.unwrap();
    match store.commit_all(starts(&["a", "ended", "running", "b"])).await {
        Err(CommitError::Exists(found)) => assert_eq!(&*found.id, "running"),
        other => panic!("{other:?}"),
    }
    for id in ["a", "b"] {
        assert_eq!(store.instance(&hub(), id).await.unwrap(), None);
    }
    assert_eq!(store.instance(&hub(), "ended").await.unwrap().unwrap().number, ended.number);
    // What the refused start would have replaced is whole, and stays so.
    store.commit(Commit { events: vec![completed(2, 5)], ..next("running", running) }).await.unwrap();
    assert_eq!(history(&*store, ended.number).await, []);
    assert!(matches!(store.commit_all(starts(&["x", "x"])).await, Err(CommitError::Conflict)));
    assert_eq!(store.instance(&hub(), "x").await.unwrap(), None);
    assert_eq!(store.commit_all(starts(&["a", "ended", "b"])).await.unwrap().len(), 3);
}
