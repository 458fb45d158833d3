//! `GET /docs`: the description of all routes for people, a page that needs nothing from elsewhere.

use std::sync::{Arc, LazyLock};

use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use utoipa_swagger_ui::Config;

use super::error::ApiError;

/// Beside the page, so that a proxy may serve both below a path of its own.
const DOCUMENT: &str = "../openapi.json";
/// The page takes nothing from elsewhere and sends nothing elsewhere.
const POLICY: &str =
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'";

static CONFIG: LazyLock<Arc<Config<'static>>> =
    LazyLock::new(|| Arc::new(Config::from(DOCUMENT).try_it_out_enabled(true).use_base_layout().validator_url("none")));

/// The description of all routes, for people.
#[utoipa::path(
    get,
    path = "/docs",
    operation_id = "docs",
    tag = "server",
    responses(
        (status = 200, description = "A page.", body = String, content_type = "text/html"),
        (status = 308, description = "The page lies at `/docs/`."),
    ),
)]
pub(super) fn page(parts: &Parts) -> Result<Response, ApiError> {
    // The page names its parts relative to itself.
    if !parts.uri.path().ends_with('/') {
        let location = (LOCATION, HeaderValue::from_static("docs/"));
        return Ok((StatusCode::PERMANENT_REDIRECT, [location]).into_response());
    }
    file("index.html")
}

/// A part of the page.
#[utoipa::path(
    get,
    path = "/docs/{file}",
    operation_id = "docsFile",
    tag = "server",
    params(("file" = String, Path, description = "Its name.")),
    responses(
        (status = 200, description = "The file."),
        (status = 404, description = "No such file. Empty."),
    ),
)]
pub(super) fn file(name: &str) -> Result<Response, ApiError> {
    let found = utoipa_swagger_ui::serve(name, Arc::clone(&CONFIG)).ok().flatten().ok_or(ApiError::NoSuchRoute)?;
    let kind =
        HeaderValue::from_str(&found.content_type).unwrap_or(HeaderValue::from_static("application/octet-stream"));
    let headers: [(HeaderName, HeaderValue); 2] =
        [(CONTENT_TYPE, kind), (CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY))];
    Ok((headers, found.bytes.into_owned()).into_response())
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    async fn text(response: Response) -> String {
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 24).await.unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn page_at(path: &str) -> Response {
        page(&Request::get(path).body(()).unwrap().into_parts().0).ok().unwrap()
    }

    #[tokio::test]
    async fn the_page_takes_nothing_from_elsewhere() {
        let page = text(page_at("/docs/")).await;
        let parts: Vec<_> = page
            .split(['"', '\''])
            .filter(|text| [".js", ".css", ".png"].iter().any(|kind| text.ends_with(kind)))
            .collect();
        assert!(parts.len() >= 3, "{page}");
        for part in parts {
            let name = part.strip_prefix("./").unwrap_or(part);
            assert!(file(name).is_ok(), "{part}");
        }
        assert!(text(file("swagger-initializer.js").ok().unwrap()).await.contains(DOCUMENT));
    }

    #[test]
    fn the_page_lies_in_a_folder() {
        let moved = page_at("/docs");
        assert_eq!(
            (moved.status(), &moved.headers()[LOCATION]),
            (StatusCode::PERMANENT_REDIRECT, &HeaderValue::from_static("docs/"))
        );
        for missing in ["nothing", "../openapi.json", "a/b"] {
            assert!(file(missing).is_err(), "{missing}");
        }
    }
}
