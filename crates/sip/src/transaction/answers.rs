//! Final answers that are kept for repeats. They live equally long, so they lie in blocks, in the order in which they came: a
//! block becomes free as a whole. Each by itself would lie between what lives longer, and leave holes there.

use bytes::{Bytes, BytesMut};

#[derive(Default)]
pub(super) struct Answers {
    /// What is left of the newest block.
    room: BytesMut,
}

impl Answers {
    const BLOCK: usize = 64 * 1024;

    /// A copy to be kept.
    pub fn keep(&mut self, answer: &[u8]) -> Bytes {
        if self.room.capacity() < answer.len() {
            self.room = BytesMut::with_capacity(Self::BLOCK.max(answer.len()));
        }
        self.room.extend_from_slice(answer);
        self.room.split().freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_lie_one_behind_the_other_and_stay_what_they_were() {
        let mut answers = Answers::default();

        let [one, other] = ["200 OK", "412"].map(|answer| answers.keep(answer.as_bytes()));
        let large = answers.keep(&[7; 2 * Answers::BLOCK]);

        assert_eq!(one.as_ptr_range().end, other.as_ptr());
        assert_eq!((&one[..], &other[..]), (&b"200 OK"[..], &b"412"[..]));
        assert_eq!(large, [7; 2 * Answers::BLOCK][..]);
    }
}
