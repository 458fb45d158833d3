//! The executor and the combinators on a host that completes tasks in a chosen order.

use std::time::Duration;

use super::run;
use crate::error::Result;
use crate::function::{Ignored, assert_input, assert_output, orchestrate};
use crate::host::fake::{reset, seen};
use crate::orchestration::OrchestrationContext;
use crate::{Either, RetryPolicy, TaskFuture};

fn ctx() -> OrchestrationContext {
    OrchestrationContext::new()
}

fn calls(n: u32) -> Vec<TaskFuture<u32>> {
    (0..n).map(|i| ctx().call_activity("A", i)).collect()
}

#[test]
fn a_sequence_waits_for_one_task_at_a_time() {
    reset(&[], &[]);
    let outputs = run(async {
        let first = ctx().call_activity::<u32>("A", "x").await.unwrap();
        let second = ctx().call_activity::<u32>("B", ()).await.unwrap();
        (first, second)
    });
    assert_eq!(outputs.unwrap(), (1, 2));
    seen(|host| {
        assert_eq!(host.made, ["A(\"x\")", "B(-)"]);
        assert_eq!((host.calls_of_any, host.ids_passed), (2, 2));
    });
}

#[test]
fn a_fan_in_alone_is_one_call() {
    reset(&[], &[]);
    let outputs = run(ctx().try_join_all(calls(10_000))).unwrap().unwrap();
    assert_eq!(outputs.len(), 10_000);
    assert_eq!((outputs[0], outputs[9_999]), (1, 10_000));
    seen(|host| assert_eq!((host.calls_of_all, host.calls_of_any), (1, 0)));
}

#[test]
fn a_fan_in_against_a_timer_passes_two_handles_a_call() {
    reset(&[], &[]);
    let all = run(async { ctx().timeout(Duration::from_secs(1), ctx().join_all(calls(10_000))).await }).unwrap();
    assert_eq!(all.map(|all| all.len()), Some(10_000));
    seen(|host| {
        assert!(host.ids_passed <= 20_000, "{}", host.ids_passed);
        assert_eq!(host.canceled, [10_001]);
    });
}

#[test]
fn a_group_loses_to_what_completes_before_its_last_task() {
    // The timer is task 4; task 1 completes after it.
    reset(&[2, 3, 4, 1], &[]);
    let all = run(async { ctx().timeout(Duration::from_secs(1), ctx().join_all(calls(3))).await }).unwrap();
    assert!(all.is_none());
}

#[test]
fn two_groups_at_once_both_complete() {
    reset(&[6, 1, 5, 2, 4, 3], &[]);
    let (a, b) = run(async {
        let (a, b) = (ctx().try_join_all(calls(3)), ctx().try_join_all(calls(3)));
        ctx().join((a, b)).await
    })
    .unwrap();
    assert_eq!((a.unwrap(), b.unwrap()), (vec![1, 2, 3], vec![4, 5, 6]));
}

#[test]
fn joining_tasks_that_came_before_or_none_is_immediate() {
    reset(&[2, 1], &[]);
    let outputs = run(async {
        let (mut first, second) = (ctx().call_activity::<u32>("A", ()), ctx().call_activity::<u32>("B", ()));
        // The first is polled, so awaited for itself; it must move to the group.
        let second = match ctx().either(&mut first, second).await {
            Either::Right(second) => second.unwrap(),
            Either::Left(_) => 0,
        };
        let none = ctx().join_all(Vec::<TaskFuture<u32>>::new()).await.len();
        (second, ctx().try_join_all([first]).await.unwrap(), none)
    });
    assert_eq!(outputs.unwrap(), (2, vec![1], 0));
}

#[test]
fn select_gives_tasks_as_they_complete() {
    reset(&[3, 1, 2], &[]);
    let order = run(async {
        let mut tasks = calls(3);
        let mut order = vec![];
        while !tasks.is_empty() {
            order.push(ctx().select(&mut tasks).await.1.unwrap());
        }
        order
    });
    assert_eq!(order.unwrap(), [3, 1, 2]);
}

#[test]
fn a_race_names_the_winner_and_forgets_the_losers() {
    reset(&[2], &[]);
    let winner = run(async {
        let (index, output) = ctx().race(calls(3)).await;
        let next = ctx().call_activity::<u32>("B", ()).await.unwrap();
        (index, output.unwrap(), next)
    });
    assert_eq!(winner.unwrap(), (1, 2, 4));
    // Three racers, then the next call alone.
    seen(|host| assert_eq!(host.ids_passed, 4));
}

#[test]
fn a_timeout_cancels_the_loser() {
    reset(&[2], &[]);
    let late = run(ctx().wait_for_event::<u32>("E").timeout(Duration::from_secs(60)));
    assert_eq!(late.unwrap().unwrap(), None);
    seen(|host| {
        assert_eq!(host.made, ["event E", "timer 2024-01-01T00:01:00.000000Z"]);
        assert_eq!(host.canceled, [1]);
    });
    reset(&[1], &[]);
    let early = run(ctx().wait_for_event::<u32>("E").timeout(Duration::from_secs(60)));
    assert_eq!(early.unwrap().unwrap(), Some(1));
    seen(|host| assert_eq!(host.canceled, [2]));
}

#[test]
fn a_child_is_never_canceled() {
    reset(&[], &[]);
    ctx().call_sub_orchestration::<u32>("C", ()).cancel();
    ctx().sleep(Duration::ZERO).cancel();
    seen(|host| assert_eq!(host.canceled, [2]));
}

#[test]
fn failures_arrive_whole_and_the_first_by_order_is_reported() {
    reset(&[3, 2, 1], &[2, 3]);
    let error = run(ctx().try_join_all(calls(3))).unwrap().unwrap_err();
    assert_eq!((error.error_type.as_str(), error.message.as_str()), ("Boom", "A(1)"));
}

#[test]
fn a_result_of_another_type_is_an_error_that_says_so() {
    reset(&[], &[]);
    let error = run(ctx().call_activity::<Vec<String>>("A", ())).unwrap().unwrap_err();
    assert_eq!(error.error_type, "UnexpectedPayload");
    assert!(error.message.starts_with("the result of task 1 is not a alloc::vec::Vec"), "{error}");
}

#[test]
fn an_input_that_is_no_json_is_never_sent() {
    reset(&[], &[]);
    let keys_are_no_text = std::collections::BTreeMap::from([((1, 2), 3)]);
    let error = run(ctx().call_activity::<u32>("A", keys_are_no_text)).unwrap().unwrap_err();
    assert_eq!(error.to_string(), "cannot be written as JSON: key must be a string");
    seen(|host| assert!(host.made.is_empty()));
}

#[test]
fn a_retry_loop_ends_with_the_policy_or_the_predicate() {
    let policy = RetryPolicy::new(3, Duration::from_secs(1)).backoff(2.0);
    reset(&[], &[1, 3, 5]);
    let call = ctx().activity("A").retry(policy.clone()).call_while::<u32>(|_| true);
    assert!(run(call).unwrap().is_err());
    seen(|host| {
        let made = ["A(-)", "timer 2024-01-01T00:00:01.000000Z", "A(-)", "timer 2024-01-01T00:00:02.000000Z", "A(-)"];
        assert_eq!(host.made, made);
    });
    reset(&[], &[1]);
    let call = ctx().activity("A").retry(policy.clone()).call_while::<u32>(|failure| failure.error_type == "Boom");
    assert_eq!(run(call).unwrap().unwrap(), 3);
    reset(&[], &[1]);
    let call = ctx().activity("A").retry(policy).call_while::<u32>(|_| false);
    assert!(run(call).unwrap().is_err());
    seen(|host| assert_eq!(host.made.len(), 1));
}

#[test]
fn a_policy_of_no_attempts_still_makes_one() {
    reset(&[], &[1]);
    let policy = RetryPolicy::new(0, Duration::from_secs(1));
    assert!(run(ctx().activity("A").retry(policy).call_while::<u32>(|_| true)).unwrap().is_err());
}

#[test]
fn what_no_task_completes_fails_clearly() {
    reset(&[], &[]);
    let read = assert_input::<Ignored>();
    let write = assert_output::<Result<()>>();
    let error = orchestrate(None, read, |_, _| std::future::pending(), write).unwrap_err();
    assert!(error.message.contains("awaits something that is not a durable task"), "{error}");
    assert!(error.non_retriable);
}

#[test]
fn a_future_that_only_gives_way_goes_on() {
    reset(&[], &[]);
    let mut turns = 0;
    let turns = run(std::future::poll_fn(move |context| {
        turns += 1;
        if turns == 3 {
            return std::task::Poll::Ready(turns);
        }
        context.waker().wake_by_ref();
        std::task::Poll::Pending
    }));
    assert_eq!(turns.unwrap(), 3);
}

#[test]
fn combinators_of_other_crates_that_poll_only_what_was_woken_work() {
    use std::cell::Cell;
    use std::pin::pin;
    use std::task::{Context, Poll};

    // What `FuturesUnordered` does: a waker for the child, and no poll before it is woken.
    reset(&[], &[]);
    let woken = std::sync::Arc::new(super::Flag::default());
    let polls = Cell::new(0);
    let mut child = pin!(ctx().call_activity::<u32>("A", ()));
    let output = run(std::future::poll_fn(|_| {
        if polls.get() > 0 && !woken.0.load(std::sync::atomic::Ordering::Relaxed) {
            return Poll::Pending;
        }
        polls.set(polls.get() + 1);
        child.as_mut().poll(&mut Context::from_waker(&woken.clone().into()))
    }));
    assert_eq!(output.unwrap().unwrap(), 1);
    assert_eq!(polls.get(), 2);
}

#[test]
fn continue_as_new_reaches_the_host() {
    reset(&[], &[]);
    assert!(ctx().continue_as_new::<()>(5, true).is_err());
    seen(|host| assert_eq!(host.continued, Some(Some("5".to_owned()))));
}
