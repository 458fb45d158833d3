//! Requests and responses of HTTP functions, and the HTTP calls of orchestrators.

mod call;
mod request;
mod response;

pub use call::{HttpAnswer, HttpCall};
pub use request::HttpRequest;
pub(crate) use request::origin;
pub use response::HttpResponse;
