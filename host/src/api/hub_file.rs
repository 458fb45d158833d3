//! `/admin/hubs/{hub}/export` and `import`: one hub as a file, and a hub from such a file.

use std::io::Write as _;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use serde::Serialize;
use tokio::io::AsyncReadExt as _;
use utoipa::ToSchema;

use super::error::{AdminError, ApiError};
use super::{Call, wire};
use crate::engine::{ExportError, ImportError, Imported};
use crate::store::StoreError;

/// Bytes that are sent at once.
const PART: usize = 256 << 10;
/// How long nothing may come of a file.
const PATIENCE: Duration = Duration::from_secs(60);

/// What an import has made.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ImportedHub)]
pub(super) struct ImportedView {
    hub: String,
    apps: u64,
    instances: u64,
    /// Between instances, not delivered yet.
    messages: u64,
}

/// A hub as a file, for an import into this or another server.
///
/// It has the hub's configuration, apps with their components, instances with histories, timers, and the messages between
/// them; no keys and no logs. While it is put together, the hub's instances wait, so that it is the hub of one moment.
#[utoipa::path(
    get,
    path = "/admin/hubs/{hub}/export",
    operation_id = "exportHub",
    tag = "administration",
    params(
        ("hub" = String, Path, description = "The task hub."),
        ("secrets" = Option<bool>, Query, description = "With the values of its secrets, readable. Default: false."),
    ),
    responses(
        (status = 200, description = "The file.", body = String, content_type = "application/octet-stream"),
        (status = 400, description = "A bad name of a hub.", body = AdminError),
        (status = 404, description = "No such hub.", body = AdminError),
        (status = 409, description = "It is being deleted.", body = AdminError),
    ),
)]
pub(super) async fn export(call: Call) -> Result<Response, ApiError> {
    let file = call.engine.export_hub(&call.hub, call.query.flag("secrets", false)).await?;
    let parts = stream::unfold(tokio::fs::File::from_std(file), async |mut file| {
        let mut part = vec![0; PART];
        match file.read(&mut part).await {
            Ok(0) => None,
            Ok(length) => {
                part.truncate(length);
                Some((Ok(Bytes::from(part)), file))
            }
            Err(error) => Some((Err(error), file)),
        }
    });
    // What encodes an answer asks once more after its end.
    let mut response = Response::new(Body::from_stream(Box::pin(parts.fuse())));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    Ok(response)
}

/// Makes a hub from a file.
///
/// The hub must not exist; it need not have the name it had. It has no keys. Its instances go on from where they were, its
/// timer functions with their next occurrence. Before anything is changed, all of the file is read.
#[utoipa::path(
    put,
    path = "/admin/hubs/{hub}/import",
    operation_id = "importHub",
    tag = "administration",
    params(("hub" = String, Path, pattern = "^[a-zA-Z][a-zA-Z0-9]{2,44}$", description = "The task hub to be.")),
    request_body(content = String, content_type = "application/octet-stream"),
    responses(
        (status = 201, description = "Imported, durably.", body = ImportedView),
        (status = 400, description = "A bad name, or no whole file of a hub that this version reads.", body = AdminError),
        (status = 409, description = "A hub of this name exists, or is being deleted.", body = AdminError),
    ),
)]
pub(super) async fn import(call: Call) -> Result<Response, ApiError> {
    let broken = |error: std::io::Error| StoreError::Unavailable(format!("the file cannot be kept: {error}"));
    let mut file = tempfile::tempfile().map_err(broken)?;
    let mut body = call.body.into_data_stream();
    loop {
        let part = tokio::time::timeout(PATIENCE, body.next()).await.map_err(|_| ApiError::SlowBody)?;
        let Some(part) = part else { break };
        file.write_all(&part.map_err(|_| ApiError::BrokenBody)?).map_err(broken)?;
    }
    let Imported { apps, instances, messages } =
        call.engine.import_hub(&call.hub, file, call.settings.component_limit).await?;
    let view = ImportedView { hub: call.hub.to_string(), apps, instances, messages };
    Ok(wire::json(StatusCode::CREATED, &view))
}

impl From<ExportError> for ApiError {
    fn from(error: ExportError) -> Self {
        match error {
            ExportError::Hub(error) => error.into(),
            ExportError::Store(error) => error.into(),
            ExportError::Components(_) | ExportError::Io(_) => Self::Admin {
                status: StatusCode::SERVICE_UNAVAILABLE,
                code: "export-failed",
                message: error.to_string(),
            },
        }
    }
}

impl From<ImportError> for ApiError {
    fn from(error: ImportError) -> Self {
        let message = error.to_string();
        let (status, code) = match error {
            ImportError::Exists(_) => (StatusCode::CONFLICT, "hub-exists"),
            ImportError::File(_) | ImportError::Layout { .. } | ImportError::Content(_) => {
                (StatusCode::BAD_REQUEST, "bad-hub-file")
            }
            ImportError::Component(_) => (StatusCode::BAD_REQUEST, "component-refused"),
            ImportError::Hub(error) => return error.into(),
            ImportError::Store(error) => return Self::Store(error),
        };
        Self::Admin { status, code, message }
    }
}
