//! Decimals, exact up to the precision of Terraform's numbers and rounded as those beyond it.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use bigdecimal::num_bigint::BigInt;
use bigdecimal::{BigDecimal, RoundingMode, Signed as _, ToPrimitive as _, Zero as _};

/// The most digits a number may be written with. Money, sizes, ports and 256-bit identifiers fit.
pub const MAX_DIGITS: u64 = 200;

/// The longest text of a number: all digits of the smallest one, with room.
const MAX_TEXT_BYTES: usize = 2_000;

/// Bits of the significand that a number is rounded to, as Terraform's are.
const PRECISION_BITS: u64 = 512;

/// A decimal of so many digits is told apart from every other one by that many bits: it is exact, and is kept as it is.
const EXACT_DIGITS: u64 = 153;

/// The largest power of ten, up or down: numbers beyond it are mistakes, and printing them would cost memory.
const MAX_EXPONENT: i64 = 400;

/// Why a number could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NumberError {
    /// The text is no number.
    #[error("`{0}` is not a number")]
    Syntax(String),
    /// Written with more than [`MAX_DIGITS`] digits or with too large a power of ten.
    #[error("the number has more than {MAX_DIGITS} digits or is beyond 1e{MAX_EXPONENT}")]
    TooLong,
    /// Division or remainder by zero.
    #[error("division by zero")]
    DivisionByZero,
}

/// A decimal of up to 512 bits. Small integers are kept as such; every number has one representation, so equality is of values.
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

    /// A decimal of any length.
    fn from_decimal(decimal: BigDecimal) -> Result<Self, NumberError> {
        if decimal.digits() <= EXACT_DIGITS {
            return Self::kept(decimal);
        }
        // Before it is rounded, so that no power of ten is written out that is too large.
        let (digits, scale) = decimal.normalized().into_bigint_and_exponent();
        if scale.abs() > MAX_EXPONENT.saturating_mul(3) {
            return Err(NumberError::TooLong);
        }
        let (numerator, denominator) = ratio(digits, scale);
        Self::kept(rounded(&numerator, &denominator))
    }

    /// A decimal as short as it is to be.
    fn kept(decimal: BigDecimal) -> Result<Self, NumberError> {
        let decimal = decimal.normalized();
        if decimal.is_integer()
            && let Some(int) = decimal.to_i64()
        {
            return Ok(Self(Repr::Int(int)));
        }
        let (_, scale) = decimal.as_bigint_and_exponent();
        // The power of ten of its first digit.
        let first = i64::try_from(decimal.digits()).unwrap_or(i64::MAX).saturating_sub(scale);
        if first.abs() > MAX_EXPONENT { Err(NumberError::TooLong) } else { Ok(Self(Repr::Big(Box::new(decimal)))) }
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

    /// The same number in few characters, with an exponent where it has many zeros.
    #[must_use]
    pub fn to_short_string(&self) -> String {
        match &self.0 {
            Repr::Big(decimal) => {
                let (digits, scale) = decimal.as_bigint_and_exponent();
                if scale.abs() > 21 { format!("{digits}e{}", -scale) } else { decimal.to_plain_string() }
            }
            Repr::Int(int) => int.to_string(),
        }
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

    /// Quotient; one that does not end is rounded.
    ///
    /// # Errors
    /// [`NumberError::DivisionByZero`], [`NumberError::TooLong`].
    pub fn divide(&self, other: &Self) -> Result<Self, NumberError> {
        let ((dividend, of), (divisor, by)) = (self.decimal().into_bigint_and_exponent(), other.decimal().into_bigint_and_exponent());
        if divisor.is_zero() {
            return Err(NumberError::DivisionByZero);
        }
        // With so many digits a quotient that ends within the exact ones leaves nothing.
        let digits = |number: &BigInt| i64::try_from(number.bits() / 3).unwrap_or(i64::MAX);
        let more = (i64::try_from(EXACT_DIGITS).unwrap_or(i64::MAX) + digits(&divisor) - digits(&dividend) / 2).max(0);
        let scaled = dividend * BigInt::from(10).pow(u32::try_from(more).unwrap_or(u32::MAX));
        let scale = more + of - by;
        if (&scaled % &divisor).is_zero() {
            return Self::from_decimal(BigDecimal::new(scaled / divisor, scale));
        }
        let (numerator, power) = ratio(scaled, scale);
        Self::kept(rounded(&numerator, &(divisor * power)))
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
        // As whole numbers of the same fraction: the remainder of those is exact.
        let scale = dividend.as_bigint_and_exponent().1.max(divisor.as_bigint_and_exponent().1);
        let whole = |decimal: &BigDecimal| decimal.with_scale(scale).into_bigint_and_exponent().0;
        Self::from_decimal(BigDecimal::new(whole(&dividend) % whole(&divisor), scale))
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

/// Digits with a scale as a quotient of whole numbers.
fn ratio(digits: BigInt, scale: i64) -> (BigInt, BigInt) {
    let power = BigInt::from(10).pow(u32::try_from(scale.unsigned_abs()).unwrap_or(u32::MAX));
    if scale > 0 { (digits, power) } else { (digits * power, BigInt::from(1)) }
}

/// The shortest decimal that stands for the quotient in the precision of numbers.
fn rounded(numerator: &BigInt, denominator: &BigInt) -> BigDecimal {
    let nearest = Binary::nearest(numerator, denominator);
    let exact = nearest.decimal();
    let longest = EXACT_DIGITS + 4;
    (EXACT_DIGITS..longest)
        .map(|digits| with_digits(&exact, digits))
        .find(|short| Binary::of(short) == nearest)
        .unwrap_or_else(|| with_digits(&exact, longest))
}

/// A decimal of so many digits. `BigDecimal::with_prec` would cut a negative one off instead of rounding it.
fn with_digits(decimal: &BigDecimal, digits: u64) -> BigDecimal {
    let (_, scale) = decimal.as_bigint_and_exponent();
    let signed = |digits: u64| i64::try_from(digits).unwrap_or(i64::MAX);
    decimal.with_scale_round(scale + signed(digits) - signed(decimal.digits()), RoundingMode::HalfEven)
}

/// A number of [`PRECISION_BITS`]: a significand of exactly so many bits, and its power of two.
#[derive(PartialEq)]
struct Binary {
    significand: BigInt,
    exponent: i64,
}

impl Binary {
    /// The nearest to a quotient; of two that are equally near the even one.
    fn nearest(numerator: &BigInt, denominator: &BigInt) -> Self {
        let bits = |number: &BigInt| i64::try_from(number.bits()).unwrap_or(i64::MAX);
        let precision = i64::try_from(PRECISION_BITS).unwrap_or(i64::MAX);
        let divided = |exponent: i64| {
            let by = u64::try_from(exponent.abs()).unwrap_or(u64::MAX);
            let (above, below) =
                if exponent < 0 { (numerator.abs() << by, denominator.clone()) } else { (numerator.abs(), denominator << by) };
            (&above / &below, &above % &below, below)
        };
        let mut exponent = bits(numerator) - bits(denominator) - precision;
        let (mut significand, mut rest, mut below) = divided(exponent);
        if significand.bits() > PRECISION_BITS {
            exponent += 1;
            (significand, rest, below) = divided(exponent);
        }
        let half: BigInt = rest * 2;
        if half > below || (half == below && significand.bit(0)) {
            significand += 1;
        }
        if significand.bits() > PRECISION_BITS {
            significand >>= 1;
            exponent += 1;
        }
        let significand = if numerator.is_negative() { -significand } else { significand };
        Self { significand, exponent }
    }

    fn of(decimal: &BigDecimal) -> Self {
        let (digits, scale) = decimal.as_bigint_and_exponent();
        let (numerator, denominator) = ratio(digits, scale);
        Self::nearest(&numerator, &denominator)
    }

    /// All of its digits.
    fn decimal(&self) -> BigDecimal {
        let by = self.exponent.unsigned_abs();
        if self.exponent >= 0 {
            return BigDecimal::from(&self.significand << by);
        }
        let fives = BigInt::from(5).pow(u32::try_from(by).unwrap_or(u32::MAX));
        BigDecimal::new(&self.significand * fives, -self.exponent)
    }
}

/// Digits between the first and the last one that is not zero.
fn significant_digits(text: &str) -> u64 {
    let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    digits.trim_matches('0').len() as u64
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
        if text.len() > MAX_TEXT_BYTES || significant_digits(text) > MAX_DIGITS {
            return Err(NumberError::TooLong);
        }
        let starts = text.strip_prefix('-').unwrap_or(text).starts_with(|c: char| c.is_ascii_digit());
        if !starts || !text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'e' | b'E')) {
            return Err(NumberError::Syntax(text.to_owned()));
        }
        if let Some((_, exponent)) = text.split_once(['e', 'E']) {
            let exponent: i64 = exponent.parse().map_err(|_| NumberError::Syntax(text.to_owned()))?;
            if exponent.abs() > MAX_EXPONENT.saturating_mul(3) {
                return Err(NumberError::TooLong);
            }
        }
        Self::from_decimal(BigDecimal::from_str(text).map_err(|_| NumberError::Syntax(text.to_owned()))?)
    }
}

impl fmt::Display for Number {
    /// All of its digits, without an exponent.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Int(int) => write!(f, "{int}"),
            Repr::Big(decimal) => f.write_str(&decimal.to_plain_string()),
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
        assert_eq!(n("1e150").remainder(&n("7")).unwrap(), n("1"));
        assert_eq!(n("-1e-3").remainder(&n("7")).unwrap(), n("-0.001"));
        assert_eq!(n("1").divide(&n("0")), Err(NumberError::DivisionByZero));
        assert_eq!(n("1e-300").divide(&n("8")).unwrap(), n("1.25e-301"));
        assert_eq!(n("1.50"), n("1.5"));
        assert_eq!(n("1e3"), n("1000"));
        assert_eq!(n("-1.5").floor(), n("-2"));
        assert_eq!(n("-9223372036854775808").negate().to_string(), "9223372036854775808");
    }

    /// As `terraform console` shows them.
    #[test]
    fn what_does_not_end_is_rounded_as_terraform_does() {
        let third = n("1").divide(&n("3")).unwrap();
        assert_eq!(third.to_string(), format!("0.{}5", "3".repeat(154)));
        assert_eq!(third.multiply(&n("3")).unwrap(), n("1"));
        assert_eq!(n("2").divide(&n("3")).unwrap().to_string(), format!("0.{}7", "6".repeat(153)));
        assert_eq!(n("-1").divide(&n("7")).unwrap().negate(), n("1").divide(&n("7")).unwrap());
        // More digits than are exact, most of them zeros: read as they were written, whatever the sign.
        let wide = n("3523025130670168770e222").multiply(&n("31813531711367571")).unwrap();
        assert_eq!(n(&wide.negate().to_string()), wide.negate());
        let mut power = n("2");
        for _ in 0..9 {
            power = power.multiply(&power).unwrap();
        }
        // 2 to the 512th: one more digit than is exact, and exact all the same.
        assert!(power.to_string().starts_with("13407807929942597099574024998205846127479365820592393377723561443721764030073546976801874298166903427690031858186486050853753882811946569946433649006084096"), "{power}");
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
        fn what_is_worked_out_can_be_written_and_read(a in any::<i64>(), b in any::<i64>(), power in -390..380_i32) {
            let (a, b) = (n(&format!("{a}e{power}")), n(&b.to_string()));
            for number in [a.divide(&b), a.multiply(&b), a.add(&b), b.divide(&a), a.remainder(&b)].into_iter().flatten() {
                prop_assert_eq!(&n(&number.to_string()), &number);
                prop_assert_eq!(&n(&number.to_short_string()), &number);
            }
        }

        #[test]
        fn printing_and_reading_round_trip(int in any::<i64>(), fraction in 0..1_000_000_u32, exponent in -50..50_i32) {
            let number = n(&format!("{int}.{fraction}e{exponent}"));
            prop_assert_eq!(n(&number.to_string()), number);
        }
    }
}
