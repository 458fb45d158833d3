//! Why a call of the client did nothing.

use std::fmt;

use crate::bindings::durable::functions::client as wit;
use crate::client::InstanceStatus;
use crate::error::Error;

/// Why a call of the [`DurableClient`](crate::DurableClient) did nothing.
///
/// `?` turns it into the [`Error`] of this crate, whose type is then the path of the variant
/// (`durawasm::ClientError::NotFound`), and `HttpResponse::from` into the answer the management API would give.
///
/// ```no_run
/// # use durawasm::prelude::*;
/// # fn example(client: DurableClient) -> Result<HttpResponse> {
/// match client.start_new("Backup").instance_id("nightly").send() {
///     Ok(id) => Ok(id.into()),
///     Err(ClientError::AlreadyExists(status)) => Ok(HttpResponse::new(409).text(status.runtime_status.as_str())),
///     Err(error) => Err(error.into()),
/// }
/// # }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ClientError {
    /// The id is taken by an instance that the start may not replace: this one.
    AlreadyExists(Box<InstanceStatus>),
    /// There is no such instance.
    NotFound,
    /// The instance has ended.
    Ended,
    /// Only failed instances can be rewound.
    NotFailed,
    /// Only instances that have ended can be purged.
    NotEnded,
    /// The request makes no sense; says why.
    Invalid(String),
    /// Too much of something; says what and how much is allowed.
    Limit(String),
    /// The host cannot do it now; trying again later may help.
    Unavailable(String),
}

impl ClientError {
    /// The path of the variant: what [`Error`] shows as the type.
    pub(crate) fn path(&self) -> &'static str {
        match self {
            Self::AlreadyExists(_) => "durawasm::ClientError::AlreadyExists",
            Self::NotFound => "durawasm::ClientError::NotFound",
            Self::Ended => "durawasm::ClientError::Ended",
            Self::NotFailed => "durawasm::ClientError::NotFailed",
            Self::NotEnded => "durawasm::ClientError::NotEnded",
            Self::Invalid(_) => "durawasm::ClientError::Invalid",
            Self::Limit(_) => "durawasm::ClientError::Limit",
            Self::Unavailable(_) => "durawasm::ClientError::Unavailable",
        }
    }

    /// An input that cannot be written as JSON.
    pub(crate) fn unwritable(error: &Error) -> Self {
        Self::Invalid(error.message.clone())
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlreadyExists(status) => {
                let (id, state) = (&status.instance_id, status.runtime_status);
                write!(f, "an instance with the id {id:?} exists already; it is {state}")
            }
            Self::NotFound => f.write_str("there is no such instance"),
            Self::Ended => f.write_str("the instance has ended"),
            Self::NotFailed => f.write_str("only failed instances can be rewound"),
            Self::NotEnded => f.write_str("only instances that have ended can be purged; terminate it first"),
            Self::Invalid(why) | Self::Limit(why) | Self::Unavailable(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for ClientError {}

impl From<wit::Error> for ClientError {
    fn from(error: wit::Error) -> Self {
        match error {
            wit::Error::AlreadyExists(status) => Self::AlreadyExists(Box::new(status.into())),
            wit::Error::NotFound => Self::NotFound,
            wit::Error::Ended => Self::Ended,
            wit::Error::NotFailed => Self::NotFailed,
            wit::Error::NotEnded => Self::NotEnded,
            wit::Error::Invalid(why) => Self::Invalid(why),
            wit::Error::Limit(why) => Self::Limit(why),
            wit::Error::Unavailable(why) => Self::Unavailable(why),
        }
    }
}
