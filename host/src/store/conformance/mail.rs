//! Messages between instances: they wait until one commit takes them.

use std::sync::Arc;

use durawasm_core::model::Tags;
use durawasm_core::{AwaitedBy, ChildStart, Letter, TaskId};

use super::{failure, hub, next, payload, start};
use crate::store::{Commit, CommitError, Digest, Mail, MailId, NewMail, Pinned, Store};

fn letter(name: &str, bytes: usize) -> Letter {
    Letter::EventRaised { name: name.to_owned(), input: Some(payload(bytes)) }
}

fn to(id: &str, letter: Letter) -> NewMail {
    NewMail { to: Arc::from(id), pin: None, letter }
}

fn numbered(id: MailId, NewMail { to, pin, letter }: NewMail) -> Mail {
    Mail { id, hub: hub(), to, pin, letter }
}

/// Every kind of letter, with each of its optional parts present and absent, small and large.
fn every_letter() -> Vec<NewMail> {
    let awaited_by = AwaitedBy { execution_id: "e-1".into(), task: TaskId(7), attempt: 2 };
    let child = ChildStart {
        name: "child".into(),
        input: Some(payload(1_500_000)),
        version: Some("v".into()),
        tags: Tags::from([("a".into(), "b".into())]),
        parent_instance_id: Arc::from("parent"),
        awaited_by: Some(awaited_by.clone()),
        depth: 3,
        trace_parent: Some("00-0-0-01".into()),
        trace_state: Some("a=1,b=2".into()),
        again: true,
    };
    let bare = ChildStart {
        input: None,
        version: None,
        tags: Tags::new(),
        awaited_by: None,
        trace_parent: None,
        trace_state: None,
        again: false,
        ..child.clone()
    };
    let pin = Some(Pinned { app: "app".into(), digest: Digest([9; 32]) });
    let mut letters = vec![Letter::StartChild(Box::new(child)), Letter::StartChild(Box::new(bare))];
    for outcome in [Ok(None), Ok(Some(payload(40_000))), Err(failure())] {
        letters.push(Letter::ChildEnded { awaited_by: awaited_by.clone(), outcome });
    }
    letters.push(Letter::EventRaised { name: "e".into(), input: None });
    letters.extend((1_900..2_100).step_by(10).map(|bytes| letter("e", bytes)));
    for reason in [None, Some(Arc::from("why"))] {
        letters.push(Letter::Terminate { parent_instance_id: Arc::from("parent"), reason });
    }
    letters.into_iter().map(|letter| NewMail { pin: pin.clone(), ..to("somebody", letter) }).collect()
}

pub(in crate::store) async fn every_letter_comes_back(store: Arc<dyn Store>) {
    let done = store.commit(Commit { mail_sent: every_letter(), ..start("a") }).await.unwrap();
    let expected: Vec<_> = (done.first_mail.0..).map(MailId).zip(every_letter()).collect();
    let expected: Vec<_> = expected.into_iter().map(|(id, mail)| numbered(id, mail)).collect();
    assert!(store.mail(None, 99).await.unwrap() == expected);
    let page = store.mail(Some(expected[3].id), 2).await.unwrap();
    assert!(page == expected[4..6]);
    let all = expected.iter().map(|mail| mail.id).collect();
    store.commit(Commit { mail_taken: all, ..next("a", done) }).await.unwrap();
    assert!(store.mail(None, 99).await.unwrap().is_empty());
}

pub(in crate::store) async fn mail_is_taken_once(store: Arc<dyn Store>) {
    let mail_sent = vec![to("b", letter("one", 3)), to("b", letter("two", 3_000))];
    let a = store.commit(Commit { mail_sent: mail_sent.clone(), ..start("a") }).await.unwrap();
    let (one, two) = (a.first_mail, MailId(a.first_mail.0 + 1));
    let b = store.commit(Commit { mail_taken: vec![two], ..start("b") }).await.unwrap();
    assert_eq!(store.mail(None, 9).await.unwrap(), [numbered(one, mail_sent[0].clone())]);
    for taken in [vec![two], vec![one, two]] {
        let again = Commit { mail_taken: taken, mail_sent: mail_sent.clone(), ..next("b", b) };
        assert!(matches!(store.commit(again).await, Err(CommitError::Conflict)));
    }
    assert!(matches!(store.answer_mail(two, None).await, Err(CommitError::Conflict)));
    assert_eq!(store.mail(None, 9).await.unwrap(), [numbered(one, mail_sent[0].clone())]);
    assert_eq!(store.instance(&hub(), "b").await.unwrap().unwrap().revision, 1);
}

pub(in crate::store) async fn of_concurrent_takers_one_wins(store: Arc<dyn Store>) {
    let mail_sent = vec![to("b", letter("one", 3))];
    let sent = store.commit(Commit { mail_sent, ..start("a") }).await.unwrap();
    let tasks: Vec<_> = (0..20)
        .map(|index| {
            let store = store.clone();
            let mail_taken = vec![sent.first_mail];
            tokio::spawn(async move { store.commit(Commit { mail_taken, ..start(&format!("b{index}")) }).await })
        })
        .collect();
    let mut won = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(_) => won += 1,
            Err(CommitError::Conflict) => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(won, 1);
}

pub(in crate::store) async fn a_refused_commit_leaves_its_mail(store: Arc<dyn Store>) {
    let sent = store.commit(Commit { mail_sent: vec![to("a", letter("one", 3))], ..start("a") }).await.unwrap();
    let refused = Commit { mail_taken: vec![sent.first_mail], mail_sent: vec![to("c", letter("x", 1))], ..start("a") };
    assert!(matches!(store.commit(refused).await, Err(CommitError::Exists(_))));
    assert_eq!(store.mail(None, 9).await.unwrap(), [numbered(sent.first_mail, to("a", letter("one", 3)))]);
    store.commit(Commit { mail_taken: vec![sent.first_mail], ..next("a", sent) }).await.unwrap();
}

pub(in crate::store) async fn an_answer_takes_the_place_of_mail(store: Arc<dyn Store>) {
    let mail_sent = vec![to("b", letter("one", 50_000)), to("b", letter("two", 1))];
    let sent = store.commit(Commit { mail_sent: mail_sent.clone(), ..start("a") }).await.unwrap();
    let answer = to("a", letter("answer", 100_000));
    let id = store.answer_mail(sent.first_mail, Some((hub(), answer.clone()))).await.unwrap();
    let two = MailId(sent.first_mail.0 + 1);
    assert!(id > two);
    assert!(store.mail(None, 9).await.unwrap() == [numbered(two, mail_sent[1].clone()), numbered(id, answer)]);
    store.answer_mail(two, None).await.unwrap();
    store.answer_mail(id, None).await.unwrap();
    assert!(store.mail(None, 9).await.unwrap().is_empty());
}
