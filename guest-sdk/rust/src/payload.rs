//! JSON in and out.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};

/// The text of a value; none for what JSON calls `null`, so that "no input" has one form only.
pub(crate) fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Option<String>> {
    let text = serde_json::to_string(value).map_err(|error| {
        Error::of_sdk("UnwritablePayload", format!("cannot be written as JSON: {error}")).non_retriable()
    })?;
    Ok((text != "null").then_some(text))
}

/// The value of a text. `what` names it in the error: the result of a task, the input of a function.
pub(crate) fn decode<T: DeserializeOwned>(text: Option<&str>, what: impl FnOnce() -> String) -> Result<T> {
    serde_json::from_str(text.unwrap_or("null")).map_err(|error| {
        let got = if text.is_none() { " (there is none)" } else { "" };
        let wanted = std::any::type_name::<T>();
        // Trying again would meet the same text.
        Error::of_sdk("UnexpectedPayload", format!("{} is not a {wanted}{got}: {error}", what())).non_retriable()
    })
}
