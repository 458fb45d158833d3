//! HTTP functions that stream, well and badly, beside functions of other kinds.

use durawasm::prelude::*;
use serde_json::{Value, json};
use wasip2::http::types::{
    ErrorCode, Fields, IncomingBody, IncomingRequest, OutgoingBody, OutgoingRequest, OutgoingResponse,
    ResponseOutparam, Scheme,
};
use wasip2::io::streams::{InputStream, OutputStream, StreamError};

/// Sends back what comes, as it comes.
#[durawasm::incoming(route = "echo", methods = ["POST"], auth = "anonymous")]
struct Echo;

/// Starts an orchestration with the body as its input, and answers with its links.
#[durawasm::incoming(name = "StreamStart", route = "start/{function}")]
struct Start;

/// Does what the route names.
#[durawasm::incoming(name = "Deed", route = "stream/{deed}", auth = "anonymous")]
struct Deed;

/// Collects its request, as HTTP functions do.
#[durawasm::http(name = "Length", route = "length", auth = "anonymous")]
fn length(_ctx: FunctionContext, request: HttpRequest) -> Result<HttpResponse> {
    Ok(HttpResponse::new(200).text(request.body().len().to_string()))
}

/// Waits for `Go`.
#[durawasm::orchestrator(name = "Wait")]
async fn wait(ctx: OrchestrationContext, input: Value) -> Result<Value> {
    ctx.wait_for_event::<Value>("Go").await?;
    Ok(input)
}

durawasm::app!(Echo, Start, Deed, length, wait);

struct Handler;

wasip2::http::proxy::export!(Handler with_types_in wasip2);

impl wasip2::exports::http::incoming_handler::Guest for Handler {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let ctx = FunctionContext::current();
        let path = request.path_with_query().unwrap_or_default();
        match ctx.name().as_str() {
            "Echo" => echo(&request, out),
            "StreamStart" => start(ctx, &request, out),
            "Deed" => deed(ctx, path.rsplit('/').next().unwrap_or_default(), &request, out),
            other => panic!("{other} is no function that streams"),
        }
    }
}

/// The next piece of a body; none: it has ended.
fn next(input: &InputStream) -> Option<Vec<u8>> {
    input.blocking_read(64 << 10).ok()
}

fn read_all(request: &IncomingRequest) -> Vec<u8> {
    let body = request.consume().expect("the body is there");
    let input = body.stream().expect("the stream is there");
    std::iter::from_fn(|| next(&input)).flatten().collect()
}

/// Begins a response and gives its body away.
fn begin(out: ResponseOutparam, status: u16, headers: &[(&str, &str)]) -> OutgoingBody {
    let fields = Fields::new();
    for (name, value) in headers {
        fields.append(name, value.as_bytes()).expect("a header");
    }
    let response = OutgoingResponse::new(fields);
    response.set_status_code(status).expect("a status");
    let body = response.body().expect("the body is there");
    ResponseOutparam::set(out, Ok(response));
    body
}

fn whole(out: ResponseOutparam, status: u16, text: &str) {
    let body = begin(out, status, &[("content-type", "text/plain")]);
    let output = body.write().expect("the stream is there");
    write(&output, text.as_bytes());
    drop(output);
    OutgoingBody::finish(body, None).expect("all is written");
}

/// True: the client is still there.
fn write(output: &OutputStream, bytes: &[u8]) -> bool {
    bytes.chunks(4096).all(|piece| output.blocking_write_and_flush(piece).is_ok())
}

fn echo(request: &IncomingRequest, out: ResponseOutparam) {
    let incoming = request.consume().expect("the body is there");
    let input = incoming.stream().expect("the stream is there");
    let body = begin(out, 200, &[("x-twice", "a"), ("x-twice", "b"), ("content-type", "text/event-stream")]);
    let output = body.write().expect("the stream is there");
    while let Some(piece) = next(&input) {
        if !write(&output, &piece) {
            return;
        }
    }
    drop(output);
    OutgoingBody::finish(body, None).expect("all is written");
}

/// Sends back the body of the request and then its trailers.
fn trailers(request: &IncomingRequest, out: ResponseOutparam) {
    let incoming = request.consume().expect("the body is there");
    let input = incoming.stream().expect("the stream is there");
    let body = begin(out, 200, &[("trailer", "x-sum, x-twice")]);
    let output = body.write().expect("the stream is there");
    loop {
        match input.blocking_read(64 << 10) {
            Ok(piece) => drop(write(&output, &piece)),
            Err(StreamError::Closed) => break,
            // It is not whole: nor is what came of it.
            Err(StreamError::LastOperationFailed(_)) => return,
        }
    }
    drop((input, output));
    let came = IncomingBody::finish(incoming);
    came.subscribe().block();
    let Some(Ok(Ok(trailers))) = came.get() else { return drop(body) };
    OutgoingBody::finish(body, trailers).expect("all is written");
}

fn start(ctx: FunctionContext, request: &IncomingRequest, out: ResponseOutparam) {
    let path = request.path_with_query().unwrap_or_default();
    let function = path.split('?').next().unwrap_or_default().rsplit('/').next().unwrap_or_default();
    let input: Value = serde_json::from_slice(&read_all(request)).unwrap_or_default();
    match ctx.client().start_new(function).input(input).send() {
        Ok(id) => {
            durawasm::info!(ctx, "started {id} for {}", request.authority().unwrap_or_default());
            let links = json!(ctx.client().management_payload(&id));
            whole(out, 202, &links.to_string());
        }
        Err(error) => whole(out, 400, &error.to_string()),
    }
}

fn deed(ctx: FunctionContext, deed: &str, request: &IncomingRequest, out: ResponseOutparam) {
    match deed {
        "panic" => panic!("boom before the head"),
        "nothing" => drop(out),
        "fail" => ResponseOutparam::set(out, Err(ErrorCode::InternalError(Some("a secret".to_owned())))),
        "status-101" => drop(begin(out, 101, &[])),
        "loop" => spin(),
        "setting" => whole(out, 200, &std::env::var("SETTING").unwrap_or_default()),
        "trailers" => trailers(request, out),
        "many-trailers" => {
            let body = begin(out, 200, &[("trailer", "x-many")]);
            let output = body.write().expect("the stream is there");
            write(&output, b"half ");
            drop(output);
            let fields = Fields::new();
            for number in 0..101 {
                fields.append("x-many", number.to_string().as_bytes()).expect("a trailer");
            }
            OutgoingBody::finish(body, Some(fields)).expect("all is written");
        }
        "fetch" => whole(out, 200, &fetch(&String::from_utf8_lossy(&read_all(request)))),
        "count" => {
            let body = begin(out, 200, &[("content-type", "text/plain")]);
            let output = body.write().expect("the stream is there");
            let text = "0123456789abcdef".repeat(1 << 16);
            for _ in 0..8 {
                write(&output, text.as_bytes());
            }
            drop(output);
            OutgoingBody::finish(body, None).expect("all is written");
        }
        "afterwards" => {
            whole(out, 200, "done");
            std::thread::sleep(Duration::from_millis(200));
            let _id = ctx.client().start_new("Wait").instance_id("afterwards").send().expect("it starts");
        }
        "forever" => {
            let body = begin(out, 200, &[]);
            let output = body.write().expect("the stream is there");
            let _id = ctx.client().start_new("Wait").instance_id("forever").send().expect("it starts");
            while write(&output, b"again\n") {
                std::thread::sleep(Duration::from_millis(5));
            }
            let _ended = ctx.client().terminate("forever", "the client is gone");
        }
        _ => broken(deed, out),
    }
}

/// Begins well and ends badly.
fn broken(deed: &str, out: ResponseOutparam) {
    let headers: &[(&str, &str)] = if deed == "short" { &[("content-length", "10")] } else { &[] };
    let body = begin(out, 200, headers);
    let output = body.write().expect("the stream is there");
    write(&output, b"half ");
    match deed {
        "panic-later" => panic!("boom after the head"),
        "loop-later" => spin(),
        "sleep-later" => std::thread::sleep(Duration::from_secs(3600)),
        "short" => {
            drop(output);
            let _refused = OutgoingBody::finish(body, None);
        }
        "unfinished" => {
            drop(output);
            drop(body);
        }
        other => panic!("there is no deed {other}"),
    }
}

fn spin() {
    let mut number = 0_u64;
    loop {
        number = std::hint::black_box(number.wrapping_add(1));
    }
}

/// The status of an answer from outside, or why there is none.
fn fetch(address: &str) -> String {
    let request = OutgoingRequest::new(Fields::new());
    request.set_scheme(Some(&Scheme::Http)).expect("a scheme");
    request.set_authority(Some(address)).expect("an address");
    request.set_path_with_query(Some("/echo")).expect("a path");
    let answer = match wasip2::http::outgoing_handler::handle(request, None) {
        Ok(answer) => answer,
        Err(error) => return format!("{error:?}"),
    };
    answer.subscribe().block();
    match answer.get() {
        Some(Ok(Ok(response))) => response.status().to_string(),
        other => format!("{other:?}"),
    }
}
