//! What an operator wants to know of a certificate: its serial number and when it ends.
//!
//! A few steps into the DER of our own file (RFC 5280 section 4.1). Certificates of peers are read by rustls alone.

use jiff::Timestamp;
use jiff::civil::DateTime;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// In hexadecimal, as `openssl x509 -serial` prints it.
    pub serial: String,
    pub expires: Timestamp,
}

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

impl Certificate {
    /// `None` if it is none.
    pub fn read(der: &[u8]) -> Option<Certificate> {
        let mut certificate = Reader(Reader(der).take(SEQUENCE)?);
        let mut signed = Reader(certificate.take(SEQUENCE)?);
        if signed.0.first() == Some(&VERSION) {
            signed.take(VERSION)?;
        }
        let serial = signed.take(INTEGER)?;
        let _algorithm = signed.take(SEQUENCE)?;
        let _issuer = signed.take(SEQUENCE)?;
        let mut validity = Reader(signed.take(SEQUENCE)?);
        let _not_before = validity.next()?;
        let (form, not_after) = validity.next()?;
        let serial = serial.strip_prefix(&[0]).filter(|rest| !rest.is_empty()).unwrap_or(serial);
        Some(Certificate {
            serial: serial.iter().map(|byte| format!("{byte:02X}")).collect(),
            expires: time(form, std::str::from_utf8(not_after).ok()?)?,
        })
    }
}

/// `YYMMDDHHMMSSZ` until 2049, `YYYYMMDDHHMMSSZ` from then on.
fn time(form: u8, text: &str) -> Option<Timestamp> {
    let text = text.strip_suffix('Z')?;
    let text = match form {
        UTC_TIME if text.get(..2)? < "50" => format!("20{text}"),
        UTC_TIME => format!("19{text}"),
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let time = DateTime::strptime("%Y%m%d%H%M%S", &text).ok()?;
    Some(time.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
}

/// The values of a DER sequence, one after the other.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next().filter(|(found, _)| *found == tag).map(|(_, value)| value)
    }

    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&[tag, first], rest) = self.0.split_first_chunk()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81..=0x84 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
            }
            _ => return None,
        };
        let (value, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::Authority;

    #[test]
    fn the_serial_and_the_end_are_read_on_both_sides_of_2050() {
        for (year, expected) in [(2049, "2049-01-01T00:00:00Z"), (2051, "2051-01-01T00:00:00Z")] {
            let issued = Authority::new().issue_as(&["a.test"], |params| {
                params.serial_number = Some(vec![0x00, 0xc0, 0x01].into());
                params.not_after = rcgen::date_time_ymd(year, 1, 1);
            });

            let read = Certificate::read(&issued.der).unwrap();

            assert_eq!((read.serial.as_str(), read.expires), ("C001", expected.parse().unwrap()));
        }
    }

    #[test]
    fn a_certificate_cut_anywhere_is_none_or_the_same() {
        let issued = Authority::new().issue(&["a.test"]);
        for length in 0..issued.der.len() {
            assert_eq!(Certificate::read(&issued.der[..length]), None);
        }
    }
}
