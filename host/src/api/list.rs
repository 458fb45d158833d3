//! Route 3, the list of instances (http-api.md 6), and the counts, a route of our own.
//!
//! A page is its instances' numbers first, then the instances one after the other as the answer is written: however
//! large they are, few of them are in memory.

use std::collections::BTreeMap;
use std::vec::IntoIter;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use durawasm_core::Status;
use http_body_util::BodyExt;
use http_body_util::channel::{Channel, Sender};
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::error::{ApiError, ErrorBody};
use super::query::Query;
use super::route::Base;
use super::status::{Envelope, Shown, envelope};
use super::{Call, wire};
use crate::engine::Engine;
use crate::store::{Filter, InstanceNumber, ListQuery, PayloadParts, Position, StatusCounts, StoreError};

/// Instances in a page when nobody says how many.
const PAGE: usize = 100;
/// Instances in a page at most, and what the RPC base answers when nobody says how many: the Python client never asks
/// for a second page.
const LARGEST_PAGE: usize = 10_000;
/// Pages of the store that an answer on the RPC base is gathered from at most.
const MOST_PAGES: usize = 500;
/// Bytes that are written before they are sent.
const CHUNK: usize = 64 << 10;
/// Chunks that may wait for a slow client.
const CHUNKS_AHEAD: usize = 2;
/// Where an answer says how to go on, and a request where to.
const TOKEN: HeaderName = HeaderName::from_static("x-ms-continuation-token");

/// Which instances a query means.
pub(super) fn filter(query: &Query) -> Filter {
    Filter {
        created_from: query.time("createdtimefrom"),
        created_to: query.time("createdtimeto"),
        updated_to: None,
        statuses: query.statuses("runtimestatus"),
        name: query.filled("name").map(str::to_owned),
        id_prefix: query.filled("instanceidprefix").map(str::to_owned),
    }
}

/// Lists instances, oldest first.
///
/// A page may be short and still have a continuation.
#[utoipa::path(
    get,
    path = "/runtime/webhooks/durabletask/instances",
    operation_id = "listInstances",
    tag = "instances",
    params(
        ("createdTimeFrom" = Option<String>, Query, description = "ISO 8601, inclusive."),
        ("createdTimeTo" = Option<String>, Query, description = "ISO 8601, inclusive."),
        ("runtimeStatus" = Option<String>, Query, description = "Names or numbers, separated by commas; unknown ones are \
            dropped."),
        ("name" = Option<String>, Query, description = "The orchestrator function."),
        ("instanceIdPrefix" = Option<String>, Query, description = "The beginning of the id."),
        ("showInput" = Option<bool>, Query, description = "Shows inputs. Default: true."),
        ("top" = Option<u32>, Query, description = "At most so many, and at most 10,000. Default: 100; on the base of the \
            SDKs 10,000."),
        ("x-ms-continuation-token" = Option<String>, Header, description = "Of the page before."),
    ),
    responses(
        (status = 200, description = "The instances, without histories.", body = [Envelope], headers(
            ("x-ms-continuation-token" = String, description = "Where the next page begins; empty: this was the last."))),
        (status = 400, description = "The continuation token is not one of this server.", body = ErrorBody),
    ),
)]
pub(super) async fn list(base: Base, call: Call) -> Result<Response, ApiError> {
    let top = call.query.integer("top").filter(|top| *top > 0);
    let (limit, pages) = match (top, base) {
        (Some(top), _) => (usize::try_from(top).unwrap_or(LARGEST_PAGE).min(LARGEST_PAGE), 1),
        (None, Base::Rpc) => (LARGEST_PAGE, MOST_PAGES),
        (None, Base::Webhooks | Base::Extension | Base::Admin | Base::Root) => (PAGE, 1),
    };
    let filter = filter(&call.query);
    let query = ListQuery { filter: filter.clone(), after: position(&call.parts.headers)?, limit };
    let (numbers, next) = call.engine.find(&call.hub, query, pages).await?;
    let shown_input = call.query.flag("showinput", true);
    let mut rows = Rows { engine: call.engine, numbers: numbers.into_iter(), filter, shown_input, written: 0 };
    let text = rows.chunk().await?;
    let body = if rows.numbers.len() == 0 { Body::from(text) } else { rows.stream(text) };
    let mut response = wire::json_text(StatusCode::OK, body);
    let next = next.map(|next| next.to_token()).unwrap_or_default();
    let next = HeaderValue::from_str(&next).unwrap_or(HeaderValue::from_static(""));
    response.headers_mut().insert(TOKEN, next);
    Ok(response)
}

/// Instances on their way into an answer.
struct Rows {
    engine: Engine,
    numbers: IntoIter<InstanceNumber>,
    filter: Filter,
    shown_input: bool,
    /// Instances written so far.
    written: usize,
}

impl Rows {
    /// The next part of the answer.
    async fn chunk(&mut self) -> Result<Bytes, StoreError> {
        let parts = PayloadParts { input: self.shown_input, ..PayloadParts::ALL };
        let mut text = Vec::new();
        if self.written == 0 {
            text.push(b'[');
        }
        while text.len() < CHUNK
            && let Some(number) = self.numbers.next()
        {
            // One that has gone, or has moved on to what was not asked for, is left out.
            let Some(view) = self.engine.snapshot(number, parts).await? else { continue };
            if !self.filter.admits(&view.record) {
                continue;
            }
            if self.written > 0 {
                text.push(b',');
            }
            self.written += 1;
            serde_json::to_writer(&mut text, &envelope(&view, Shown::in_list(self.shown_input)))
                .map_err(|error| StoreError::Corrupt(format!("an instance cannot be shown: {error}")))?;
        }
        if self.numbers.len() == 0 {
            text.push(b']');
        }
        Ok(Bytes::from(text))
    }

    /// The whole answer, `first` being what is written already.
    fn stream(self, first: Bytes) -> Body {
        let (sender, body) = Channel::<Bytes, StoreError>::new(CHUNKS_AHEAD);
        tokio::spawn(self.send(first, sender));
        // The compressing layer asks once more after the end, which a channel does not bear.
        Body::new(body.fuse())
    }

    async fn send(mut self, first: Bytes, mut sender: Sender<Bytes, StoreError>) {
        let mut chunk = first;
        loop {
            // Nobody reads any more.
            if sender.send_data(chunk).await.is_err() || self.numbers.len() == 0 {
                return;
            }
            chunk = match self.chunk().await {
                Ok(chunk) => chunk,
                Err(error) => {
                    tracing::error!(%error, "a list broke off");
                    sender.abort(error);
                    return;
                }
            };
        }
    }
}

/// Where a request wants to go on.
fn position(headers: &HeaderMap) -> Result<Option<Position>, ApiError> {
    let Some(value) = headers.get(TOKEN).filter(|value| !value.is_empty()) else { return Ok(None) };
    // Beginning again in silence would send a client round in circles.
    let refused = || {
        ApiError::BadRequest(format!("The header {TOKEN} is not one that this server has sent: ask again without it."))
    };
    value.to_str().ok().and_then(Position::from_token).map(Some).ok_or_else(refused)
}

/// Counts instances by status.
#[utoipa::path(
    get,
    path = "/runtime/webhooks/durabletask/statistics",
    operation_id = "statistics",
    tag = "instances",
    params(
        ("byName" = Option<bool>, Query, description = "By orchestrator function and status. Default: false."),
        ("name" = Option<String>, Query, description = "Only those of this orchestrator function."),
    ),
    responses((status = 200, description = "How many instances have which status.", body = serde_json::Value)),
)]
pub(super) async fn statistics(call: Call) -> Result<Response, ApiError> {
    let mut counts = call.engine.counts(&call.hub).await?;
    if let Some(name) = call.query.filled("name") {
        counts.by_name.retain(|known, _| known == name);
    }
    if call.query.flag("byname", false) {
        let by_name: BTreeMap<_, _> = counts.by_name.iter().map(|(name, counts)| (name, ByStatus(counts))).collect();
        return Ok(wire::json(StatusCode::OK, &by_name));
    }
    Ok(wire::json(StatusCode::OK, &ByStatus(&counts.all())))
}

/// Every status with its count, in the order of their numbers.
struct ByStatus<'a>(&'a StatusCounts);

impl Serialize for ByStatus<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(Status::ALL.len()))?;
        for status in Status::ALL {
            map.serialize_entry(status.name(), &self.0.get(status))?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use durawasm_core::Timestamp;

    use super::*;

    #[test]
    fn tokens_come_back_and_nothing_else_is_one() {
        let position = Position { created: "2026-05-04T03:02:01.123456789Z".parse().unwrap(), id: "ä b".into() };
        assert_eq!(Position::from_token(&position.to_token()), Some(position.clone()));
        let early = Position { created: Timestamp::MIN, ..position.clone() };
        assert_eq!(Position::from_token(&early.to_token()), Some(early));
        for bad in ["x", "01", "02", "null", &"01ff".repeat(20), &format!("{}ff", position.to_token())] {
            assert_eq!(Position::from_token(bad), None, "{bad}");
        }
        let mut headers = HeaderMap::new();
        assert!(matches!(super::position(&headers), Ok(None)));
        headers.insert(TOKEN, HeaderValue::from_static(""));
        assert!(matches!(super::position(&headers), Ok(None)));
        headers.insert(TOKEN, HeaderValue::from_static("bm9wZQ=="));
        assert!(matches!(super::position(&headers), Err(ApiError::BadRequest(_))));
    }
}
