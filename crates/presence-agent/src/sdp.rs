//! The session descriptions of calls that only dial a feature code (RFC 4566, RFC 3264).
//!
//! Nobody speaks in such a call, so what is offered is accepted as inactive: one audio stream, because there are phones that
//! hang up by themselves when every stream is refused, and would show the call as failed.

use std::fmt::Write;

pub(crate) const CONTENT_TYPE: &str = "application/sdp";

/// What we offer when the phone leaves it to us (RFC 3264 section 5).
const OWN_STREAM: &str = "m=audio 9 RTP/AVP 0 8\r\na=inactive\r\n";

/// The discard port: nothing is ever sent.
const PORT: u16 = 9;

/// The answer to `offer`, or an offer of ours if there is none. `number` names the session.
pub(crate) fn answer(offer: &[u8], number: u64) -> String {
    let mut text =
        format!("v=0\r\no=- {number} {number} IN IP4 0.0.0.0\r\ns=-\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n");
    let offer = String::from_utf8_lossy(offer);
    let mut streams = offer.lines().filter_map(Stream::parse).peekable();
    if streams.peek().is_none() {
        text.push_str(OWN_STREAM);
        return text;
    }
    let mut accepted = false;
    for stream in streams {
        let accept = !accepted && stream.is_plain_audio();
        accepted |= accept;
        stream.write(accept, &offer, &mut text);
    }
    text
}

/// An m= line.
struct Stream<'a> {
    media: &'a str,
    protocol: &'a str,
    formats: &'a str,
}

impl<'a> Stream<'a> {
    fn parse(line: &'a str) -> Option<Stream<'a>> {
        let mut parts = line.trim_end().strip_prefix("m=")?.splitn(4, ' ');
        let (media, _port) = (parts.next()?, parts.next()?);
        Some(Stream { media, protocol: parts.next()?, formats: parts.next()? })
    }

    fn is_plain_audio(&self) -> bool {
        self.media == "audio" && self.protocol.starts_with("RTP/AVP")
    }

    /// Every offered stream has its line in the answer, refused ones with port 0 (RFC 3264 section 6).
    fn write(&self, accept: bool, offer: &str, text: &mut String) {
        let format = self.formats.split(' ').next().unwrap_or_default();
        let port = if accept { PORT } else { 0 };
        // Into a string nothing fails.
        let _ = write!(text, "m={} {port} {} {format}\r\n", self.media, self.protocol);
        if accept {
            let beginning = format!("a=rtpmap:{format} ");
            if let Some(map) = offer.lines().find(|line| line.starts_with(&beginning)) {
                let _ = write!(text, "{}\r\n", map.trim_end());
            }
            text.push_str("a=inactive\r\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_audio_stream_is_accepted_as_inactive_and_every_other_refused() {
        let offer = "v=0\r\no=a 1 1 IN IP4 192.0.2.9\r\ns=-\r\nt=0 0\r\nm=audio 4000 RTP/AVP 96 8\r\n\
                     a=rtpmap:96 opus/48000/2\r\na=sendrecv\r\nm=video 4002 RTP/AVP 97\r\nm=audio 4004 RTP/AVP 0\r\n";

        let answer = answer(offer.as_bytes(), 7);

        let streams = answer.split_once("t=0 0\r\n").unwrap().1;
        assert_eq!(
            streams,
            "m=audio 9 RTP/AVP 96\r\na=rtpmap:96 opus/48000/2\r\na=inactive\r\nm=video 0 RTP/AVP 97\r\nm=audio 0 RTP/AVP 0\r\n"
        );
        assert!(answer.starts_with("v=0\r\no=- 7 7 IN IP4 0.0.0.0\r\ns=-\r\nc=IN IP4 0.0.0.0\r\n"));
    }

    #[test]
    fn without_an_offer_we_make_one() {
        for nothing in ["", "v=0\r\n", "\u{fffd}m", "m=", "m=audio"] {
            assert!(answer(nothing.as_bytes(), 1).ends_with(OWN_STREAM), "{nothing}");
        }
    }

    #[test]
    fn what_must_be_encrypted_is_refused() {
        let answer = answer(b"m=audio 4000 RTP/SAVP 0\r\n", 1);

        assert!(answer.ends_with("m=audio 0 RTP/SAVP 0\r\n"), "{answer}");
    }
}
