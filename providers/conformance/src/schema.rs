//! What can be said of a schema without a call.

use std::collections::BTreeSet;

use cloudtik_model::{ChangeWord, Type, Value};
use cloudtik_provider_api::{AttributeSchema, Idempotency, KindSchema, Presence, ProviderSchema};

/// What is wrong with a schema: one sentence each.
#[must_use]
pub fn check_schema(schema: &ProviderSchema) -> Vec<String> {
    let mut wrong = Vec::new();
    check_attributes("the provider block", &schema.config, &mut wrong);
    for (name, kind) in &schema.kinds {
        if *name != kind.name {
            wrong.push(format!("the kind `{}` is listed as `{name}`", kind.name));
        }
        check_kind(kind, &mut wrong);
    }
    wrong
}

fn check_kind(kind: &KindSchema, wrong: &mut Vec<String>) {
    let name = kind.name;
    check_attributes(name, &kind.attributes, wrong);
    if kind.doc.is_empty() {
        wrong.push(format!("`{name}` has no sentence for the reference"));
    }
    if kind.class == Idempotency::UniqueName && kind.unique_name.is_none() {
        wrong.push(format!("`{name}` is found by a unique name and does not say which attribute that is"));
    }
    if let Some(unique) = kind.unique_name
        && kind.attribute(unique).is_none_or(|attribute| attribute.ty != Type::String || !attribute.is_settable())
    {
        wrong.push(format!("the unique name `{unique}` of `{name}` is no string that can be set"));
    }
    if let Idempotency::TagAtCreate { reads: 0, .. } = kind.class {
        wrong.push(format!("`{name}` settles without a single read"));
    }
    if kind.concurrency_max == 0 {
        wrong.push(format!("no call of `{name}` may ever be made"));
    }
    for choice in kind.choices {
        let is = kind.attribute(choice.is).filter(|attribute| attribute.presence == Presence::OptionalComputed);
        let among = kind.attribute(choice.among).map(|attribute| &attribute.ty);
        if is.is_none_or(|is| among != Some(&Type::list(is.ty.clone()))) {
            wrong.push(format!("`{}` of `{name}` is not chosen among values of `{}`", choice.is, choice.among));
        }
    }
    for needed in ["node", "ssh"] {
        let computed = kind.attribute(needed).is_some_and(|attribute| attribute.presence == Presence::Computed);
        if kind.is_node && !computed {
            wrong.push(format!("`{name}` is a node and has no computed attribute `{needed}`"));
        }
    }
    if kind.attribute("id").is_some() {
        wrong.push(format!("`{name}` lists `id`, which every kind has"));
    }
}

fn check_attributes(of: &str, attributes: &[AttributeSchema], wrong: &mut Vec<String>) {
    let mut seen = BTreeSet::new();
    for attribute in attributes {
        if !seen.insert(attribute.name) {
            wrong.push(format!("`{of}` has `{}` twice", attribute.name));
        }
        if attribute.doc.is_empty() {
            wrong.push(format!("`{}` of `{of}` has no sentence for the reference", attribute.name));
        }
        if attribute.presence == Presence::Computed && attribute.change != ChangeWord::None {
            wrong.push(format!("`{}` of `{of}` is never set, so no change of it does anything", attribute.name));
        }
        if let Presence::Default(value) = &attribute.presence
            && !fits(value, &attribute.ty)
        {
            wrong.push(format!("the default of `{}` of `{of}` is {} and not {}", attribute.name, value.describe(), attribute.ty));
        }
    }
}

fn fits(value: &Value, ty: &Type) -> bool {
    match ty {
        Type::Any => true,
        Type::Bool => value.as_bool().is_some(),
        Type::Number => value.as_number().is_some(),
        Type::String => value.as_str().is_some(),
        Type::List(of) | Type::Set(of) => value.elements().is_some_and(|mut items| items.all(|item| fits(item, of))),
        Type::Tuple(_) => value.elements().is_some(),
        Type::Map(of) => value.entries().is_some_and(|items| items.values().all(|item| fits(item, of))),
        Type::Object(_) => value.entries().is_some(),
    }
}
