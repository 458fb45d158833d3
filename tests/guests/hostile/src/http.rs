//! HTTP functions that misbehave, and one that does not.

use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::SystemTime;

use durawasm::prelude::*;
use durawasm::raw::client::{self, Filter};

use crate::deeds;

/// Behaves: answers with the length of the body and the links of an instance.
#[durawasm::http(name = "HttpFine", route = "fine")]
pub(crate) fn fine(ctx: FunctionContext, request: HttpRequest) -> Result<HttpResponse> {
    let links = ctx.client().management_payload("some");
    Ok(HttpResponse::new(200).header("X-Status-Uri", links.status_query_get_uri).text(request.body().len().to_string()))
}

/// How often this instance has answered, after it has done what the route names.
#[durawasm::http(name = "HttpCount", route = "count/{what}")]
pub(crate) fn count(_ctx: FunctionContext, request: HttpRequest) -> Result<HttpResponse> {
    static ANSWERS: AtomicU32 = AtomicU32::new(0);
    match request.require_param("what")? {
        "nothing" => {}
        "fail" => durawasm::bail!("this time"),
        "panic" => panic!("the end of it"),
        "print" => println!("a line of this call"),
        "time" => drop(SystemTime::now()),
        "grow" => drop(vec![1_u8; 16 << 20].leak()),
        other => return Err(Error::bad_request(format!("there is no '{other}'"))),
    }
    Ok(HttpResponse::new(200).text((ANSWERS.fetch_add(1, Ordering::Relaxed) + 1).to_string()))
}

/// Opens with the admin key, and with one that manages the hub.
#[durawasm::http(name = "HttpForAdmins", route = "admins", methods = ["GET"], auth = "admin")]
pub(crate) fn for_admins(_ctx: FunctionContext) -> Result<HttpResponse> {
    Ok(HttpResponse::new(200))
}

/// How many instances the pages of a list have: of as many as there are, or of as many as it likes.
#[durawasm::http(name = "HttpPages", route = "pages/{size}")]
pub(crate) fn pages(_ctx: FunctionContext, request: HttpRequest) -> Result<HttpResponse> {
    let top = (request.require_param("size")? == "all").then_some(u32::MAX);
    let filter = Filter {
        created_from: None,
        created_to: None,
        runtime_status: vec![],
        name: None,
        instance_id_prefix: None,
    };
    let (mut pages, mut continuation) = (vec![], None::<String>);
    loop {
        let page = client::list_instances(&filter, true, top, continuation.as_deref());
        let page = page.map_err(|error| Error::msg(format!("{error:?}")))?;
        pages.push(page.instances.len());
        continuation = page.continuation;
        if continuation.is_none() {
            return HttpResponse::new(200).json(&pages);
        }
    }
}

/// Does what the route names.
#[durawasm::http(name = "HttpDeed", route = "deeds/{deed}", methods = ["GET", "POST"])]
pub(crate) fn deed(_ctx: FunctionContext, request: HttpRequest) -> Result<HttpResponse> {
    let ok = HttpResponse::new(200);
    match request.require_param("deed")? {
        "panic" => panic!("boom at work"),
        "method" => Ok(ok.header("X-Method", request.method()).text("whole")),
        "fail" => durawasm::bail!("a secret of the inside"),
        "loop" => deeds::loop_forever(),
        "memory" => deeds::grow_memory(),
        "stack" => Ok(ok.text(deeds::stack_overflow(0).to_string())),
        "print" => deeds::print_forever(),
        "sleep" => {
            sleep(Duration::from_secs(3600));
            Ok(ok)
        }
        "huge-body" => Ok(ok.text(deeds::huge_text())),
        "large-body" => Ok(ok.body(vec![b'x'; 17 << 20])),
        "many-headers" => Ok((0..1_000).fold(ok, |answer, number| answer.header(format!("x-{number}"), "y"))),
        "large-header" => Ok(ok.header("x", "y".repeat(100 << 10))),
        "bad-name" => Ok(ok.header("a b", "c")),
        "bad-value" => Ok(ok.header("x", "y\r\nset-cookie: stolen=1")),
        "status-0" => Ok(HttpResponse::new(0)),
        "status-101" => Ok(HttpResponse::new(101)),
        "status-1000" => Ok(HttpResponse::new(1000)),
        // Allowed, but what belongs to the connection is the host's.
        "framing" => Ok(ok
            .header("Content-Length", "3")
            .header("Transfer-Encoding", "chunked")
            .header("Connection", "close")
            .text("whole")),
        "body-of-204" => Ok(HttpResponse::new(204).text("HTTP/1.1 200 OK\r\n\r\n")),
        // Orchestrators' calls are none of its business.
        "wrong-role" => Ok(ok.text(durawasm::raw::orchestration::new_guid())),
        other => Err(Error::bad_request(format!("there is no deed '{other}'"))),
    }
}
