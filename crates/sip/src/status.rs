//! Reason phrases. The only file that names rsip.
//!
//! rsip's `StatusCode` is the vocabulary, but it prints `BadRequest` where the RFCs write
//! `Bad Request`, and lacks codes of later RFCs; so the phrases are ours.

use rsip::StatusCode;

/// The phrase of the RFC that defined the code, or of its class. For humans: no element reads it.
pub fn reason(status: u16) -> &'static str {
    match StatusCode::from(status) {
        StatusCode::Trying => "Trying",
        StatusCode::OK => "OK",
        StatusCode::MovedPermanently => "Moved Permanently",
        StatusCode::MovedTemporarily => "Moved Temporarily",
        StatusCode::BadRequest => "Bad Request",
        StatusCode::Unauthorized => "Unauthorized",
        StatusCode::Forbidden => "Forbidden",
        StatusCode::NotFound => "Not Found",
        StatusCode::MethodNotAllowed => "Method Not Allowed",
        StatusCode::NotAcceptable => "Not Acceptable",
        StatusCode::ProxyAuthenticationRequired => "Proxy Authentication Required",
        StatusCode::RequestTimeout => "Request Timeout",
        StatusCode::ConditionalRequestFailed => "Conditional Request Failed",
        StatusCode::RequestEntityTooLarge => "Request Entity Too Large",
        StatusCode::RequestUriTooLong => "Request-URI Too Long",
        StatusCode::UnsupportedMediaType => "Unsupported Media Type",
        StatusCode::UnsupportedUriScheme => "Unsupported URI Scheme",
        StatusCode::BadExtension => "Bad Extension",
        StatusCode::ExtensionRequired => "Extension Required",
        StatusCode::IntervalTooBrief => "Interval Too Brief",
        StatusCode::TemporarilyUnavailable => "Temporarily Unavailable",
        StatusCode::CallTransactionDoesNotExist => "Call/Transaction Does Not Exist",
        StatusCode::LoopDetected => "Loop Detected",
        StatusCode::TooManyHops => "Too Many Hops",
        StatusCode::BadEvent => "Bad Event",
        StatusCode::ServerInternalError => "Server Internal Error",
        StatusCode::NotImplemented => "Not Implemented",
        StatusCode::BadGateway => "Bad Gateway",
        StatusCode::ServiceUnavailable => "Service Unavailable",
        StatusCode::ServerTimeOut => "Server Time-out",
        StatusCode::VersionNotSupported => "Version Not Supported",
        StatusCode::MessageTooLarge => "Message Too Large",
        StatusCode::Decline => "Decline",
        _ => beyond_rsip(status),
    }
}

fn beyond_rsip(status: u16) -> &'static str {
    match status {
        202 => "Accepted",
        204 => "No Notification",
        430 => "Flow Failed",
        439 => "First Hop Lacks Outbound Support",
        440 => "Max-Breadth Exceeded",
        100..=199 => "Progress",
        200..=299 => "Success",
        300..=399 => "Redirection",
        400..=499 => "Request Failure",
        500..=599 => "Server Failure",
        _ => "Global Failure",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presence_codes_have_the_phrases_of_their_rfcs() {
        let phrases = [200, 202, 412, 423, 481, 489].map(reason);

        assert_eq!(
            phrases,
            [
                "OK",
                "Accepted",
                "Conditional Request Failed",
                "Interval Too Brief",
                "Call/Transaction Does Not Exist",
                "Bad Event"
            ]
        );
    }

    #[test]
    fn an_unknown_code_gets_the_phrase_of_its_class() {
        assert_eq!(reason(499), "Request Failure");
        assert_eq!(reason(0), "Global Failure");
    }
}
