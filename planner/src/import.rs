//! Taking over what is there: an import changes objects in place, and never destroys one.

use cloudtik_model::{ChangeWord, Diagnostic, Object, Span};

use crate::resource::changed;
use crate::{Action, Change};

/// Makes an import of what would be done if the object were in the state.
pub(crate) fn take_over(change: &mut Change, object: &Object) {
    change.word = change.attributes.iter().map(|attribute| attribute.word).max().unwrap_or(ChangeWord::None);
    change.action = Action::Import;
    change.reason = object.id.clone();
    if !change.attributes.is_empty() {
        change.reason = format!("{}; {}", object.id, changed(change.attributes.iter()));
    }
    change.before = Some(object.attributes.clone());
}

/// The error of an import whose object would be made anew.
pub(crate) fn replaces(change: &Change, id: &str, span: Span) -> Diagnostic {
    let title = format!("`{}` cannot be imported as {id}: it would be made anew, because {}", change.address, change.reason);
    let mut diagnostic = Diagnostic::error("import-replaces", title).at(span).of(&change.address);
    for attribute in change.attributes.iter().filter(|attribute| attribute.forces_replacement) {
        let shown = |value: &Option<cloudtik_model::Value>| value.as_ref().map_or_else(|| "nothing".to_owned(), crate::text::short);
        let note = format!("`{}` is {}, and the spec says {}", attribute.path, shown(&attribute.before), shown(&attribute.after));
        diagnostic = diagnostic.note(note);
    }
    diagnostic.help("an import never destroys: write into the spec what is there, and change it once it is imported")
}
