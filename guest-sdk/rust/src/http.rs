//! Requests and responses of HTTP functions.

mod request;
mod response;

pub use request::HttpRequest;
pub use response::HttpResponse;
