//! What guests are told about how the outside sees instances: the same links and histories that clients get.

use std::sync::Arc;

use durawasm_core::{HistoryEvent, Payload};

use super::codes::Codes;
use super::history::{self, Detail};
use super::links::{LinkParts, Links};
use super::route::Base;
use super::start::RETRY_AFTER_SECONDS;
use super::{ApiSettings, ApiState};
use crate::engine::guest_client::{CheckStatusResponse, HistoryDetail, ManagementPayload, Outside};
use crate::store::HubRecord;

/// Where no request is answered, links have the configured origin.
struct Surface {
    settings: Arc<ApiSettings>,
    codes: Option<Codes>,
}

impl ApiState {
    /// How the outside sees instances through this surface.
    #[must_use]
    pub fn outside(&self) -> Arc<dyn Outside> {
        Arc::new(Surface { settings: Arc::clone(&self.settings), codes: self.codes.clone() })
    }
}

impl Surface {
    fn links(&self, hub: &HubRecord, id: &str, origin: Option<&str>) -> Links {
        let mint = self.codes.as_ref().map(|codes| codes.mint(hub, None));
        let parts = LinkParts {
            origin: origin.unwrap_or(&self.settings.public_url),
            base: Base::Webhooks,
            hub: &hub.name,
            connection: "Storage",
            failure_flag: false,
            mint: mint.as_ref(),
        };
        Links::new(id, &parts)
    }
}

impl Outside for Surface {
    fn management_payload(&self, hub: &HubRecord, id: &str, origin: Option<&str>) -> ManagementPayload {
        let links = self.links(hub, id, origin);
        ManagementPayload {
            id: links.id,
            status_query_get_uri: links.status_query_get_uri,
            send_event_post_uri: links.send_event_post_uri,
            terminate_post_uri: links.terminate_post_uri,
            rewind_post_uri: links.rewind_post_uri,
            purge_history_delete_uri: links.purge_history_delete_uri,
            restart_post_uri: links.restart_post_uri,
            suspend_post_uri: links.suspend_post_uri,
            resume_post_uri: links.resume_post_uri,
        }
    }

    fn check_status_response(&self, hub: &HubRecord, id: &str, origin: Option<&str>) -> CheckStatusResponse {
        let links = self.links(hub, id, origin);
        // A struct of strings can always be written.
        let body = serde_json::to_string(&links).unwrap_or_default();
        CheckStatusResponse { location: links.status_query_get_uri, retry_after: RETRY_AFTER_SECONDS, body }
    }

    fn history(&self, events: &[HistoryEvent], detail: HistoryDetail) -> Payload {
        let shaped = history::shape(events, Detail { input: detail.input, output: detail.output });
        serde_json::to_string(&shaped).unwrap_or_else(|_| "[]".to_owned()).into()
    }
}
