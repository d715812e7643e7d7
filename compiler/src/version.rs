//! Versions and their constraints: `>= 0.1, < 1.0`, `~> 3.5`, `1.2.3`.

use std::cmp::Ordering;

/// Why a version does not do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum VersionError {
    #[error("`{0}` is not a version constraint: write `>= 1.2, < 2.0`, `~> 1.2` or `1.2.3`")]
    Syntax(String),
    #[error("version {version} does not fulfil `{constraint}`")]
    Unfulfilled { version: String, constraint: String },
}

/// Numbers of a version; what follows a `-` or `+` is left aside.
fn numbers(text: &str) -> Option<Vec<u64>> {
    let core = text.split(['-', '+']).next()?;
    let parts: Vec<u64> = core.split('.').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    (!parts.is_empty() && parts.len() <= 4).then_some(parts)
}

fn compare(a: &[u64], b: &[u64]) -> Ordering {
    let width = a.len().max(b.len());
    let at = |parts: &[u64], i: usize| parts.get(i).copied().unwrap_or(0);
    (0..width).map(|i| at(a, i).cmp(&at(b, i))).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

/// Whether a version fulfils all parts of a constraint.
pub(crate) fn check_constraint(constraint: &str, version: &str) -> Result<(), VersionError> {
    let syntax = || VersionError::Syntax(constraint.to_owned());
    let have = numbers(version).ok_or_else(syntax)?;
    for part in constraint.split(',').map(str::trim) {
        let split = part.find(|c: char| c.is_ascii_digit()).ok_or_else(syntax)?;
        let (operator, wanted) = part.split_at(split);
        let want = numbers(wanted.trim()).ok_or_else(syntax)?;
        let order = compare(&have, &want);
        let fulfilled = match operator.trim() {
            "" | "=" => order.is_eq(),
            "!=" => order.is_ne(),
            ">" => order.is_gt(),
            ">=" => order.is_ge(),
            "<" => order.is_lt(),
            "<=" => order.is_le(),
            // The last number written may grow, what stands before it may not.
            "~>" => {
                let fixed = want.len().saturating_sub(1).max(1);
                order.is_ge() && have.iter().take(fixed).eq(want.iter().take(fixed))
            }
            _ => return Err(syntax()),
        };
        if !fulfilled {
            return Err(VersionError::Unfulfilled { version: version.to_owned(), constraint: constraint.to_owned() });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constraints_hold_or_not() {
        for (constraint, version, expected) in [
            (">= 0.1, < 1.0", "0.1.0", true),
            (">= 0.2", "0.1.9", false),
            ("~> 3.5", "3.9.1", true),
            ("~> 3.5", "4.0", false),
            ("~> 3.5.1", "3.6", false),
            ("1.31.3", "1.31.3", true),
            ("!= 1.0", "1.0.0", false),
        ] {
            assert_eq!(check_constraint(constraint, version).is_ok(), expected, "{constraint} {version}");
        }
        assert!(matches!(check_constraint("latest", "1.0"), Err(VersionError::Syntax(_))));
        assert!(matches!(check_constraint("=> 1", "1.0"), Err(VersionError::Syntax(_))));
    }
}
