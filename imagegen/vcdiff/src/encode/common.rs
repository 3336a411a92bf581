// SPDX-License-Identifier: MIT OR Apache-2.0

//! What two places in memory have in common.

const WORD: usize = size_of::<u64>();

/// The number of equal bytes at the start of both.
#[inline]
pub(super) fn prefix(left: &[u8], right: &[u8]) -> usize {
    let mut length = 0;
    let (left_words, _) = left.as_chunks::<WORD>();
    let (right_words, _) = right.as_chunks::<WORD>();
    for (left, right) in left_words.iter().zip(right_words) {
        let difference = u64::from_le_bytes(*left) ^ u64::from_le_bytes(*right);
        if difference != 0 {
            return length + difference.trailing_zeros() as usize / 8;
        }
        length += WORD;
    }
    let rest = left[length..].iter().zip(&right[length..]);
    length + rest.take_while(|(left, right)| left == right).count()
}

/// The number of equal bytes at the end of both.
#[inline]
pub(super) fn suffix(left: &[u8], right: &[u8]) -> usize {
    let pairs = left.iter().rev().zip(right.iter().rev());
    pairs.take_while(|(left, right)| left == right).count()
}

/// The first 4 bytes at an offset as an integer, or `None` near the end.
#[inline]
pub(super) fn four(bytes: &[u8], at: usize) -> Option<u32> {
    let chunk = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_le_bytes(*chunk))
}

/// The first 8 bytes at an offset as an integer, or `None` near the end.
#[inline]
pub(super) fn eight(bytes: &[u8], at: usize) -> Option<u64> {
    let chunk = bytes.get(at..)?.first_chunk()?;
    Some(u64::from_le_bytes(*chunk))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn prefixes_and_suffixes_are_the_longest(
            shared in prop::collection::vec(0_u8..3, 0..40),
            left in prop::collection::vec(0_u8..3, 0..20),
            right in prop::collection::vec(0_u8..3, 0..20),
        ) {
            let a = [&shared[..], &left].concat();
            let b = [&shared[..], &right].concat();
            let expected = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
            prop_assert_eq!(prefix(&a, &b), expected);
            let reversed = |bytes: &[u8]| bytes.iter().rev().copied().collect::<Vec<_>>();
            prop_assert_eq!(suffix(&reversed(&a), &reversed(&b)), expected);
        }
    }
}
