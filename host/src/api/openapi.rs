//! `GET /openapi.json`: the description of all routes, made from what is written above their handlers.
//!
//! A route is described by `#[utoipa::path]` on its handler and listed in [`Document`]. What all routes of a kind have in
//! common (parameters, keys, answers before any handler) is added here. A test holds the document and the table of
//! routes together, so a route without a description, or the reverse, fails it.

use std::sync::LazyLock;

use axum::http::{Method, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{ContentBuilder, PathItem, Ref, RefOr, ResponseBuilder};
use utoipa::{Modify, OpenApi};

use super::error::{AdminError, ErrorBody};
use super::route::{self, Base, Need};
use super::{
    again, apps, backup, binding, config, docs, functions, health, hub_file, hub_keys, hub_usage, hubs, list, logs,
    messages, metrics, moves, purge, schema, start, status, versions, wire,
};

/// Below it lie the routes that take `taskHub` and `connection`.
const MANAGEMENT: &str = "/runtime/webhooks/durabletask/";
const START_WITH_ID: &str = "/runtime/webhooks/durabletask/orchestrators/{function}/{id}";
const START: &str = "/runtime/webhooks/durabletask/orchestrators/{function}";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "durawasm",
        license(name = "MIT OR Apache-2.0"),
        description = "Self-hosted Durable Functions for WebAssembly components.\n\n\
            The management routes are served on three bases alike: `/runtime/webhooks/durabletask`, \
            `/admin/extensions/DurableTaskExtension`, and the base of the SDKs, which is `/durabletask` on a server without \
            an admin key and `/durabletask/{token}` on one with it. Literal segments match whatever their case; a trailing \
            slash is fine; `HEAD` is answered as `GET`, without the body; anything else is 404 with an empty body.\n\n\
            A server without an admin key takes no keys and answers to loopback names only. A server with one wants it, or \
            a key of the hub with the scope that the route names, or a code of its own making: the one in an instance's \
            links opens the routes of that instance, the one in a hub's binding the management routes of that hub. Answers of more than 1 KiB are compressed with gzip for \
            those who accept it."
    ),
    paths(
        start::start,
        status::status,
        messages::raise_event,
        messages::terminate,
        messages::suspend,
        messages::resume,
        again::rewind,
        again::restart,
        logs::logs,
        moves::history,
        moves::move_one,
        moves::move_many,
        list::list,
        list::statistics,
        purge::one,
        purge::many,
        apps::put,
        apps::get,
        versions::list,
        versions::versions_of,
        versions::activate,
        versions::delete,
        hubs::list,
        hubs::put,
        hubs::get,
        hubs::delete,
        hub_usage::get,
        config::get,
        config::put,
        hub_keys::list,
        hub_keys::create,
        hub_keys::rotate,
        hub_keys::revoke,
        binding::get,
        backup::get,
        hub_file::export,
        hub_file::import,
        functions::manual,
        health::healthz,
        health::readyz,
        metrics::metrics,
        document,
        docs::page,
        docs::file,
    ),
    components(schemas(schema::HistoryEvent, ErrorBody, AdminError)),
    tags(
        (name = "instances", description = "Starting and managing instances."),
        (name = "administration", description = "Hubs, keys, apps and bindings."),
        (name = "server", description = "Health, metrics and documentation."),
    ),
    modifiers(&StartWithoutId, &Common),
)]
struct Document;

/// This document.
#[utoipa::path(
    get,
    path = "/openapi.json",
    operation_id = "openapi",
    tag = "server",
    responses((status = 200, description = "OpenAPI 3.1.", body = serde_json::Value)),
)]
pub(super) fn document() -> Response {
    static TEXT: LazyLock<Bytes> = LazyLock::new(|| Document::openapi().to_json().unwrap_or_default().into());
    wire::json_text(StatusCode::OK, TEXT.clone())
}

/// A start may leave out the id: the same operation on a shorter path.
struct StartWithoutId;

impl Modify for StartWithoutId {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let Some(mut start) = openapi.paths.paths.get(START_WITH_ID).cloned() else { return };
        if let Some(operation) = &mut start.post {
            operation.operation_id = Some("start".to_owned());
            if let Some(parameters) = &mut operation.parameters {
                parameters.retain(|parameter| !matches!(parameter, RefOr::T(Parameter { name, .. }) if name == "id"));
            }
        }
        openapi.paths.paths.insert(START.to_owned(), start);
    }
}

/// What the guards before the handlers add to every route that a key opens.
struct Common;

impl Modify for Common {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let components = openapi.components.get_or_insert_default();
        let in_query = ApiKeyValue::with_description("code", "A key, or a minted code.");
        components.add_security_scheme("code", SecurityScheme::ApiKey(ApiKey::Query(in_query)));
        let in_header = ApiKeyValue::with_description("x-functions-key", "The same as a header.");
        components.add_security_scheme("functionsKey", SecurityScheme::ApiKey(ApiKey::Header(in_header)));
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("The same as a bearer token."));
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer.build()));
        for (path, item) in &mut openapi.paths.paths {
            let management = path.starts_with(MANAGEMENT);
            for (method, operation) in operations(item) {
                describe_foreign_host(operation);
                match need(&method, path) {
                    Need::Nothing => {}
                    need => describe_key(operation, need),
                }
                if management {
                    describe_hub(operation);
                }
            }
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (Method, &mut Operation)> {
    let all = [
        (Method::GET, &mut item.get),
        (Method::PUT, &mut item.put),
        (Method::POST, &mut item.post),
        (Method::DELETE, &mut item.delete),
    ];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

/// What the table of routes says that an operation needs.
fn need(method: &Method, path: &str) -> Need {
    let bases = [(Base::Webhooks, MANAGEMENT), (Base::Admin, "/admin/"), (Base::Root, "/")];
    let find = |(base, prefix): (Base, &str)| {
        let below = path.strip_prefix(prefix)?;
        let is = |row: &&route::Row| row.0 == *method && row.1.eq_ignore_ascii_case(below);
        route::table(base).iter().find(is).map(|row| row.3)
    };
    bases.into_iter().find_map(find).unwrap_or(Need::Admin)
}

fn describe_foreign_host(operation: &mut Operation) {
    let text = "The server has no admin key and was asked under a foreign name, or by a web page of another site.";
    answer(operation, "403", text);
}

fn describe_key(operation: &mut Operation, need: Need) {
    let requirement = |name| SecurityRequirement::new(name, [need.name()]);
    operation.security = Some(["code", "functionsKey", "bearer"].map(requirement).to_vec());
    let empty = ResponseBuilder::new().description("The key or code is missing or wrong. Empty.");
    operation.responses.responses.insert("401".to_owned(), empty.build().into());
    answer(operation, "403", "The key has another scope, or is of another hub.");
    answer(
        operation,
        "429",
        "The hub is at one of its limits, or too many wrong keys came from this address. `Retry-After` says when to try again.",
    );
    answer(operation, "500", "Something is wrong with the server; its log says what.");
    answer(
        operation,
        "503",
        "The server starts, its store is unavailable, or all places for guests are taken. `Retry-After` says when to try again.",
    );
}

fn describe_hub(operation: &mut Operation) {
    let parameter = |name: &str, text: &str| {
        let schema = utoipa::openapi::ObjectBuilder::new().schema_type(utoipa::openapi::schema::Type::String);
        let parameter = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Query);
        parameter.description(Some(text)).schema(Some(schema)).build().into()
    };
    let parameters = operation.parameters.get_or_insert_default();
    parameters.push(parameter("taskHub", "The task hub. Default: `default`."));
    parameters.push(parameter("connection", "Repeated in links. Default: `Storage`."));
    answer(operation, "400", "A bad name of a hub.");
    answer(operation, "404", "No such hub.");
}

/// Adds a cause to those that the handler gives for a status, or the status with its cause.
fn answer(operation: &mut Operation, status: &str, text: &str) {
    let own = operation.responses.responses.get_mut(status);
    if let Some(RefOr::T(response)) = own {
        response.description = format!("{} Or: {text}", response.description);
        return;
    }
    let body = ContentBuilder::new().schema(Some(Ref::from_schema_name("ErrorBody"))).build();
    let response = ResponseBuilder::new().description(text).content("application/json", body);
    operation.responses.responses.insert(status.to_owned(), response.build().into());
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::route::table;
    use super::*;

    fn document() -> serde_json::Value {
        serde_json::from_str(&Document::openapi().to_json().unwrap()).unwrap()
    }

    fn routes() -> BTreeSet<(String, String)> {
        let bases = [(Base::Webhooks, "/runtime/webhooks/durabletask/"), (Base::Admin, "/admin/"), (Base::Root, "/")];
        let under = |(base, prefix): (Base, &'static str)| {
            table(base).iter().map(move |(method, pattern, ..)| (method.to_string(), format!("{prefix}{pattern}")))
        };
        bases.into_iter().flat_map(under).map(|(method, path)| (method, path.to_lowercase())).collect()
    }

    #[test]
    fn the_document_and_the_table_of_routes_are_the_same() {
        let mut described = BTreeSet::new();
        for (path, item) in document()["paths"].as_object().unwrap() {
            for method in item.as_object().unwrap().keys() {
                described.insert((method.to_uppercase(), path.to_lowercase()));
            }
        }
        assert_eq!(described, routes());
    }

    #[test]
    fn every_parameter_of_a_path_is_described_and_every_operation_has_its_own_id() {
        let mut ids = BTreeSet::new();
        for (path, item) in document()["paths"].as_object().unwrap() {
            let named: BTreeSet<_> =
                path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
            for (method, operation) in item.as_object().unwrap() {
                let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
                let in_path = parameters.iter().filter(|parameter| parameter["in"] == "path");
                let described: BTreeSet<_> = in_path.filter_map(|parameter| parameter["name"].as_str()).collect();
                assert_eq!(described, named, "{method} {path}");
                let id = operation["operationId"].as_str().unwrap().to_owned();
                assert!(ids.insert(id.clone()), "{id} twice");
            }
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = document();
        assert!(document["openapi"].as_str().unwrap().starts_with("3.1."), "{}", document["openapi"]);
        let text = document.to_string();
        let references: BTreeSet<_> =
            text.split("\"$ref\":\"#").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert!(references.len() >= 8, "{references:?}");
        for reference in references {
            assert!(document.pointer(reference).is_some(), "{reference}");
        }
    }

    #[test]
    fn keys_are_asked_for_where_they_are_needed() {
        let document = document();
        for (path, item) in document["paths"].as_object().unwrap() {
            for operation in item.as_object().unwrap().values() {
                let keyed = path.starts_with(MANAGEMENT) || path.starts_with("/admin/") || path == "/metrics";
                assert_eq!(operation.get("security").is_some(), keyed, "{path}");
                assert_eq!(operation["responses"].get("401").is_some(), keyed, "{path}");
            }
        }
        let scope = |path: &str, method: &str| document["paths"][path][method]["security"][0]["code"][0].clone();
        assert_eq!(scope("/admin/hubs/{hub}/apps/{app}", "put"), "deploy");
        assert_eq!(scope("/admin/hubs/{hub}/keys", "get"), "admin");
        assert_eq!(scope("/runtime/webhooks/durabletask/instances/{id}", "get"), "read");
        assert_eq!(document["components"]["securitySchemes"]["functionsKey"]["name"], "x-functions-key");
    }
}
