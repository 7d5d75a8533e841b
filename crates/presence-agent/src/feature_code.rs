//! Feature codes: a status set by dialling, as with `*485` for "do not disturb" (features G8).
//!
//! A voice menu sends the code and a digit; a phone dials both in one, or sends them as the text of a message. What may
//! follow them is the note, which a custom status shows.

use presence::status::Status;

/// The source that a feature code sets: hard state, kept until another code is dialled.
pub const SOURCE: &str = "feature-code";

/// The status that is dialled.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureCode {
    pub status: Status,
    pub note: Option<String>,
}

/// It begins with the code, and then goes on with no digit that means a status.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error(
    "a feature code ends with the digit of a status: 1 unavailable, 2 available, 3 away, 4 chat, 5 do not disturb, 6 custom"
)]
pub struct NoSuchDigit;

impl FeatureCode {
    /// Reads what was `dialled` and the `text` sent with it; `code` is the configured one, empty when there is none. `None`
    /// is no feature code at all.
    pub fn parse(code: &str, dialled: &str, text: &str) -> Option<Result<FeatureCode, NoSuchDigit>> {
        if code.is_empty() {
            return None;
        }
        let text = text.trim();
        Some(match (dialled.strip_prefix(code), text.strip_prefix(code)) {
            (Some(""), rest) => FeatureCode::of_text(rest.unwrap_or(text)),
            (Some(digit), _) => FeatureCode::of(digit, text),
            (None, Some(rest)) => FeatureCode::of_text(rest),
            (None, None) => return None,
        })
    }

    /// The status to be set; "available" is what a presentity is without any, so it clears the source.
    pub fn sets(&self) -> Option<Status> {
        Some(self.status).filter(|status| *status != Status::Available)
    }

    fn of_text(text: &str) -> Result<FeatureCode, NoSuchDigit> {
        let (digit, note) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        FeatureCode::of(digit, note)
    }

    fn of(digit: &str, note: &str) -> Result<FeatureCode, NoSuchDigit> {
        let mut digits = digit.chars();
        let status = digits.next().and_then(Status::from_digit).filter(|_| digits.next().is_none());
        let note = Some(note.trim().to_owned()).filter(|note| !note.is_empty());
        Ok(FeatureCode { status: status.ok_or(NoSuchDigit)?, note })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(dialled: &str, text: &str) -> Option<Result<FeatureCode, NoSuchDigit>> {
        FeatureCode::parse("*48", dialled, text)
    }

    fn code(status: Status, note: &str) -> Option<Result<FeatureCode, NoSuchDigit>> {
        let note = Some(note.to_owned()).filter(|note| !note.is_empty());
        Some(Ok(FeatureCode { status, note }))
    }

    #[test]
    fn a_code_is_dialled_in_one_or_with_its_digit_apart() {
        for (dialled, text) in [("*485", ""), ("*48", "5"), ("*48", "*485"), ("alice", " *485\r\n")] {
            assert_eq!(parse(dialled, text), code(Status::DoNotDisturb, ""), "{dialled} {text}");
        }
    }

    #[test]
    fn what_follows_is_the_note() {
        for (dialled, text) in
            [("*486", "In a meeting"), ("*48", "6 In a meeting"), ("alice", "*486  In a meeting ")]
        {
            assert_eq!(parse(dialled, text), code(Status::Custom, "In a meeting"), "{dialled} {text}");
        }
    }

    #[test]
    fn a_digit_that_means_nothing_is_an_error() {
        for (dialled, text) in
            [("*48", ""), ("*480", ""), ("*487", ""), ("*4855", ""), ("*48", "five"), ("alice", "*48")]
        {
            assert_eq!(parse(dialled, text), Some(Err(NoSuchDigit)), "{dialled} {text}");
        }
    }

    #[test]
    fn anything_else_is_no_feature_code() {
        for (dialled, text) in [("alice", ""), ("alice", "hello *485"), ("*47", "5"), ("48", "5")] {
            assert_eq!(parse(dialled, text), None, "{dialled} {text}");
        }
        assert_eq!(FeatureCode::parse("", "*485", ""), None);
    }

    #[test]
    fn available_is_what_one_is_without_a_status() {
        let sets = |dialled| parse(dialled, "").unwrap().unwrap().sets();

        assert_eq!((sets("*482"), sets("*483")), (None, Some(Status::Away)));
    }
}
