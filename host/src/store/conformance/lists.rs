//! Lists, counts, children, purges.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use durawasm_core::{InstanceId, Status, TaskId, Timestamp};

use super::{at, commit_of, completed, hub, next, payload, record, start};
use crate::store::memory::MemoryStore;
use crate::store::sled::{SledOptions, SledStore};
use crate::store::{
    Commit, CommitError, Committed, EXAMINED, Expect, Filter, HubName, InstanceNumber, InstanceRecord, ListQuery,
    PayloadParts, Payloads, Position, Reuse, Store,
};

/// An instance as tests of lists want it.
struct Made<'a> {
    id: &'a str,
    name: &'a str,
    created: i64,
    status: Status,
}

fn made(made: &Made<'_>) -> InstanceRecord {
    let &Made { id, name, created, status } = made;
    let ready = matches!(status, Status::Running | Status::Pending);
    InstanceRecord { name: name.to_owned(), created: at(created), status, ready, ..record(id) }
}

async fn make(store: &dyn Store, what: Made<'_>) -> Committed {
    store.commit(commit_of(Expect::Startable(Reuse::Terminal), made(&what))).await.unwrap()
}

/// All pages of a list, and how many there were.
async fn pages(store: &dyn Store, filter: &Filter, limit: usize) -> (Vec<InstanceRecord>, usize) {
    let (mut all, mut after, mut count) = (Vec::new(), None, 0);
    loop {
        let page = store.list(&hub(), ListQuery { filter: filter.clone(), after, limit }).await.unwrap();
        assert!(page.records.len() <= limit);
        all.extend(page.records);
        count += 1;
        match page.next {
            Some(next) => after = Some(next),
            None => return (all, count),
        }
    }
}

async fn ids(store: &dyn Store, filter: &Filter) -> Vec<String> {
    let mut found = Vec::new();
    for limit in [1, 2, 1000] {
        let (records, _) = pages(store, filter, limit).await;
        let ids: Vec<_> = records.iter().map(|record| record.id.to_string()).collect();
        assert!(found.is_empty() || found == ids, "pages of {limit}: {ids:?}, not {found:?}");
        found = ids;
    }
    found
}

async fn purge(store: &dyn Store, done: Committed) {
    store.purge(done.number, done.revision).await.unwrap();
}

async fn some_of_all_kinds(store: &dyn Store) {
    let rows = [
        ("c", "A", 30, Status::Running),
        ("b-2", "B", 10, Status::Completed),
        ("b-1", "A", 10, Status::Failed),
        ("b-10", "A", 10, Status::Suspended),
        ("a", "B", 20, Status::Terminated),
        ("d", "C", 5, Status::Pending),
        ("e", "C", -5, Status::Completed),
    ];
    for (id, name, created, status) in rows {
        make(store, Made { id, name, created, status }).await;
    }
    let elsewhere = InstanceRecord { hub: "hub2".into(), ..record("b-3") };
    store.commit(commit_of(Expect::Startable(Reuse::Terminal), elsewhere)).await.unwrap();
}

pub(super) async fn lists_are_ordered_by_creation_then_id(store: Arc<dyn Store>) {
    assert_eq!(ids(&*store, &Filter::default()).await, Vec::<String>::new());
    some_of_all_kinds(&*store).await;
    assert_eq!(ids(&*store, &Filter::default()).await, ["e", "d", "b-1", "b-10", "b-2", "a", "c"]);
}

pub(super) async fn each_filter_admits_what_it_says(store: Arc<dyn Store>) {
    some_of_all_kinds(&*store).await;
    let none = Filter::default;
    let of = |statuses: &[Status]| Filter { statuses: statuses.to_vec(), ..none() };
    let cases: Vec<(Filter, &[&str])> = vec![
        (Filter { created_from: Some(at(10)), ..none() }, &["b-1", "b-10", "b-2", "a", "c"]),
        (Filter { created_to: Some(at(10)), ..none() }, &["e", "d", "b-1", "b-10", "b-2"]),
        (Filter { created_from: Some(at(10)), created_to: Some(at(10)), ..none() }, &["b-1", "b-10", "b-2"]),
        (Filter { created_from: Some(at(11)), created_to: Some(at(10)), ..none() }, &[]),
        (Filter { created_to: Some(Timestamp::MAX), ..none() }, &["e", "d", "b-1", "b-10", "b-2", "a", "c"]),
        (of(&[Status::Running]), &["c"]),
        (of(&[Status::Running, Status::Suspended, Status::Pending]), &["d", "b-10", "c"]),
        (of(&[Status::Completed]), &["e", "b-2"]),
        (of(&[Status::Failed, Status::Terminated]), &["b-1", "a"]),
        (of(&[Status::Completed, Status::Running]), &["e", "b-2", "c"]),
        (of(&[Status::Canceled]), &[]),
        (Filter { name: Some("A".into()), ..none() }, &["b-1", "b-10", "c"]),
        (Filter { name: Some("a".into()), ..none() }, &[]),
        (Filter { name: Some("A".into()), ..of(&[Status::Running]) }, &["c"]),
        (Filter { id_prefix: Some("b-".into()), ..none() }, &["b-1", "b-10", "b-2"]),
        (Filter { id_prefix: Some("b-1".into()), ..none() }, &["b-1", "b-10"]),
        (Filter { id_prefix: Some("B".into()), ..none() }, &[]),
        (Filter { id_prefix: Some("b".into()), name: Some("B".into()), ..of(&[Status::Completed]) }, &["b-2"]),
        (Filter { updated_to: Some(at(0)), ..none() }, &[]),
        (Filter { updated_to: Some(at(1)), ..of(&[Status::Failed]) }, &["b-1"]),
    ];
    for (filter, expected) in cases {
        assert_eq!(ids(&*store, &filter).await, expected, "{filter:?}");
    }
}

/// Many instances at once: one sync for all of them.
async fn make_many(store: &Arc<dyn Store>, count: usize, status: impl Fn(usize) -> Status) -> Vec<Committed> {
    let starts = (0..count).map(|index| {
        let (store, status) = (store.clone(), status(index));
        tokio::spawn(async move {
            let id = format!("i{index:05}");
            make(&*store, Made { id: &id, name: "A", created: 0, status }).await
        })
    });
    let mut made = Vec::new();
    for start in starts.collect::<Vec<_>>() {
        made.push(start.await.unwrap());
    }
    made
}

pub(super) async fn a_page_looks_at_a_bounded_number_of_rows(store: Arc<dyn Store>) {
    let status = |index| if index == 4500 { Status::Completed } else { Status::Running };
    make_many(&store, 4600, status).await;
    let rare = Filter { statuses: vec![Status::Completed], ..Filter::default() };
    let first = store.list(&hub(), ListQuery { filter: rare.clone(), after: None, limit: 10 }).await.unwrap();
    let last_seen = format!("i{:05}", EXAMINED - 1);
    let expected = Position { created: at(0), id: InstanceId::from(last_seen) };
    assert_eq!((first.records.len(), first.next), (0, Some(expected)));
    let (found, count) = pages(&*store, &rare, 10).await;
    assert_eq!((found.len(), count), (1, 3));
    assert_eq!(pages(&*store, &Filter::default(), 10_000).await.0.len(), 4600);
    // More of them in flight than one page may look at.
    let open = Filter { statuses: vec![Status::Running], ..Filter::default() };
    assert_eq!(pages(&*store, &open, 1000).await.0.len(), 4599);
    assert_eq!(pages(&*store, &Filter { id_prefix: Some("i04".into()), ..open }, 10).await.0.len(), 599);
}

pub(super) async fn pages_are_stable_while_others_start_and_purge(store: Arc<dyn Store>) {
    let status = |index| if index % 3 == 0 { Status::Completed } else { Status::Running };
    let made = make_many(&store, 600, status).await;
    let busy = tokio::spawn({
        let store = store.clone();
        async move {
            for (index, done) in made.into_iter().enumerate() {
                match index % 4 {
                    0 => purge(&*store, done).await,
                    1 => {
                        // It waits, works and waits: its row moves from one index to the other.
                        let mut commit = next(&format!("i{index:05}"), done);
                        commit.record = InstanceRecord { name: "A".into(), ready: false, ..commit.record };
                        let status = if index % 3 == 0 { Status::Completed } else { Status::Running };
                        store
                            .commit(Commit { record: InstanceRecord { status, ..commit.record }, ..commit })
                            .await
                            .unwrap();
                    }
                    2 => {
                        let created = i64::try_from(index).unwrap() - 300;
                        let id = format!("i{index:05}-new");
                        make(&*store, Made { id: &id, name: "A", created, status: Status::Running }).await;
                    }
                    _ => {}
                }
            }
        }
    });
    let stays = |id: &str| id.len() == 6 && id[1..].parse::<usize>().is_ok_and(|index| index % 4 != 0);
    let filters = [
        Filter::default(),
        Filter { statuses: vec![Status::Running], ..Filter::default() },
        Filter { statuses: vec![Status::Completed], ..Filter::default() },
        Filter { id_prefix: Some("i".into()), name: Some("A".into()), ..Filter::default() },
    ];
    let mut rounds = 0;
    while !busy.is_finished() || rounds < filters.len() {
        let filter = &filters[rounds % filters.len()];
        let (records, _) = pages(&*store, filter, 7).await;
        let places: Vec<_> = records.iter().map(|record| (record.created, record.id.clone())).collect();
        assert!(places.is_sorted() && places.iter().collect::<BTreeSet<_>>().len() == places.len());
        let kept = records.iter().filter(|record| stays(&record.id)).count();
        let admitted = (0..600).filter(|index| index % 4 != 0);
        let expected =
            admitted.filter(|index| filter.statuses.is_empty() || filter.statuses[0] == status(*index)).count();
        assert_eq!(kept, expected, "{filter:?}");
        rounds += 1;
    }
    busy.await.unwrap();
}

async fn counted(store: &dyn Store) -> BTreeMap<String, Vec<u64>> {
    let counts = store.counts(&hub()).await.unwrap();
    let row = |(name, counts): (&String, &crate::store::StatusCounts)| {
        (name.clone(), Status::ALL.iter().map(|status| counts.get(*status)).collect())
    };
    let total: u64 = counts.by_name.values().map(crate::store::StatusCounts::total).sum();
    assert_eq!(counts.all().total(), total);
    counts.by_name.iter().map(row).collect()
}

pub(super) async fn counts_follow_every_change(store: Arc<dyn Store>) {
    assert!(counted(&*store).await.is_empty());
    some_of_all_kinds(&*store).await;
    let expected =
        [("A", vec![1, 0, 0, 1, 0, 0, 0, 1]), ("B", vec![0, 1, 0, 0, 0, 1, 0, 0]), ("C", vec![0, 1, 0, 0, 0, 0, 1, 0])];
    assert_eq!(counted(&*store).await, expected.map(|(name, counts)| (name.to_owned(), counts)).into());
    assert_eq!(store.counts(&HubName::from("hub2")).await.unwrap().all().total(), 1);
    // Replaced by one of another name; refused; moved on; purged.
    let replaced = make(&*store, Made { id: "a", name: "A", created: 40, status: Status::Pending }).await;
    assert!(store.commit(start("a")).await.is_err());
    let mut moved = next("a", replaced);
    moved.record = InstanceRecord { name: "A".into(), status: Status::Running, created: at(40), ..moved.record };
    let moved = store.commit(moved).await.unwrap();
    let e = store.instance(&hub(), "e").await.unwrap().unwrap();
    store.purge(e.number, e.revision).await.unwrap();
    let expected =
        [("A", vec![2, 0, 0, 1, 0, 0, 0, 1]), ("B", vec![0, 1, 0, 0, 0, 0, 0, 0]), ("C", vec![0, 0, 0, 0, 0, 0, 1, 0])];
    assert_eq!(counted(&*store).await, expected.map(|(name, counts)| (name.to_owned(), counts)).into());
    purge(&*store, moved).await;
    for record in pages(&*store, &Filter::default(), 100).await.0 {
        store.purge(record.number, record.revision).await.unwrap();
    }
    assert!(counted(&*store).await.is_empty());
}

pub(super) async fn a_purge_removes_everything(store: Arc<dyn Store>) {
    let mut commit = start("a");
    commit.events = vec![completed(1, 100_000), completed(2, 10)];
    commit.payloads.input = Some(Some(payload(100_000)));
    commit.timers_set = vec![(TaskId(1), at(0))];
    let first = store.commit(commit).await.unwrap();
    let second = store.commit(Commit { events: vec![completed(3, 1)], ..next("a", first) }).await.unwrap();
    assert!(matches!(store.purge(first.number, first.revision).await, Err(CommitError::Conflict)));
    assert!(store.instance(&hub(), "a").await.unwrap().is_some());
    purge(&*store, second).await;
    assert_eq!(store.instance(&hub(), "a").await.unwrap(), None);
    assert_eq!(store.history(second.number).await.unwrap(), None);
    assert_eq!(store.payloads(second.number).await.unwrap(), Payloads::default());
    assert_eq!(store.snapshot(second.number, PayloadParts::ALL).await.unwrap(), None);
    assert!(store.ready(None, 9).await.unwrap().is_empty());
    assert!(store.timers(Timestamp::MAX, 9).await.unwrap().is_empty());
    assert!(pages(&*store, &Filter::default(), 9).await.0.is_empty());
    assert!(store.children(&hub(), "parent", InstanceNumber(0), 9).await.unwrap().is_empty());
    assert!(matches!(store.purge(second.number, second.revision).await, Err(CommitError::Conflict)));
    assert!(matches!(store.commit(next("a", second)).await, Err(CommitError::Conflict)));
    let again = store.commit(commit_of(Expect::Startable(Reuse::Never), record("a"))).await.unwrap();
    assert!(again.number > second.number && again.revision == 1);
}

pub(super) async fn of_a_purge_and_a_commit_one_wins(store: Arc<dyn Store>) {
    for round in 0..40 {
        let id = format!("r{round}");
        let first = store.commit(start(&id)).await.unwrap();
        let purging = tokio::spawn({
            let store = store.clone();
            async move { store.purge(first.number, first.revision).await }
        });
        let moved = store.commit(next(&id, first)).await;
        let purged = purging.await.unwrap();
        assert_ne!(moved.is_ok(), purged.is_ok(), "{moved:?} {purged:?}");
        let left = store.instance(&hub(), &id).await.unwrap();
        assert_eq!(left.is_some(), moved.is_ok());
    }
}

pub(super) async fn children_are_found_by_their_parent(store: Arc<dyn Store>) {
    let of = |id: &str, parent: &str| {
        let record = InstanceRecord { parent_instance_id: Some(parent.into()), ..record(id) };
        commit_of(Expect::Startable(Reuse::Terminal), record)
    };
    let mut made = Vec::new();
    for (id, parent) in [("x", "p"), ("y", "pp"), ("z", "p"), ("w", "p")] {
        made.push(store.commit(of(id, parent)).await.unwrap());
    }
    let orphan = InstanceRecord { parent_instance_id: None, ..record("o") };
    store.commit(commit_of(Expect::Startable(Reuse::Terminal), orphan)).await.unwrap();
    let children = async |parent: &str, after: u64, limit: usize| {
        let found = store.children(&hub(), parent, InstanceNumber(after), limit).await.unwrap();
        found.iter().map(|record| record.id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(children("p", 0, 9).await, ["x", "z", "w"]);
    assert_eq!(children("p", 0, 2).await, ["x", "z"]);
    assert_eq!(children("p", made[2].number.0, 9).await, ["w"]);
    assert_eq!(children("p", u64::MAX, 9).await, [""; 0]);
    assert_eq!(children("pp", 0, 9).await, ["y"]);
    // A commit that is no start changes nothing about it; a purge and a replacement do.
    let mut ended = next("z", made[2]);
    ended.record.parent_instance_id = Some("p".into());
    ended.record.status = Status::Completed;
    store.commit(ended).await.unwrap();
    store.commit(of("z", "pp")).await.unwrap();
    purge(&*store, made[0]).await;
    assert_eq!(children("p", 0, 9).await, ["w"]);
    assert_eq!(children("pp", 0, 9).await, ["y", "z"]);
}

pub(super) async fn a_snapshot_has_what_was_asked_for(store: Arc<dyn Store>) {
    let mut commit = start("a");
    let large = payload(50_000);
    commit.payloads.input = Some(Some(large.clone()));
    commit.payloads.custom_status = Some(Some(payload(2)));
    let done = store.commit(commit).await.unwrap();
    let (found, all) = store.snapshot(done.number, PayloadParts::ALL).await.unwrap().unwrap();
    assert_eq!(found, InstanceRecord { number: done.number, revision: 1, ..record("a") });
    assert_eq!(all, Payloads { input: Some(large), output: None, custom_status: Some(payload(2)) });
    let parts = PayloadParts { input: false, ..PayloadParts::ALL };
    let (_, some) = store.snapshot(done.number, parts).await.unwrap().unwrap();
    assert_eq!(some, Payloads { input: None, ..all });
}

conformance!(memory, (crate::store::memory::MemoryStore::new(), ()),
    lists_are_ordered_by_creation_then_id each_filter_admits_what_it_says a_page_looks_at_a_bounded_number_of_rows
    pages_are_stable_while_others_start_and_purge counts_follow_every_change a_purge_removes_everything
    of_a_purge_and_a_commit_one_wins children_are_found_by_their_parent a_snapshot_has_what_was_asked_for);
conformance!(sled, {
    let directory = tempfile::tempdir().unwrap();
    use crate::store::sled::{SledOptions, SledStore};
    (SledStore::open(directory.path(), SledOptions::default()).unwrap(), directory)
},
    lists_are_ordered_by_creation_then_id each_filter_admits_what_it_says a_page_looks_at_a_bounded_number_of_rows
    pages_are_stable_while_others_start_and_purge counts_follow_every_change a_purge_removes_everything
    of_a_purge_and_a_commit_one_wins children_are_found_by_their_parent a_snapshot_has_what_was_asked_for);

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % sides
    }

    fn status(&mut self) -> Status {
        Status::ALL[self.roll(Status::ALL.len())]
    }

    fn filter(&mut self) -> Filter {
        let mut some = |sides| (self.roll(3) == 0).then(|| self.roll(sides));
        let time = |at_: Option<usize>| at_.map(|value| at(i64::try_from(value).unwrap()));
        let (created_from, created_to) = (time(some(6)), time(some(6)));
        let name = some(3).map(|name| format!("F{name}"));
        let id_prefix = some(4).map(|prefix| format!("{prefix}"));
        let statuses = (0..self.roll(4)).map(|_| self.status()).collect();
        Filter { created_from, created_to, updated_to: None, statuses, name, id_prefix }
    }
}

/// Whatever is done to both, both give the same lists and counts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_stores_answer_alike() {
    let directory = tempfile::tempdir().unwrap();
    let memory = MemoryStore::new();
    let sled = SledStore::open(directory.path(), SledOptions::default()).unwrap();
    let stores: [&dyn Store; 2] = [&memory, &sled];
    let mut dice = Dice(7);
    for _ in 0..1500 {
        let id = format!("{}{}", dice.roll(4), dice.roll(12));
        let (name, created, ready) = (format!("F{}", dice.roll(3)), dice.roll(6), dice.roll(2) == 0);
        let (status, deed, filter) = (dice.status(), dice.roll(4), dice.filter());
        let mut answers = Vec::new();
        for store in stores {
            let existing = store.instance(&hub(), &id).await.unwrap();
            let result = match existing {
                Some(found) if deed == 0 => store.purge(found.number, found.revision).await.map(|()| None),
                Some(found) if deed < 3 => {
                    let expect = Expect::Revision(found.revision);
                    store.commit(commit_of(expect, InstanceRecord { status, ready, ..found })).await.map(Some)
                }
                Some(_) | None => {
                    let what = Made { id: &id, name: &name, created: i64::try_from(created).unwrap(), status };
                    let record = InstanceRecord { ready, ..made(&what) };
                    store.commit(commit_of(Expect::Startable(Reuse::Terminal), record)).await.map(Some)
                }
            };
            let list = pages(store, &filter, 5).await.0;
            answers.push((format!("{result:?}"), list, store.counts(&hub()).await.unwrap()));
        }
        assert_eq!(answers[0], answers[1], "{filter:?}");
    }
    assert!(counted(&sled).await.len() == 3);
}
