//! Texts of a template, of which parts are filled in by CloudFormation.

use serde_json::{Map, Value as Json, json};

use super::facts::Parameter;

/// A part of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// As it is.
    Text(String),
    /// What a resource, a parameter or AWS itself is called.
    Ref(String),
    /// An attribute of a resource.
    Attribute(String, String),
    /// What another function gives.
    Other(Json),
}

/// A text, with the parameters that it needs.
#[derive(Clone, Debug, Default)]
pub(super) struct Written {
    pub(super) pieces: Vec<Piece>,
    pub(super) parameters: Vec<Parameter>,
}

impl Written {
    pub(super) fn piece(piece: Piece) -> Self {
        Self { pieces: vec![piece], parameters: Vec::new() }
    }

    /// What CloudFormation knows by itself.
    pub(super) fn known(name: &str) -> Self {
        Self::piece(Piece::Ref(name.to_owned()))
    }

    pub(super) fn parameter(parameter: Parameter) -> Self {
        Self { pieces: vec![Piece::Ref(parameter.name.clone())], parameters: vec![parameter] }
    }

    pub(super) fn extend(&mut self, other: Self) {
        self.pieces.extend(other.pieces);
        self.parameters.extend(other.parameters);
    }
}

/// The text as the template has it.
pub(super) fn json(pieces: &[Piece]) -> Json {
    match pieces {
        [Piece::Ref(name)] => return json!({ "Ref": name }),
        [Piece::Attribute(of, name)] => return json!({ "Fn::GetAtt": [of, name] }),
        [Piece::Other(json)] => return json.clone(),
        _ => {}
    }
    let mut text = String::new();
    let mut others = Map::new();
    let mut fills = false;
    for piece in pieces {
        match piece {
            Piece::Text(plain) => text.push_str(&plain.replace("${", "${!")),
            Piece::Ref(name) => text.push_str(&format!("${{{name}}}")),
            Piece::Attribute(of, name) => text.push_str(&format!("${{{of}.{name}}}")),
            Piece::Other(json) => {
                let name = format!("Part{}", others.len());
                text.push_str(&format!("${{{name}}}"));
                others.insert(name, json.clone());
            }
        }
        fills |= !matches!(piece, Piece::Text(_));
    }
    if !fills {
        return Json::String(text.replace("${!", "${"));
    }
    if others.is_empty() { json!({ "Fn::Sub": text }) } else { json!({ "Fn::Sub": [text, others] }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_filled_in_is_written_once_and_the_rest_as_it_is() {
        let of = |text: &str| Piece::Text(text.to_owned());
        assert_eq!(json(&[of("a${b}"), of("c")]), json!("a${b}c"));
        assert_eq!(json(&[Piece::Ref("AWS::Region".to_owned())]), json!({ "Ref": "AWS::Region" }));
        let all = [of("${x}-"), Piece::Ref("R".to_owned()), of("-"), Piece::Attribute("V".to_owned(), "Arn".to_owned())];
        assert_eq!(json(&all), json!({ "Fn::Sub": "${!x}-${R}-${V.Arn}" }));
        let other = json!({ "Fn::Select": [0, { "Fn::GetAZs": "" }] });
        assert_eq!(json(&[of("z"), Piece::Other(other.clone())]), json!({ "Fn::Sub": ["z${Part0}", { "Part0": other }] }));
    }
}
