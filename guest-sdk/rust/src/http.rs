//! Requests and responses of HTTP functions.

mod request;
mod response;

pub use request::HttpRequest;
pub(crate) use request::origin;
pub use response::HttpResponse;
