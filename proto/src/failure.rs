//! What a failed call says to a person.

use std::error::Error;

use tonic::Status;

/// The innermost cause, which is the one that says something: "Connection refused" and not "transport error".
pub fn reason(status: &Status) -> String {
    let mut cause: Option<&(dyn Error + 'static)> = status.source();
    while let Some(inner) = cause.and_then(Error::source) {
        cause = Some(inner);
    }
    match (cause, status.message()) {
        (Some(cause), _) => cause.to_string(),
        (None, "") => status.code().description().to_owned(),
        (None, message) => message.to_owned(),
    }
}
