use durawasm::prelude::*;

#[durawasm::http]
fn count(_ctx: FunctionContext, _request: HttpRequest) -> Result<Vec<u32>> {
    Ok(vec![1])
}

#[durawasm::http]
fn bare(_ctx: FunctionContext) -> HttpResponse {
    HttpResponse::new(200)
}

durawasm::app!(count, bare);

fn main() {}
