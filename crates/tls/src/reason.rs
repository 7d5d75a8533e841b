//! Why a connection did not come about, in words that say what to do.

use std::fmt;
use std::io;

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};

/// A cause of few, for metrics, and the words for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    pub cause: &'static str,
    text: String,
}

impl Reason {
    pub fn new(cause: &'static str, text: impl Into<String>) -> Reason {
        Reason { cause, text: text.into() }
    }

    /// Of what a stream said; `None` if it was the network and not TLS.
    pub fn of(error: &io::Error) -> Option<Reason> {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
        inner.map(Reason::of_tls)
    }

    pub fn of_tls(error: &Error) -> Reason {
        match error {
            Error::InvalidMessage(
                InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
            ) => Reason::new("plain", "it speaks no TLS: does it have [tls] in its configuration?"),
            Error::NoCertificatesPresented => Reason::new("no_certificate", "it shows no certificate"),
            Error::InvalidCertificate(problem) => Reason::of_certificate(problem),
            Error::NoApplicationProtocol => {
                Reason::new("protocol", "it wants to speak another protocol: is this the right port?")
            }
            Error::AlertReceived(alert) => Reason::of_alert(*alert),
            other => Reason::new("other", other.to_string()),
        }
    }

    fn of_certificate(problem: &CertificateError) -> Reason {
        use CertificateError as Problem;
        match problem {
            Problem::Expired | Problem::ExpiredContext { .. } => {
                Reason::new("expired", format!("the certificate has ended ({problem})"))
            }
            Problem::NotValidYet | Problem::NotValidYetContext { .. } => {
                Reason::new("not_yet", format!("the certificate is not valid yet ({problem})"))
            }
            Problem::UnknownIssuer | Problem::BadSignature => {
                Reason::new("issuer", "the certificate was not signed by the CA that we trust")
            }
            Problem::NotValidForName | Problem::NotValidForNameContext { .. } => Reason::new(
                "name",
                format!("the certificate is for another name (its SAN decides): {problem}"),
            ),
            Problem::InvalidPurpose | Problem::InvalidPurposeContext { .. } => Reason::new(
                "purpose",
                "the certificate needs both purposes, serverAuth and clientAuth, or none at all",
            ),
            other => Reason::new("certificate", format!("the certificate is not good: {other}")),
        }
    }

    fn of_alert(alert: AlertDescription) -> Reason {
        use AlertDescription as Alert;
        let text = match alert {
            Alert::UnknownCA => "it does not trust the CA of our certificate".to_owned(),
            Alert::CertificateExpired => "it says that our certificate has ended".to_owned(),
            Alert::CertificateRequired => "it wants a certificate of us".to_owned(),
            Alert::NoApplicationProtocol => "it speaks another protocol: is this the right port?".to_owned(),
            Alert::BadCertificate
            | Alert::CertificateUnknown
            | Alert::UnsupportedCertificate
            | Alert::DecryptError => {
                format!("it refuses our certificate ({alert:?}); its log says why")
            }
            other => format!("it ended the connection ({other:?}); its log says why"),
        };
        Reason::new("refused_us", text)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// For callers, which tell it further.
impl From<Reason> for io::Error {
    fn from(reason: Reason) -> io::Error {
        io::Error::new(io::ErrorKind::ConnectionAborted, reason.text)
    }
}
