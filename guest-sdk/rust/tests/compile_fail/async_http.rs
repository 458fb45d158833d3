use durawasm::prelude::*;

#[durawasm::http]
async fn start(_ctx: FunctionContext, _request: HttpRequest) -> Result<HttpResponse> {
    Ok(HttpResponse::new(200))
}

durawasm::app!(start);

fn main() {}
