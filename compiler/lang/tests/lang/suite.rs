//! The specification suite of HCL. Its files stand in `tests/hcl-specsuite` as they were published, with their licence.
//!
//! A case is a `.hcl` file, a `.hcldec` file that says how it is decoded, and a `.t` file with what must come out: a value and its type, or where
//! the errors are.

#![expect(clippy::disallowed_methods, reason = "the suite stands in files, which no package but this test reads")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use cloudtik_lang::{Context, Variables, convert, evaluate, parse_type};
use cloudtik_model::{Diagnostic, Diagnostics, FileId, Type, Value};
use cloudtik_syntax::{Attribute, Block, Body, parse_file};

/// Where we give something else: the case, what of it, and why. What stands here must differ.
const DIFFERENCES: [(&str, &str, &str); 3] = [
    ("expressions/operators", ".arithmetic.mod_frac", "numbers are decimals: nothing is left of a fraction that two does not divide"),
    ("expressions/primitive_literals", ".string_unicode_nonnorm", "text stays as it is written, accents apart from their letters too"),
    (
        "structure/blocks/single_oneline_invalid",
        "errors",
        "each mistake is an error, but of a block that begins on one line and goes on the place is what stands behind its brace, not the line break",
    ),
];

struct Case {
    path: PathBuf,
    name: String,
}

fn cases() -> Vec<Case> {
    fn walk(folder: &Path, root: &Path, found: &mut Vec<Case>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, root, found);
            } else if path.extension().is_some_and(|ending| ending == "t") {
                let name = path.with_extension("").strip_prefix(root).unwrap().display().to_string();
                found.push(Case { path, name });
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hcl-specsuite/tests");
    let mut found = Vec::new();
    walk(&root, &root, &mut found);
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

impl Case {
    fn text(&self, ending: &str) -> String {
        std::fs::read_to_string(self.path.with_extension(ending)).unwrap()
    }

    /// A file of the suite itself, which has no errors.
    fn sound(&self, ending: &str) -> Body {
        let (body, errors) = parse_file(FileId(0), &self.text(ending));
        assert!(!errors.has_errors(), "{}.{ending}: {errors:?}", self.name);
        body
    }

    /// What differs: where, and how.
    fn problems(&self) -> Vec<(String, String)> {
        let (wanted, spec) = (self.sound("t"), self.sound("hcldec"));
        let (body, mut errors) = parse_file(FileId(0), &self.text("hcl"));
        let variables = spec.blocks.iter().filter(|block| &*block.kind.name == "variables").flat_map(|block| &block.body.attributes);
        let none = Variables::none();
        let scope = Variables::new(variables.map(|attribute| (attribute.name.name.clone(), value_of(attribute, &none).unwrap())));
        let root = spec.blocks.iter().find(|block| &*block.kind.name != "variables").unwrap();
        let decoded = Decoder { scope: &scope, errors: &mut errors }.decode(root, &body);
        let expected = expected_errors(&wanted);
        if !expected.is_empty() || errors.has_errors() {
            let places = |error: &Diagnostic| error.primary.as_ref().map(|label| (label.span.start, label.span.end));
            let found: BTreeSet<(u32, u32)> = errors.iter().filter_map(places).collect();
            let problem = ("errors".to_owned(), format!("they are at {found:?}, not at {expected:?}: {errors:#?}"));
            return if found == expected { Vec::new() } else { vec![problem] };
        }
        let of = |name: &str| wanted.attribute(name);
        let result = of("result").map(|attribute| value_of(attribute, &none).unwrap());
        let ty = of("result_type").map(|attribute| parse_type(&attribute.value).unwrap());
        let mut found = Vec::new();
        if let Some(result) = result {
            compare(&decoded, &result, "", &mut found);
        }
        found.extend(ty.filter(|ty| decoded.ty() != *ty).map(|ty| ("type".to_owned(), format!("{decoded:?} is not of type {ty}"))));
        found
    }
}

/// What is written as an object may be a map.
fn compare(ours: &Value, wanted: &Value, path: &str, found: &mut Vec<(String, String)>) {
    match (ours.entries(), wanted.entries()) {
        (Some(a), Some(b)) if a.keys().eq(b.keys()) => {
            a.iter().zip(b.values()).for_each(|((name, a), b)| compare(a, b, &format!("{path}.{name}"), found));
        }
        _ if ours == wanted => {}
        _ => found.push((path.to_owned(), format!("{ours:?} is not {wanted:?}"))),
    }
}

fn value_of(attribute: &Attribute, scope: &Variables) -> Result<Value, Diagnostics> {
    evaluate(&attribute.value, &Context::new(scope))
}

fn expected_errors(wanted: &Body) -> BTreeSet<(u32, u32)> {
    let byte = |error: &Block, end: &str| {
        let place = error.body.blocks.iter().find(|block| &*block.kind.name == end).unwrap();
        let value = value_of(place.body.attribute("byte").unwrap(), &Variables::none()).unwrap();
        u32::try_from(value.as_number().unwrap().as_u64().unwrap()).unwrap()
    };
    let lists = wanted.blocks.iter().filter(|block| &*block.kind.name == "diagnostics");
    lists.flat_map(|list| &list.body.blocks).map(|error| (byte(error, "from"), byte(error, "to"))).collect()
}

/// Reads a body by a specification of `hcldec`, as far as the suite uses it.
struct Decoder<'a> {
    scope: &'a Variables,
    errors: &'a mut Diagnostics,
}

impl Decoder<'_> {
    fn decode(&mut self, spec: &Block, body: &Body) -> Value {
        let name = || spec.labels.first().map(|label| label.text.to_string());
        let of_type = |block: &&Block| {
            let kind = spec.body.attribute("block_type").and_then(|attribute| value_of(attribute, &Variables::none()).ok());
            kind.and_then(|kind| kind.as_str().map(str::to_owned)).or_else(name).is_some_and(|kind| kind == *block.kind.name)
        };
        match &*spec.kind.name {
            "literal" => value_of(spec.body.attribute("value").unwrap(), &Variables::none()).unwrap(),
            "object" => {
                self.refuse_others(spec, body);
                let field = |inner: &Block| (inner.labels[0].text.clone(), self.decode(inner, body));
                Value::object(spec.body.blocks.iter().map(field).collect::<Vec<_>>())
            }
            "attr" => {
                let ty = spec.body.attribute("type").map_or(Type::Any, |ty| parse_type(&ty.value).unwrap());
                let Some(attribute) = body.attribute(&spec.labels[0].text) else { return Value::null_of(&ty) };
                match value_of(attribute, self.scope) {
                    Ok(value) => convert(&value, &ty).unwrap(),
                    Err(errors) => {
                        self.errors.extend(errors);
                        Value::null_of(&ty)
                    }
                }
            }
            "block" => body.blocks.iter().find(of_type).map_or(Value::NULL, |block| self.decode(&spec.body.blocks[0], &block.body)),
            "block_list" => {
                let blocks: Vec<&Block> = body.blocks.iter().filter(of_type).collect();
                Value::tuple(blocks.into_iter().map(|block| self.decode(&spec.body.blocks[0], &block.body)).collect::<Vec<_>>())
            }
            "block_map" => {
                let blocks: Vec<&Block> = body.blocks.iter().filter(of_type).collect();
                let entry = |block: &Block| (block.labels[0].text.clone(), self.decode(&spec.body.blocks[0], &block.body));
                Value::map(blocks.into_iter().map(entry).collect::<Vec<_>>())
            }
            other => panic!("the suite has a `{other}`, which nobody decodes"),
        }
    }

    /// An attribute that the specification does not name is an error at its name.
    fn refuse_others(&mut self, spec: &Block, body: &Body) {
        let is_named = |name: &str| spec.body.blocks.iter().any(|inner| &*inner.kind.name == "attr" && &*inner.labels[0].text == name);
        for attribute in body.attributes.iter().filter(|attribute| !is_named(&attribute.name.name)) {
            self.errors.push(Diagnostic::error("unexpected", "an attribute that is not expected").at(attribute.name.span));
        }
    }
}

#[test]
fn the_specification_suite_of_hcl_passes() {
    let cases = cases();
    assert_eq!(cases.len(), 15);
    let problems: Vec<(&str, String, String)> =
        cases.iter().flat_map(|case| case.problems().into_iter().map(|(place, text)| (case.name.as_str(), place, text))).collect();
    let is_listed = |case: &str, place: &str| DIFFERENCES.iter().any(|(listed, at, _)| *listed == case && *at == place);
    let wrong: Vec<_> = problems.iter().filter(|(case, place, _)| !is_listed(case, place)).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(problems.len(), DIFFERENCES.len(), "what is listed as a difference is none any more");
}
