//! The one hash of placement: FNV-1a over the bytes, then a finaliser so that every bit depends on every byte.
//!
//! It is neither secret nor collision-proof against an adversary, and need not be: a peer that aims at one slot
//! only loads one slot. It must stay as it is for ever.

pub fn hash(bytes: &[u8]) -> u64 {
    let mut state: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in bytes {
        state = (state ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    mix(state)
}

pub(crate) fn mix(mut state: u64) -> u64 {
    state = (state ^ (state >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    state = (state ^ (state >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    state ^ (state >> 33)
}
