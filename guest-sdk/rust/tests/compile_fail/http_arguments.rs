use durawasm::prelude::*;

#[durawasm::http(route = "/orders")]
fn slash(_ctx: FunctionContext) -> Result<HttpResponse> {
    Ok(HttpResponse::new(200))
}

#[durawasm::http(route = "orders/{id:int}")]
fn constraint(_ctx: FunctionContext) -> Result<HttpResponse> {
    Ok(HttpResponse::new(200))
}

#[durawasm::http(auth = "nobody")]
fn level(_ctx: FunctionContext) -> Result<HttpResponse> {
    Ok(HttpResponse::new(200))
}

#[durawasm::http(methods = "GET")]
fn method(_ctx: FunctionContext) -> Result<HttpResponse> {
    Ok(HttpResponse::new(200))
}

#[durawasm::http(path = "orders")]
fn unknown(_ctx: FunctionContext) -> Result<HttpResponse> {
    Ok(HttpResponse::new(200))
}

#[durawasm::http("orders")]
fn bare(_ctx: FunctionContext) -> Result<HttpResponse> {
    Ok(HttpResponse::new(200))
}

durawasm::app!(slash, constraint, level, method, unknown, bare);

fn main() {}
