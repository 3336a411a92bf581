// SPDX-License-Identifier: MIT OR Apache-2.0

//! The arithmetic of `define-eval`, on signed 64-bit integers.

use crate::firmware::integer;

/// The maximum nesting depth of parentheses and signs.
const DEPTH: u32 = 64;

/// Why an expression cannot be evaluated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArithmeticError {
    /// A number is missing.
    #[error("expected a number, found '{0}'")]
    NoNumber(String),
    /// A number is followed by something that is neither an operator nor a unit.
    #[error("expected an operator or a unit (c, w, b, kB, K, MB, M, GB, G), found '{0}'")]
    NoOperator(String),
    /// `(` without `)`
    #[error("a ')' is missing")]
    Unclosed,
    /// A divisor of zero.
    #[error("division by zero")]
    ZeroDivisor,
    /// An exponent is out of range.
    #[error("an exponent must be 0 to 63, not {0}")]
    Exponent(i64),
    /// A value does not fit in 64 bits.
    #[error("a number has more than 64 bits")]
    Overflow,
    /// The nesting is too deep.
    #[error("parentheses and signs are nested more than {DEPTH} deep")]
    TooDeep,
}

/// Evaluates an expression: `+ - * /`, `^` (right-associative), signs, parentheses, and the units
/// of dd after numbers.
///
/// # Errors
///
/// Every [`ArithmeticError`].
pub(super) fn evaluate(text: &str) -> Result<i64, ArithmeticError> {
    let mut rest = Rest { text, depth: 0 };
    let value = rest.sum()?;
    match rest.peek() {
        None => Ok(value),
        Some(_) => Err(ArithmeticError::NoOperator(start_of(rest.text))),
    }
}

/// The unread part of the expression.
struct Rest<'a> {
    text: &'a str,
    depth: u32,
}

impl Rest<'_> {
    /// Skips white space and returns the next character.
    fn peek(&mut self) -> Option<char> {
        self.text = self.text.trim_start_matches([' ', '\t', '\r', '\n']);
        self.text.chars().next()
    }

    /// Consumes the next operator, which is one byte long.
    fn take(&mut self) {
        self.text = &self.text[1..];
    }

    fn sum(&mut self) -> Result<i64, ArithmeticError> {
        let mut value = self.product()?;
        loop {
            let operation = match self.peek() {
                Some('+') => i64::checked_add,
                Some('-') => i64::checked_sub,
                _ => return Ok(value),
            };
            self.take();
            value = operation(value, self.product()?).ok_or(ArithmeticError::Overflow)?;
        }
    }

    fn product(&mut self) -> Result<i64, ArithmeticError> {
        let mut value = self.power()?;
        loop {
            match self.peek() {
                Some('*') => {
                    self.take();
                    value = value
                        .checked_mul(self.power()?)
                        .ok_or(ArithmeticError::Overflow)?;
                }
                Some('/') => {
                    self.take();
                    let divisor = self.power()?;
                    if divisor == 0 {
                        return Err(ArithmeticError::ZeroDivisor);
                    }
                    value = value
                        .checked_div(divisor)
                        .ok_or(ArithmeticError::Overflow)?;
                }
                _ => return Ok(value),
            }
        }
    }

    /// `^` has precedence over a sign: `-2^2` is -4.
    fn power(&mut self) -> Result<i64, ArithmeticError> {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(ArithmeticError::TooDeep);
        }
        let value = if self.peek() == Some('-') {
            self.take();
            self.power()?
                .checked_neg()
                .ok_or(ArithmeticError::Overflow)?
        } else {
            let base = self.operand()?;
            if self.peek() == Some('^') {
                self.take();
                let exponent = self.power()?;
                let small = u32::try_from(exponent)
                    .ok()
                    .filter(|small| *small <= 63)
                    .ok_or(ArithmeticError::Exponent(exponent))?;
                base.checked_pow(small).ok_or(ArithmeticError::Overflow)?
            } else {
                base
            }
        };
        self.depth -= 1;
        Ok(value)
    }

    fn operand(&mut self) -> Result<i64, ArithmeticError> {
        let mut value = if self.peek() == Some('(') {
            self.take();
            let value = self.sum()?;
            if self.peek() != Some(')') {
                return Err(ArithmeticError::Unclosed);
            }
            self.take();
            value
        } else {
            let (value, length) = integer::prefix(self.text)
                .ok_or_else(|| ArithmeticError::NoNumber(start_of(self.text)))?;
            self.text = &self.text[length..];
            value.ok_or(ArithmeticError::Overflow)?
        };
        while let Some((factor, length)) = self.unit() {
            self.text = &self.text[length..];
            value = value.checked_mul(factor).ok_or(ArithmeticError::Overflow)?;
        }
        Ok(value)
    }

    /// Returns the factor of the next unit, and the unit's length.
    fn unit(&mut self) -> Option<(i64, usize)> {
        self.peek();
        [
            ("kB", 1000),
            ("MB", 1_000_000),
            ("GB", 1_000_000_000),
            ("K", 1 << 10),
            ("M", 1 << 20),
            ("G", 1 << 30),
            ("c", 1),
            ("w", 2),
            ("b", 512),
        ]
        .into_iter()
        .find(|(unit, _)| self.text.starts_with(unit))
        .map(|(unit, factor)| (factor, unit.len()))
    }
}

/// Returns the start of a text, for a message.
pub(super) fn start_of(text: &str) -> String {
    const SHOWN: usize = 40;
    let mut start: String = text.chars().take(SHOWN).collect();
    if start.len() < text.len() {
        start += "...";
    }
    start
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn expressions_have_their_values() {
        for (text, value) in [
            ("64 * 2 + 1024 / 512", 130),
            ("2 + 3 * 4", 14),
            ("(2 + 3) * 4", 20),
            ("100 - 10 - 1", 89),
            ("64 / 4 / 2", 8),
            ("2 ^ 3 ^ 2", 512),
            ("-2^2", -4),
            ("2 * -3", -6),
            ("--5", 5),
            ("4M / 1kB", 4194),
            ("1b + 1w + 1c", 515),
            ("3 K", 3072),
            ("1GB", 1_000_000_000),
            ("2G", 1 << 31),
            ("0x10 + 010", 24),
            ("(1 + 1)K", 2048),
            (" \t7\n", 7),
            ("9223372036854775807", i64::MAX),
        ] {
            assert_eq!(evaluate(text), Ok(value), "{text}");
        }
    }

    #[test]
    fn an_invalid_expression_is_refused() {
        use ArithmeticError::*;
        for (text, error) in [
            ("", NoNumber(String::new())),
            ("1 +", NoNumber(String::new())),
            ("x", NoNumber("x".into())),
            ("1 2", NoOperator("2".into())),
            ("1 k", NoOperator("k".into())),
            ("1)", NoOperator(")".into())),
            (&"x".repeat(1000), NoNumber("x".repeat(40) + "...")),
            ("(1", Unclosed),
            ("1 / 0", ZeroDivisor),
            ("2 ^ -1", Exponent(-1)),
            ("2 ^ 64", Exponent(64)),
            ("2 ^ 63", Overflow),
            ("9223372036854775807 + 1", Overflow),
            ("9223372036854775808", Overflow),
            ("9G * 1G", Overflow),
        ] {
            assert_eq!(evaluate(text), Err(error), "{text}");
        }
        assert_eq!(evaluate(&"(".repeat(100_000)), Err(TooDeep));
        assert_eq!(evaluate(&"-".repeat(100_000)), Err(TooDeep));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[-+*/^() 0-9xkKMGBbcw]{0,40}|\\PC{0,40}") {
            let _ = evaluate(&text);
        }

        #[test]
        fn sums_are_those_of_rust(a in -1_000_000_i64..1_000_000, b in -1_000_000_i64..1_000_000, c in 1_i64..1000) {
            prop_assert_eq!(evaluate(&format!("{a} + {b} * {c}")), Ok(a + b * c));
            prop_assert_eq!(evaluate(&format!("({a} - {b}) / {c}")), Ok((a - b) / c));
        }
    }
}
