//! Numbers as text, where many are written: the formatting of the standard library takes longer than all else there.

/// The longest number has so many digits.
const MOST: usize = 20;

pub fn push_decimal(text: &mut Vec<u8>, number: u64) {
    push(number, 10, |digits| text.extend_from_slice(digits.as_bytes()));
}

pub fn push_hex(text: &mut String, number: u64) {
    push(number, 16, |digits| text.push_str(digits));
}

fn push(mut number: u64, base: u64, write: impl FnOnce(&str)) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let (mut digits, mut at) = ([0; MOST], MOST);
    loop {
        at -= 1;
        digits[at] = DIGITS[(number % base) as usize];
        number /= base;
        if number == 0 {
            break;
        }
    }
    write(std::str::from_utf8(&digits[at..]).expect("digits are ASCII"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_everybody_writes_them() {
        for number in [0, 7, 10, 255, 4_097, u64::MAX] {
            let (mut decimal, mut hex) = (Vec::new(), String::new());
            push_decimal(&mut decimal, number);
            push_hex(&mut hex, number);

            assert_eq!(String::from_utf8(decimal).unwrap(), number.to_string());
            assert_eq!(hex, format!("{number:x}"));
        }
    }
}
