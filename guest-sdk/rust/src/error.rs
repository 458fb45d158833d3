//! Errors: what functions fail with and what failed calls give.

use std::any::Any;
use std::error::Error as StdError;
use std::fmt;
use std::panic::Location;

use crate::bindings::durable::functions::types as wit;
use crate::client::ClientError;

/// The type of errors that an HTTP function answers with 400 and their message.
pub(crate) const BAD_REQUEST: &str = "BadRequest";

/// The result of a function: `Ok` becomes its output, `Err` its failure.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a function failed, as the host stores it and shows it to the caller.
///
/// A [`std::error::Error`], so `?` takes it wherever errors go, and through [`Error`] unchanged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failure {
    /// The kind of error: for an error of a Rust type the path of the type, for one from another language its
    /// class.
    pub error_type: String,
    /// What went wrong, for a person.
    pub message: String,
    /// Where it happened.
    pub stack_trace: Option<String>,
    /// True: no retry policy tries again.
    pub non_retriable: bool,
    /// The chain of inner causes, outermost first.
    pub causes: Vec<Cause>,
    /// Further facts as the text of a JSON object.
    pub properties: Option<String>,
}

/// One link of the chain of causes of a [`Failure`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cause {
    /// See [`Failure::error_type`].
    pub error_type: String,
    /// See [`Failure::message`].
    pub message: String,
    /// See [`Failure::stack_trace`].
    pub stack_trace: Option<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Failure {}

/// The error of this crate: a [`Failure`] that every standard error turns into with `?`.
///
/// It remembers the type, the message, the line of the `?` and the chain of sources.
///
/// # Errors and rewinding
///
/// A failed instance can be rewound: the host finds the failed call that the orchestrator's error is due to, forgets what
/// the code did after it learned of that, and runs the call again. It recognises the call by its failure, so pass that
/// on with `?` or [`Error::context`], which keep it as a cause. An error made anew is taken for the code's own, and only
/// the last stretch of the code runs again.
///
/// ```no_run
/// # use durawasm::prelude::*;
/// # async fn example(ctx: OrchestrationContext) -> Result<()> {
/// ctx.call_activity::<()>("Pay", 100).await.context("the order is not paid")?;
/// # Ok(())
/// # }
/// ```
///
/// What was compensated should not fail but end with a result that says so: a rewind would forget the compensation.
///
/// ```
/// use durawasm::prelude::*;
///
/// fn parse(text: &str) -> Result<u32> {
///     Ok(text.trim().parse::<u32>()?)
/// }
///
/// let error = parse("seven").unwrap_err();
/// assert_eq!(error.error_type, "core::num::error::ParseIntError");
/// assert_eq!(error.to_string(), "invalid digit found in string");
/// ```
// Not a `std::error::Error` itself: the conversion from every such error would then overlap `From<T> for T`.
pub struct Error(Box<Failure>);

impl Error {
    /// An error with a type of the author's choice and a message.
    ///
    /// ```
    /// let error = durawasm::Error::new("OutOfStock", "no more teapots");
    /// assert_eq!(error.error_type, "OutOfStock");
    /// ```
    #[track_caller]
    pub fn new(error_type: impl Into<String>, message: impl fmt::Display) -> Self {
        Self(Box::new(Failure {
            error_type: error_type.into(),
            message: message.to_string(),
            stack_trace: Some(caller()),
            ..Failure::default()
        }))
    }

    /// An error with a message only; its type is `Error`.
    ///
    /// ```
    /// assert_eq!(durawasm::Error::msg("no").to_string(), "no");
    /// ```
    #[track_caller]
    pub fn msg(message: impl fmt::Display) -> Self {
        Self::new("Error", message)
    }

    /// An error of the client that called an HTTP function: it is answered with 400 and the message as a text. (All other
    /// errors are answered with 500 and tell the client nothing.) Its type is `BadRequest`.
    ///
    /// ```
    /// use durawasm::prelude::*;
    ///
    /// fn amount(request: &HttpRequest) -> Result<u32> {
    ///     let amount = request.query("amount").ok_or_else(|| Error::bad_request("how many?"))?;
    ///     amount.parse().map_err(|_| Error::bad_request("the amount is not a number"))
    /// }
    ///
    /// let request = HttpRequest::new("GET", "http://localhost/").with_query("amount", "many");
    /// assert_eq!(amount(&request).unwrap_err().to_string(), "the amount is not a number");
    /// ```
    pub fn bad_request(message: impl fmt::Display) -> Self {
        Self::of_sdk(BAD_REQUEST, message.to_string()).non_retriable()
    }

    /// An error that this crate found: a line of this crate would tell nobody anything.
    pub(crate) fn of_sdk(error_type: &str, message: String) -> Self {
        Self(Box::new(Failure { error_type: error_type.to_owned(), message, ..Failure::default() }))
    }

    /// The same error, which no retry policy tries again.
    ///
    /// ```
    /// let error = durawasm::Error::msg("the card is blocked").non_retriable();
    /// assert!(error.non_retriable);
    /// ```
    #[must_use]
    pub fn non_retriable(mut self) -> Self {
        self.0.non_retriable = true;
        self
    }

    /// The same error with further facts, shown next to it by the management API. What is not a JSON object is left
    /// out.
    ///
    /// ```
    /// let error = durawasm::Error::msg("too many").with_properties(serde_json::json!({"limit": 5}));
    /// assert_eq!(error.properties.as_deref(), Some(r#"{"limit":5}"#));
    /// ```
    #[must_use]
    pub fn with_properties(mut self, properties: serde_json::Value) -> Self {
        if properties.is_object() {
            self.0.properties = Some(properties.to_string());
        }
        self
    }

    /// Puts a message in front: what there was becomes the first cause. It stays non-retriable if it was.
    ///
    /// ```
    /// let error = durawasm::Error::msg("disk full").context("cannot save the order");
    /// assert_eq!(error.to_string(), "cannot save the order");
    /// assert_eq!(error.causes[0].message, "disk full");
    /// ```
    #[track_caller]
    #[must_use]
    pub fn context(self, message: impl fmt::Display) -> Self {
        let Failure { error_type, message: inner, stack_trace, non_retriable, causes, properties } = *self.0;
        let mut chain = vec![Cause { error_type: error_type.clone(), message: inner, stack_trace }];
        chain.extend(causes);
        Self(Box::new(Failure {
            error_type,
            message: message.to_string(),
            stack_trace: Some(caller()),
            non_retriable,
            causes: chain,
            properties,
        }))
    }

    /// The failure inside.
    pub fn failure(&self) -> &Failure {
        &self.0
    }

    /// Takes the failure out.
    pub fn into_failure(self) -> Failure {
        *self.0
    }
}

/// The fields of the failure are read through the error: `error.error_type`, `error.message`.
impl std::ops::Deref for Error {
    type Target = Failure;

    fn deref(&self) -> &Failure {
        &self.0
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<E: StdError + 'static> From<E> for Error {
    #[track_caller]
    fn from(error: E) -> Self {
        if let Some(failure) = (&error as &dyn Any).downcast_ref::<Failure>() {
            return Self(Box::new(failure.clone()));
        }
        let mut causes = vec![];
        let mut source = error.source();
        while let Some(inner) = source {
            causes.push(Cause {
                // The type behind `dyn Error` has no name at run time.
                error_type: "Error".to_owned(),
                message: inner.to_string(),
                stack_trace: None,
            });
            source = inner.source();
        }
        let of_client = (&error as &dyn Any).downcast_ref().map(ClientError::path);
        Self(Box::new(Failure {
            error_type: of_client.unwrap_or(std::any::type_name::<E>()).to_owned(),
            message: error.to_string(),
            stack_trace: Some(caller()),
            causes,
            ..Failure::default()
        }))
    }
}

/// Puts messages in front of errors: `.context("cannot save the order")?`.
pub trait Context<T> {
    /// See [`Error::context`].
    ///
    /// ```
    /// use durawasm::prelude::*;
    ///
    /// let parsed = "x".parse::<u32>().context("the amount is not a number");
    /// assert_eq!(parsed.unwrap_err().causes[0].message, "invalid digit found in string");
    /// ```
    fn context(self, message: impl fmt::Display) -> Result<T>;
}

impl<T, E: Into<Error>> Context<T> for std::result::Result<T, E> {
    #[track_caller]
    fn context(self, message: impl fmt::Display) -> Result<T> {
        match self {
            Ok(value) => Ok(value),
            Err(error) => Err(error.into().context(message)),
        }
    }
}

/// Returns from a function with an [`Error`] of the formatted message.
///
/// ```
/// fn check(amount: i64) -> durawasm::Result<()> {
///     if amount < 0 {
///         durawasm::bail!("{amount} is less than nothing");
///     }
///     Ok(())
/// }
/// assert_eq!(check(-1).unwrap_err().to_string(), "-1 is less than nothing");
/// ```
#[macro_export]
macro_rules! bail {
    ($($message:tt)+) => {
        return ::core::result::Result::Err($crate::Error::msg(::core::format_args!($($message)+)))
    };
}

#[track_caller]
fn caller() -> String {
    format!("at {}", Location::caller())
}

impl From<wit::Cause> for Cause {
    fn from(cause: wit::Cause) -> Self {
        Self { error_type: cause.error_type, message: cause.message, stack_trace: cause.stack_trace }
    }
}

impl From<Cause> for wit::Cause {
    fn from(cause: Cause) -> Self {
        Self { error_type: cause.error_type, message: cause.message, stack_trace: cause.stack_trace }
    }
}

impl From<wit::Failure> for Failure {
    fn from(failure: wit::Failure) -> Self {
        Self {
            error_type: failure.error_type,
            message: failure.message,
            stack_trace: failure.stack_trace,
            non_retriable: failure.non_retriable,
            causes: failure.causes.into_iter().map(Into::into).collect(),
            properties: failure.properties,
        }
    }
}

impl From<Failure> for wit::Failure {
    fn from(failure: Failure) -> Self {
        Self {
            error_type: failure.error_type,
            message: failure.message,
            stack_trace: failure.stack_trace,
            non_retriable: failure.non_retriable,
            causes: failure.causes.into_iter().map(Into::into).collect(),
            properties: failure.properties,
        }
    }
}
