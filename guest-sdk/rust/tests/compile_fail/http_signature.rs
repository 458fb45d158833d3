use durawasm::prelude::*;

#[durawasm::http]
fn borrowed(_ctx: FunctionContext, _request: &HttpRequest) -> Result<HttpResponse> {
    Ok(HttpResponse::new(200))
}

#[durawasm::http(route = "orders/{id}")]
fn bound(_ctx: FunctionContext, _request: HttpRequest, _id: String) -> Result<HttpResponse> {
    Ok(HttpResponse::new(200))
}

#[durawasm::http]
fn wrong_context(_ctx: ActivityContext, _request: HttpRequest) -> Result<HttpResponse> {
    Ok(HttpResponse::new(200))
}

#[durawasm::http]
fn silent(_ctx: FunctionContext, _request: HttpRequest) {}

durawasm::app!(borrowed, bound, wrong_context, silent);

fn main() {}
