//! An orchestrator that does what its input says: every arrangement of calls without a function for each.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use durawasm::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A program and how often it runs, each time in a fresh execution.
#[derive(Clone, Deserialize, Serialize)]
pub(crate) struct Program {
    step: Step,
    #[serde(default)]
    round: u32,
    /// Fresh executions after the first.
    #[serde(default)]
    rounds: u32,
}

/// What to do. Each step gives a value or fails.
#[derive(Clone, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Step {
    /// An activity that gives back its input.
    Echo(Value),
    /// Any activity.
    Activity { name: String, input: Value },
    /// An activity that fails before its attempt `succeeds`, with so many attempts, a second apart and then double.
    Flaky { succeeds: u32, attempts: u32 },
    /// An activity that fails until its caller was rewound so often.
    Repaired {
        rewinds: u32,
        #[serde(default)]
        attempts: u32,
    },
    /// An HTTP call.
    Http(Http),
    /// A timer of so many seconds.
    Sleep(u64),
    /// Waits for an event.
    Event(String),
    /// A sub-orchestration that is waited for.
    Child(Child),
    /// A sub-orchestration that nobody waits for; gives its id.
    Start(Child),
    /// Raises an event; `{self}`, `{parent}` in the id stand for those instances.
    Send { to: String, name: String, data: Value },
    /// One after the other; the list of their values.
    Seq(Vec<Step>),
    /// All at once; the list of their values, or the first failure by their order, once all have ended.
    All(Vec<Step>),
    /// All at once, until one has ended: `[its index, its value]`.
    Any(Vec<Step>),
    /// Gives the failure's message instead of failing.
    Catch(Box<Step>),
    /// The first; if it fails the second, and then the failure all the same.
    Undo(Box<Step>, Box<Step>),
    /// Fails.
    Fail(String),
    /// Sets the custom status.
    Status(Value),
    /// Gives up a timer or an event wait after having begun it.
    GiveUp(Box<Step>),
}

/// An HTTP call; gives `{"status", "body", "headers"}`.
#[derive(Clone, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Http {
    url: String,
    #[serde(default)]
    method: Option<String>,
    #[serde(default)]
    headers: Vec<(String, String)>,
    #[serde(default)]
    body: Option<String>,
    /// More than 0: a retry policy.
    #[serde(default)]
    attempts: u32,
    #[serde(default)]
    statuses: Vec<u16>,
    #[serde(default)]
    timeout_millis: Option<u64>,
    #[serde(default)]
    without_polling: bool,
}

impl Http {
    async fn call(self, ctx: OrchestrationContext) -> Result<Value> {
        let mut call = HttpCall::new(self.method.as_deref().unwrap_or("GET"), self.url).retry_statuses(self.statuses);
        for (name, value) in self.headers {
            call = call.header(name, value);
        }
        if let Some(body) = self.body {
            call = call.body(body);
        }
        if self.attempts > 0 {
            call = call.retry(policy(self.attempts));
        }
        if let Some(millis) = self.timeout_millis {
            call = call.timeout(Duration::from_millis(millis));
        }
        if self.without_polling {
            call = call.without_polling();
        }
        let answer = ctx.call_http(call).await?;
        let headers: Vec<_> = answer.headers.iter().filter(|header| header.0 != "date").collect();
        Ok(json!({"status": answer.status, "body": String::from_utf8_lossy(&answer.body), "headers": headers}))
    }
}

/// A sub-orchestration.
#[derive(Clone, Deserialize, Serialize)]
pub(crate) struct Child {
    /// Its id is `{parent's}.{label}` (and `.{round}` from the second round on); none: derived by the host.
    #[serde(default)]
    label: Option<String>,
    /// Its id as it is.
    #[serde(default)]
    id: Option<String>,
    /// Another function than `Program`, which gets `input`.
    #[serde(default)]
    function: Option<String>,
    #[serde(default)]
    input: Value,
    #[serde(default)]
    step: Option<Box<Step>>,
    #[serde(default)]
    rounds: u32,
    /// More than 1: a retry policy.
    #[serde(default)]
    attempts: u32,
}

type Doing = Pin<Box<dyn Future<Output = Result<Value>>>>;

#[durawasm::orchestrator(name = "Program")]
pub(crate) async fn program(ctx: OrchestrationContext, program: Program) -> Result<Value> {
    let value = run(ctx, program.step.clone(), program.round).await?;
    if program.round < program.rounds {
        return ctx.continue_as_new(Program { round: program.round + 1, ..program }, true);
    }
    Ok(value)
}

fn run(ctx: OrchestrationContext, step: Step, round: u32) -> Doing {
    Box::pin(async move {
        match step {
            Step::Echo(value) => ctx.call_activity("Echo", value).await,
            Step::Activity { name, input } => ctx.call_activity(&name, input).await,
            Step::Flaky { succeeds, attempts } => {
                ctx.activity("FailUntil").input(succeeds).retry(policy(attempts)).call().await
            }
            Step::Repaired { rewinds, attempts } => {
                let call = ctx.activity("Repaired").input(rewinds);
                if attempts > 1 { call.retry(policy(attempts)).call().await } else { call.call().await }
            }
            Step::Http(http) => http.call(ctx).await,
            Step::Sleep(seconds) => ctx.sleep(Duration::from_secs(seconds)).await.map(|()| json!("slept")),
            Step::Event(name) => ctx.wait_for_event(&name).await,
            Step::Child(child) => call_of(ctx, &child, round).call().await,
            Step::Start(child) => call_of(ctx, &child, round).start().map(Value::from),
            Step::Send { to, name, data } => {
                let instance = ctx.instance();
                let parent = instance.parent_instance_id.unwrap_or_default();
                let to = to.replace("{self}", &instance.instance_id).replace("{parent}", &parent);
                ctx.send_event(&to, &name, data).map(|()| json!("sent"))
            }
            Step::Seq(steps) => {
                let mut values = vec![];
                for step in steps {
                    values.push(run(ctx, step, round).await?);
                }
                Ok(values.into())
            }
            Step::All(steps) => all(steps.into_iter().map(|step| run(ctx, step, round)).collect()).await,
            Step::Any(steps) => {
                let (index, value) = ctx.race(steps.into_iter().map(|step| run(ctx, step, round))).await;
                Ok(json!([index, value?]))
            }
            Step::Catch(step) => {
                Ok(run(ctx, *step, round).await.unwrap_or_else(|error| json!({"caught": error.message})))
            }
            Step::Undo(step, undo) => match run(ctx, *step, round).await {
                Ok(value) => Ok(value),
                Err(error) => {
                    run(ctx, *undo, round).await?;
                    Err(error)
                }
            },
            Step::Fail(message) => Err(Error::new("Deliberate", message)),
            Step::Status(status) => ctx.set_custom_status(status).map(|()| Value::Null),
            Step::GiveUp(step) => {
                if let Step::Sleep(seconds) = *step {
                    ctx.sleep(Duration::from_secs(seconds)).cancel();
                } else if let Step::Event(name) = *step {
                    ctx.wait_for_event::<Value>(&name).cancel();
                } else {
                    return Err(Error::msg("only timers and event waits are given up"));
                }
                Ok(json!("given up"))
            }
        }
    })
}

fn policy(attempts: u32) -> RetryPolicy {
    RetryPolicy::new(attempts, Duration::from_secs(1)).backoff(2.0)
}

fn call_of(ctx: OrchestrationContext, child: &Child, round: u32) -> durawasm::SubOrchestrationCall {
    let call = ctx.sub_orchestration(child.function.as_deref().unwrap_or("Program"));
    let call = match &child.step {
        Some(step) => call.input(Program { step: Step::clone(step), round: 0, rounds: child.rounds }),
        None => call.input(&child.input),
    };
    let call = if child.attempts > 1 { call.retry(policy(child.attempts)) } else { call };
    match (&child.id, &child.label) {
        (Some(id), _) => call.instance_id(id),
        (None, Some(label)) if round == 0 => call.instance_id(format!("{}.{label}", ctx.instance_id())),
        (None, Some(label)) => call.instance_id(format!("{}.{label}.{round}", ctx.instance_id())),
        (None, None) => call,
    }
}

async fn all(mut doing: Vec<Doing>) -> Result<Value> {
    let mut ended: Vec<Option<Result<Value>>> = doing.iter().map(|_| None).collect();
    poll_fn(|context| {
        for (doing, ended) in doing.iter_mut().zip(&mut ended) {
            if ended.is_none()
                && let Poll::Ready(result) = doing.as_mut().poll(context)
            {
                *ended = Some(result);
            }
        }
        if ended.iter().all(Option::is_some) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    ended.into_iter().flatten().collect::<Result<Vec<_>>>().map(Value::from)
}

/// Calls itself as a sub-orchestration, and that again, without end.
#[durawasm::orchestrator(name = "Deeper")]
pub(crate) async fn deeper(ctx: OrchestrationContext, level: u32) -> Result<Value> {
    ctx.call_sub_orchestration("Deeper", level + 1).await
}
