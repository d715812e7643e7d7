//! Whether two tokens that follow each other on a line stand apart.

use super::tokens::{Bracket, Kind, Token};

/// Whether there is a blank between `left` and the token behind it. `before` is the one before `left` on the same line.
pub(super) fn is_apart(before: Option<Kind>, left: &Token, right: Kind) -> bool {
    use Kind::{
        Bang, Close, CloseHeredoc, CloseQuote, Comma, Comment, Dot, Ellipsis, Minus, Name, Namespace, Open, OpenHeredoc, OpenQuote, Text,
    };
    match (left.kind, right) {
        // Inside of a template nothing is moved but what stands in its sequences.
        (OpenQuote | OpenHeredoc | Text, _) | (_, Text | CloseQuote | CloseHeredoc) => false,
        (Open(Bracket::Sequence), _) | (_, Close(Bracket::Sequence)) => false,
        (Close(Bracket::Sequence), Open(Bracket::Sequence)) => false,
        (_, Comment) | (Comment, _) => true,
        (Dot | Namespace, _) | (_, Dot | Namespace | Comma | Ellipsis) => false,
        (Comma, _) => true,
        (Name | Kind::In, Open(Bracket::Round)) => false,
        (Open(Bracket::Brace), Close(Bracket::Brace)) => false,
        (Open(Bracket::Round | Bracket::Square), _) | (_, Close(Bracket::Round | Bracket::Square)) => false,
        (Bang, _) => false,
        (Minus, _) => !is_sign(before),
        (Name | Kind::Number | Close(_), Open(Bracket::Square)) => false,
        _ => true,
    }
}

/// Whether a minus behind this is a sign of what follows, and no difference.
const fn is_sign(before: Option<Kind>) -> bool {
    !matches!(before, Some(Kind::Name | Kind::In | Kind::Number | Kind::Close(_) | Kind::CloseQuote | Kind::CloseHeredoc))
}
