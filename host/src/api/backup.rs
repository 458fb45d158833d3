//! `GET /admin/backup`: everything, as one file.

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};

use super::Call;
use super::error::{AdminError, ApiError};
use crate::store::BackupError;

/// A backup of all hubs, for `durawasm restore`.
///
/// Made while the server works. Everything acknowledged before the last byte of its rows was sent is in it. It ends with a
/// record that says that it is whole; one that breaks off, or that the server had to give up, is refused by
/// `durawasm restore`.
#[utoipa::path(
    get,
    path = "/admin/backup",
    operation_id = "backup",
    tag = "administration",
    responses(
        (status = 200, description = "The backup.", body = String, content_type = "application/octet-stream"),
        (status = 409, description = "Another backup is being made, or the server keeps its data in memory.",
            body = AdminError),
    ),
)]
pub(super) async fn get(call: Call) -> Result<Response, ApiError> {
    let refused = |status, code, error: &BackupError| {
        let text = error.to_string();
        let message =
            format!("{}.", text.get(..1).unwrap_or_default().to_uppercase() + text.get(1..).unwrap_or_default());
        Err(ApiError::Admin { status, code, message })
    };
    let file = match call.engine.backup().await {
        Ok(file) => file,
        Err(BackupError::Store(error)) => return Err(error.into()),
        Err(error @ BackupError::Busy) => return refused(StatusCode::CONFLICT, "backup-in-progress", &error),
        Err(error @ BackupError::Unsupported) => return refused(StatusCode::CONFLICT, "no-backup", &error),
    };
    let pieces = stream::unfold(file, async |mut file| {
        file.recv().await.map(|piece| (Ok::<Bytes, std::convert::Infallible>(piece), file))
    });
    let mut response = Response::new(Body::from_stream(Box::pin(pieces.fuse())));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    Ok(response)
}
