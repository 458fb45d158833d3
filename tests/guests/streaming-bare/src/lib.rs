//! An app that only exports the handler of `wasi:http`, and declares nothing: it answers whatever nobody else does.

use wasip2::http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};

wit_bindgen::generate!({
    path: "../../../wit",
    inline: "
        package test:bare;

        world app {
            import durable:functions/function-context@0.1.0;
            export durable:functions/describe@0.1.0;
        }
    ",
    generate_all,
});

use durable::functions::function_context;
use exports::durable::functions::describe;

struct App;

export!(App);

impl describe::Guest for App {
    fn describe() -> Result<describe::App, String> {
        Ok(describe::App { sdk: "none".to_owned(), version: None, functions: vec![] })
    }
}

wasip2::http::proxy::export!(App with_types_in wasip2);

impl wasip2::exports::http::incoming_handler::Guest for App {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let response = OutgoingResponse::new(Fields::new());
        let body = response.body().expect("the body is there");
        ResponseOutparam::set(out, Ok(response));
        let output = body.write().expect("the stream is there");
        let text =
            format!("{} answers {}", function_context::info().name, request.path_with_query().unwrap_or_default());
        output.blocking_write_and_flush(text.as_bytes()).expect("the client is there");
        drop(output);
        OutgoingBody::finish(body, None).expect("all is written");
    }
}
