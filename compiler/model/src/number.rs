//! Exact decimals of bounded length.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use bigdecimal::num_bigint::BigInt;
use bigdecimal::{BigDecimal, RoundingMode, Signed as _, ToPrimitive as _, Zero as _};

/// The most significant digits a number may have. Money, sizes, ports and 256-bit identifiers fit; a power tower does not.
pub const MAX_DIGITS: u64 = 200;

/// Digits that a division which does not end keeps.
const DIVISION_DIGITS: u64 = 40;

/// The largest power of ten, up or down: numbers beyond it are mistakes, and printing them would cost memory.
const MAX_EXPONENT: i64 = 400;

/// Why a number could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NumberError {
    /// The text is no number.
    #[error("`{0}` is not a number")]
    Syntax(String),
    /// More than [`MAX_DIGITS`] digits or too large a power of ten.
    #[error("the number has more than {MAX_DIGITS} digits or is beyond 1e{MAX_EXPONENT}")]
    TooLong,
    /// Division or remainder by zero.
    #[error("division by zero")]
    DivisionByZero,
}

/// An exact decimal. Small integers are kept as such; every number has one representation, so equality is of values.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Number(Repr);

#[derive(Clone, PartialEq, Eq, Hash)]
enum Repr {
    Int(i64),
    Big(Box<BigDecimal>),
}

impl Number {
    /// Zero.
    pub const ZERO: Self = Self(Repr::Int(0));

    fn from_decimal(decimal: BigDecimal) -> Result<Self, NumberError> {
        let decimal = decimal.normalized();
        if decimal.is_integer()
            && let Some(int) = decimal.to_i64()
        {
            return Ok(Self(Repr::Int(int)));
        }
        let (_, scale) = decimal.as_bigint_and_exponent();
        if decimal.digits() > MAX_DIGITS || scale.abs() > MAX_EXPONENT {
            return Err(NumberError::TooLong);
        }
        Ok(Self(Repr::Big(Box::new(decimal))))
    }

    fn decimal(&self) -> BigDecimal {
        match &self.0 {
            Repr::Int(int) => BigDecimal::from(*int),
            Repr::Big(decimal) => (**decimal).clone(),
        }
    }

    /// The integer, if it is one that fits.
    #[must_use]
    pub const fn as_i64(&self) -> Option<i64> {
        match &self.0 {
            Repr::Int(int) => Some(*int),
            Repr::Big(_) => None,
        }
    }

    /// The integer, if it is one that fits and is not negative.
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        match &self.0 {
            Repr::Int(int) => u64::try_from(*int).ok(),
            Repr::Big(decimal) if decimal.is_integer() => decimal.to_u64(),
            Repr::Big(_) => None,
        }
    }

    /// Whether it has no fraction.
    #[must_use]
    pub fn is_integer(&self) -> bool {
        match &self.0 {
            Repr::Int(_) => true,
            Repr::Big(decimal) => decimal.is_integer(),
        }
    }

    /// Whether it is below zero.
    #[must_use]
    pub fn is_negative(&self) -> bool {
        match &self.0 {
            Repr::Int(int) => *int < 0,
            Repr::Big(decimal) => decimal.is_negative(),
        }
    }

    /// The nearest double, for libraries that know nothing better.
    #[must_use]
    pub fn to_f64(&self) -> f64 {
        self.decimal().to_f64().unwrap_or(f64::NAN)
    }

    /// Sum.
    ///
    /// # Errors
    /// [`NumberError::TooLong`].
    pub fn add(&self, other: &Self) -> Result<Self, NumberError> {
        if let (Repr::Int(a), Repr::Int(b)) = (&self.0, &other.0)
            && let Some(sum) = a.checked_add(*b)
        {
            return Ok(Self(Repr::Int(sum)));
        }
        Self::from_decimal(self.decimal() + other.decimal())
    }

    /// Difference.
    ///
    /// # Errors
    /// [`NumberError::TooLong`].
    pub fn subtract(&self, other: &Self) -> Result<Self, NumberError> {
        self.add(&other.negate())
    }

    /// Product.
    ///
    /// # Errors
    /// [`NumberError::TooLong`].
    pub fn multiply(&self, other: &Self) -> Result<Self, NumberError> {
        if let (Repr::Int(a), Repr::Int(b)) = (&self.0, &other.0)
            && let Some(product) = a.checked_mul(*b)
        {
            return Ok(Self(Repr::Int(product)));
        }
        Self::from_decimal(self.decimal() * other.decimal())
    }

    /// Quotient; one that does not end is rounded to 40 digits.
    ///
    /// # Errors
    /// [`NumberError::DivisionByZero`], [`NumberError::TooLong`].
    pub fn divide(&self, other: &Self) -> Result<Self, NumberError> {
        let divisor = other.decimal();
        if divisor.is_zero() {
            return Err(NumberError::DivisionByZero);
        }
        let quotient = self.decimal() / divisor;
        Self::from_decimal(if quotient.digits() > DIVISION_DIGITS { quotient.with_prec(DIVISION_DIGITS) } else { quotient })
    }

    /// Remainder with the sign of the dividend.
    ///
    /// # Errors
    /// [`NumberError::DivisionByZero`], [`NumberError::TooLong`].
    pub fn remainder(&self, other: &Self) -> Result<Self, NumberError> {
        if let (Repr::Int(a), Repr::Int(b)) = (&self.0, &other.0) {
            return if *b == 0 { Err(NumberError::DivisionByZero) } else { Ok(Self(Repr::Int(a.checked_rem(*b).unwrap_or(0)))) };
        }
        let (dividend, divisor) = (self.decimal(), other.decimal());
        if divisor.is_zero() {
            return Err(NumberError::DivisionByZero);
        }
        let quotient = (&dividend / &divisor).with_scale_round(0, RoundingMode::Down);
        Self::from_decimal(dividend - quotient * divisor)
    }

    /// The number with the other sign.
    #[must_use]
    pub fn negate(&self) -> Self {
        match &self.0 {
            Repr::Int(int) => int.checked_neg().map_or_else(|| Self(Repr::Big(Box::new(-BigDecimal::from(*int)))), |n| Self(Repr::Int(n))),
            Repr::Big(decimal) => Self::from_decimal(-(**decimal).clone()).unwrap_or_else(|_| self.clone()),
        }
    }

    /// The largest integer that is not above it.
    #[must_use]
    pub fn floor(&self) -> Self {
        self.round(RoundingMode::Floor)
    }

    /// The smallest integer that is not below it.
    #[must_use]
    pub fn ceil(&self) -> Self {
        self.round(RoundingMode::Ceiling)
    }

    fn round(&self, mode: RoundingMode) -> Self {
        match &self.0 {
            Repr::Int(_) => self.clone(),
            Repr::Big(decimal) => Self::from_decimal(decimal.with_scale_round(0, mode)).unwrap_or_else(|_| self.clone()),
        }
    }
}

impl From<i64> for Number {
    fn from(int: i64) -> Self {
        Self(Repr::Int(int))
    }
}

impl From<u64> for Number {
    fn from(int: u64) -> Self {
        i64::try_from(int).map_or_else(|_| Self(Repr::Big(Box::new(BigDecimal::from(int)))), Self::from)
    }
}

impl From<usize> for Number {
    fn from(int: usize) -> Self {
        Self::from(int as u64)
    }
}

impl FromStr for Number {
    type Err = NumberError;

    fn from_str(text: &str) -> Result<Self, NumberError> {
        if let Ok(int) = text.parse::<i64>() {
            return Ok(Self(Repr::Int(int)));
        }
        // A bound on the text before the library sees it: an exponent of a billion would be written out digit by digit.
        let digits = text.bytes().filter(u8::is_ascii_digit).count() as u64;
        if digits > MAX_DIGITS + 10 {
            return Err(NumberError::TooLong);
        }
        let starts = text.strip_prefix('-').unwrap_or(text).starts_with(|c: char| c.is_ascii_digit());
        if !starts || !text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'e' | b'E')) {
            return Err(NumberError::Syntax(text.to_owned()));
        }
        if let Some((_, exponent)) = text.split_once(['e', 'E']) {
            let exponent: i64 = exponent.parse().map_err(|_| NumberError::Syntax(text.to_owned()))?;
            if exponent.abs() > MAX_EXPONENT {
                return Err(NumberError::TooLong);
            }
        }
        Self::from_decimal(BigDecimal::from_str(text).map_err(|_| NumberError::Syntax(text.to_owned()))?)
    }
}

impl fmt::Display for Number {
    /// The shortest exact literal; plain digits up to 21 places, an exponent beyond.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Int(int) => write!(f, "{int}"),
            Repr::Big(decimal) => {
                let (digits, scale): (BigInt, i64) = decimal.as_bigint_and_exponent();
                if scale < -21 { write!(f, "{digits}e{}", -scale) } else { f.write_str(&decimal.to_plain_string()) }
            }
        }
    }
}

impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        match (&self.0, &other.0) {
            (Repr::Int(a), Repr::Int(b)) => a.cmp(b),
            _ => self.decimal().cmp(&other.decimal()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn n(text: &str) -> Number {
        text.parse().unwrap()
    }

    #[test]
    fn arithmetic_is_exact() {
        assert_eq!(n("0.1").add(&n("0.2")).unwrap(), n("0.3"));
        assert_eq!(n("9223372036854775807").add(&n("1")).unwrap().to_string(), "9223372036854775808");
        assert_eq!(n("10").divide(&n("4")).unwrap(), n("2.5"));
        assert_eq!(n("-7").remainder(&n("3")).unwrap(), n("-1"));
        assert_eq!(n("7.5").remainder(&n("2")).unwrap(), n("1.5"));
        assert_eq!(n("1").divide(&n("0")), Err(NumberError::DivisionByZero));
        assert_eq!(n("1.50"), n("1.5"));
        assert_eq!(n("1e3"), n("1000"));
        assert_eq!(n("-1.5").floor(), n("-2"));
        assert_eq!(n("-9223372036854775808").negate().to_string(), "9223372036854775808");
    }

    #[test]
    fn length_is_bounded_and_nonsense_refused() {
        assert_eq!("1e999999999".parse::<Number>(), Err(NumberError::TooLong));
        assert_eq!("1".repeat(1000).parse::<Number>(), Err(NumberError::TooLong));
        for text in ["", "-", "abc", "1e", "0x10", "1 2", ".", "inf", "NaN"] {
            assert!(text.parse::<Number>().is_err(), "{text}");
        }
        let mut big = n("12345678901234567890");
        while let Ok(next) = big.multiply(&big) {
            big = next;
        }
    }

    proptest! {
        #[test]
        fn printing_and_reading_round_trip(int in any::<i64>(), fraction in 0..1_000_000_u32, exponent in -50..50_i32) {
            let number = n(&format!("{int}.{fraction}e{exponent}"));
            prop_assert_eq!(n(&number.to_string()), number);
        }
    }
}
