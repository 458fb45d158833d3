//! The databases of this app: whatever takes JSON documents by `POST`, where the hub's configuration says.

use durawasm::prelude::*;
use serde::Serialize;
use serde_json::Value;
use wstd::http::{Body, Client, Request};
use wstd::runtime::block_on;

/// A database to try this with: it takes a document and shows it in the log.
#[durawasm::http(name = "TakeDocument", route = "documents", methods = ["POST"], auth = "anonymous")]
pub fn take_document(ctx: FunctionContext, request: HttpRequest) -> Result<HttpResponse> {
    durawasm::info!(ctx, "document: {}", request.json::<Value>()?);
    Ok(HttpResponse::new(201))
}

/// Saves a document in the database whose URL is the setting of this name.
pub fn save(setting: &str, document: &impl Serialize) -> Result<()> {
    let Ok(url) = std::env::var(setting) else {
        durawasm::bail!("cannot connect to the database: the setting {setting} is missing");
    };
    let request = Request::post(&url).header("content-type", "application/json");
    let request = request.body(Body::from(serde_json::to_vec(document)?));
    let request = request.map_err(|error| no_connection(setting, &url, &error))?;
    let answer = block_on(Client::new().send(request)).map_err(|error| no_connection(setting, &url, &error))?;
    if !answer.status().is_success() {
        durawasm::bail!("the database at {url} has not taken the document: {}", answer.status());
    }
    Ok(())
}

fn no_connection(setting: &str, url: &str, error: &dyn std::fmt::Display) -> Error {
    Error::new("NoConnection", format!("cannot connect to the database: {setting} is '{url}': {error}"))
}
