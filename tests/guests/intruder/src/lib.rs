//! Every call of the durable client, with whatever ids and names its caller gives, from every role that has the client.

use durawasm::prelude::*;
use durawasm::raw::client::{self, Filter, Parts, StartOptions, StartRequest};
use serde::Deserialize;

/// A call of the contract's interface `client`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Call {
    /// The call's name in the contract.
    operation: String,
    /// The instance that it is about, and what ids begin with where several are asked for.
    id: String,
    /// The function that is started.
    function: String,
    /// Where a list goes on.
    continuation: Option<String>,
}

impl Call {
    fn options(&self) -> StartOptions {
        let instance_id = Some(self.id.clone());
        StartOptions { instance_id, version: None, tags: vec![], reuse: client::Reuse::Any, scheduled_at: None }
    }

    fn filter(&self) -> Filter {
        Filter {
            created_from: None,
            created_to: None,
            runtime_status: vec![],
            name: None,
            instance_id_prefix: Some(self.id.clone()),
        }
    }

    /// Makes the call; its answer as text, all of it.
    fn make(&self) -> Result<String> {
        let (id, reason, soon) = (self.id.as_str(), Some("intruded"), 1.0);
        let parts = Parts { input: true, history: true, history_output: true };
        Ok(match self.operation.as_str() {
            "start-new" => format!("{:?}", client::start_new(&self.function, Some("\"Go\""), &self.options())),
            "start-many" => {
                let input = Some("\"Go\"".to_owned());
                let request = StartRequest { name: self.function.clone(), input, options: self.options() };
                format!("{:?}", client::start_many(&[request]))
            }
            "get-status" => format!("{:?}", client::get_status(id, parts)),
            "list-instances" => {
                let answer = client::list_instances(&self.filter(), true, None, self.continuation.as_deref());
                format!("{answer:?}")
            }
            "raise-event" => format!("{:?}", client::raise_event(id, "Go", Some("1"))),
            "terminate" => format!("{:?}", client::terminate(id, reason, true)),
            "suspend" => format!("{:?}", client::suspend(id, reason)),
            "resume" => format!("{:?}", client::resume(id, reason)),
            "rewind" => format!("{:?}", client::rewind(id, reason)),
            "restart" => format!("{:?} {:?}", client::restart(id, false), client::restart(id, true)),
            "purge" => format!("{:?}", client::purge(id, true)),
            "purge-many" => format!("{:?}", client::purge_many(&self.filter(), true)),
            "wait-for-completion" => format!("{:?}", client::wait_for_completion(id, soon)),
            "wait-for-start" => format!("{:?}", client::wait_for_start(id, soon)),
            "create-management-payload" => format!("{:?}", client::create_management_payload(id)),
            "create-check-status-response" => format!("{:?}", client::create_check_status_response(id)),
            unknown => return Err(Error::new("NoOperation", format!("the intruder does not know '{unknown}'"))),
        })
    }
}

#[durawasm::http(name = "IntrudeByHttp", route = "intrude", methods = ["POST"])]
fn by_http(_ctx: FunctionContext, request: HttpRequest) -> Result<HttpResponse> {
    HttpResponse::new(200).json(&request.json::<Call>()?.make()?)
}

#[durawasm::manual(name = "IntrudeByHand")]
fn by_hand(_ctx: FunctionContext, call: Call) -> Result<String> {
    call.make()
}

#[durawasm::activity(name = "IntrudeByActivity")]
fn by_activity(_ctx: ActivityContext, call: Call) -> Result<String> {
    call.make()
}

durawasm::app!(by_activity, by_hand, by_http);
