//! Routes 9 and 10: rewind what has failed, restart what has ended (http-api.md 8).

use axum::http::StatusCode;
use axum::response::Response;

use super::error::ApiError;
use super::route::Base;
use super::{Call, messages, start, wire};
use crate::engine::{RestartError, SendError, StartError};

pub(super) async fn rewind(call: Call) -> Result<Response, ApiError> {
    if let Some(version) = call.query.filled("version") {
        return Err(ApiError::BadRequest(format!(
            "version={version} is not offered: an instance is rewound on the version it runs on."
        )));
    }
    match call.engine.rewind(&call.hub, call.param(0), messages::reason(&call)).await {
        Ok(()) => Ok(wire::empty(StatusCode::ACCEPTED)),
        // The clients expect a JSON string here and no error body.
        Err(SendError::NotFailed | SendError::Ended | SendError::Full) => Ok(wire::json(
            StatusCode::PRECONDITION_FAILED,
            &"Only orchestrations in the \"Failed\" state can be rewound.",
        )),
        Err(error @ (SendError::Unknown | SendError::Store(_))) => Err(error.into()),
    }
}

pub(super) async fn restart(base: Base, call: Call) -> Result<Response, ApiError> {
    let fresh_id = call.query.flag("restartwithnewinstanceid", true);
    let wait = start::wait_time(&call.query)?;
    let links_of = start::link_maker(base, &call);
    let id = call.engine.restart(&call.hub, call.param(0), fresh_id).await.map_err(|error| match error {
        RestartError::Unknown => {
            ApiError::BadRequest("InstanceId does not match a valid orchestration instance.".to_owned())
        }
        RestartError::Start(StartError::Exists { .. }) => {
            ApiError::Conflict("A non-terminal instance with this instance ID already exists.".to_owned())
        }
        RestartError::Start(error) => error.into(),
    })?;
    start::started(&call.engine, &call.hub, (&id, wait), &links_of).await
}
