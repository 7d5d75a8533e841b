//! CSeq (RFC 3261 §20.16): a number below 2^31 and a method.

use super::lex;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CSeq<'a> {
    pub number: u32,
    pub method: &'a str,
}

impl<'a> CSeq<'a> {
    const LARGEST: u32 = (1 << 31) - 1;

    pub fn parse(value: &'a [u8]) -> Option<CSeq<'a>> {
        let value = std::str::from_utf8(value).ok()?;
        let (digits, method) = value.trim_ascii().split_once([' ', '\t'])?;
        let (number, method) = (lex::clamped_number(digits.as_bytes())?, method.trim_ascii_start());
        (number <= CSeq::LARGEST && lex::is_token(method.as_bytes())).then_some(CSeq { number, method })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leading_zeros_and_any_white_space_are_fine() {
        assert_eq!(CSeq::parse(b"0009  \t INVITE"), Some(CSeq { number: 9, method: "INVITE" }));
    }

    #[test]
    fn a_number_of_two_to_the_31_or_more_is_refused() {
        assert!(CSeq::parse(b"2147483647 PUBLISH").is_some());
        assert_eq!(CSeq::parse(b"2147483648 PUBLISH"), None);
        assert_eq!(CSeq::parse(b"36893488147419103232 PUBLISH"), None);
    }

    #[test]
    fn both_parts_are_needed() {
        for text in ["", "1", "1 ", "PUBLISH", "-1 PUBLISH", "1 PUB LISH", "1\u{a0}PUBLISH"] {
            assert_eq!(CSeq::parse(text.as_bytes()), None, "{text}");
        }
    }
}
