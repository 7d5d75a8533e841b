//! Numbers as text, where many are written: the formatting of the standard library takes longer than all else there.

/// Of the longest number in hexadecimal.
const MOST: usize = 32;

pub fn push_decimal(text: &mut Vec<u8>, number: u64) {
    let (mut digits, mut begins, mut rest) = ([b'0'; MOST], MOST, number);
    loop {
        begins -= 1;
        digits[begins] += (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            return text.extend_from_slice(&digits[begins..]);
        }
    }
}

/// Lower-case hexadecimal of at least `width` digits, which are 32 at most.
pub fn push_hex(text: &mut String, number: u128, width: usize) {
    let (mut digits, mut begins, mut rest) = ([b'0'; MOST], MOST, number);
    while rest > 0 {
        begins -= 1;
        digits[begins] = b"0123456789abcdef"[(rest & 0xf) as usize];
        rest >>= 4;
    }
    let digits = &digits[begins.min(MOST.saturating_sub(width))..];
    text.push_str(std::str::from_utf8(digits).expect("digits are ASCII"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_everybody_writes_them() {
        for number in [0, 7, 10, 255, 4_097, u64::MAX] {
            let (mut decimal, mut hex) = (Vec::new(), String::new());
            push_decimal(&mut decimal, number);
            push_hex(&mut hex, number.into(), 3);

            assert_eq!(String::from_utf8(decimal).unwrap(), number.to_string());
            assert_eq!(hex, format!("{number:03x}"));
        }
        let mut longest = String::new();
        push_hex(&mut longest, u128::MAX, 1);
        assert_eq!(longest, format!("{:x}", u128::MAX));
    }
}
