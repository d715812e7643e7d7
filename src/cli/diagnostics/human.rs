//! Diagnostics for people. The only place that knows miette, which draws the piece of source with its labels.
//!
//! miette shows labels of one file; places in other files, and what is too far off, are notes. Without colour and without Unicode the text
//! says the same.

use std::fmt;

use cloudtik::model::{Diagnostic, Label, Severity, SourceMap};
use miette::{
    GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError, MietteSpanContents, SourceCode, SourceSpan, SpanContents,
    ThemeCharacters, ThemeStyles,
};

use super::super::printer::Look;
use super::super::values::harmless;
use super::excerpt::Excerpt;

/// Lines shown before and behind those of the labels.
const CONTEXT_LINES: usize = 1;
/// What a tab is drawn as.
const TAB_WIDTH: usize = 4;

/// A diagnostic as text, with an empty line behind it.
pub(crate) fn render(diagnostic: &Diagnostic, sources: &SourceMap, look: Look) -> String {
    let adapter = Adapter::of(diagnostic, sources);
    let mut out = String::new();
    let drawn = handler(look).render_report(&mut out, &adapter);
    if drawn.is_err() {
        // Nothing is lost when the drawing does not work out: the sentence and the place are what counts.
        let place = diagnostic
            .primary
            .as_ref()
            .and_then(|label| sources.describe(label.span))
            .map_or_else(String::new, |place| format!("  {place}\n"));
        out = format!("  {}\n{place}", adapter.title);
    }
    for note in notes(diagnostic, sources, &adapter.elsewhere) {
        wrapped("note: ", &note, look, &mut out);
    }
    out.push('\n');
    out
}

fn handler(look: Look) -> GraphicalReportHandler {
    let characters = if look.unicode { ThemeCharacters::unicode() } else { ThemeCharacters::ascii() };
    let styles = if look.color { ThemeStyles::ansi() } else { ThemeStyles::none() };
    GraphicalReportHandler::new_themed(GraphicalTheme { characters, styles })
        .with_links(false)
        .with_width(look.width)
        .with_break_words(false)
        .with_context_lines(CONTEXT_LINES)
        .tab_width(TAB_WIDTH)
}

/// What miette wants to know.
#[derive(Debug)]
struct Adapter {
    title: String,
    severity: miette::Severity,
    help: Option<String>,
    excerpt: Option<Excerpt>,
    labels: Vec<LabeledSpan>,
    /// Labels that the excerpt does not show.
    elsewhere: Vec<Label>,
}

impl Adapter {
    fn of(diagnostic: &Diagnostic, sources: &SourceMap) -> Self {
        let (word, severity) = match diagnostic.severity {
            Severity::Error => ("error", miette::Severity::Error),
            Severity::Warning => ("warning", miette::Severity::Warning),
        };
        let mut adapter = Self {
            title: harmless(&format!("{word}[{}]: {}", diagnostic.code, diagnostic.title)),
            severity,
            help: diagnostic.help.as_deref().map(harmless),
            excerpt: None,
            labels: Vec::new(),
            elsewhere: Vec::new(),
        };
        let primary = diagnostic.primary.as_ref().and_then(|label| Some((label, sources.get(label.span.file)?)));
        let Some((primary, file)) = primary else {
            adapter.elsewhere = diagnostic.labels.clone();
            return adapter;
        };
        let (near, far): (Vec<&Label>, Vec<&Label>) = diagnostic.labels.iter().partition(|label| label.span.file == primary.span.file);
        let (excerpt, shown) = Excerpt::of(file, primary.span, &near);
        adapter.labels.push(LabeledSpan::new_primary_with_span(text(&primary.message), excerpt.range(primary.span)));
        for (label, shown) in near.into_iter().zip(shown) {
            if shown {
                adapter.labels.push(LabeledSpan::new_with_span(text(&label.message), excerpt.range(label.span)));
            } else {
                adapter.elsewhere.push(label.clone());
            }
        }
        adapter.elsewhere.extend(far.into_iter().cloned());
        adapter.excerpt = Some(excerpt);
        adapter
    }
}

fn text(message: &str) -> Option<String> {
    Some(harmless(message)).filter(|message| !message.is_empty())
}

/// The notes of a diagnostic, and the places that could not be drawn.
fn notes(diagnostic: &Diagnostic, sources: &SourceMap, elsewhere: &[Label]) -> Vec<String> {
    let places = elsewhere.iter().filter_map(|label| {
        let place = sources.describe(label.span)?;
        Some(if label.message.is_empty() { format!("see {place}") } else { format!("{place}: {}", label.message) })
    });
    let address = diagnostic.address.as_ref().map(ToString::to_string).filter(|address| !diagnostic.title.contains(address.as_str()));
    let address = address.map(|address| format!("it is about `{address}`"));
    places.chain(diagnostic.notes.iter().cloned()).chain(address).map(|note| harmless(&note)).collect()
}

/// A text behind a word, its further lines indented below it.
fn wrapped(word: &str, text: &str, look: Look, out: &mut String) {
    use fmt::Write as _;
    use unicode_width::UnicodeWidthStr as _;
    let indent = 2 + word.len();
    let painted = if look.color { format!("\u{1b}[36m{word}\u{1b}[0m") } else { word.to_owned() };
    let _ = write!(out, "  {painted}");
    for (i, line) in text.lines().enumerate() {
        let mut column = indent;
        if i > 0 {
            let _ = write!(out, "\n{:indent$}", "");
        }
        // Text that comes with its own layout keeps it.
        let layout: String = line.chars().take_while(|c| *c == ' ').collect();
        out.push_str(&layout);
        column += layout.len();
        let mut first = true;
        for piece in line.split(' ').filter(|piece| !piece.is_empty()) {
            let width = piece.width();
            if !first && column + 1 + width > look.width {
                let _ = write!(out, "\n{:indent$}", "");
                column = indent;
            } else if !first {
                out.push(' ');
                column += 1;
            }
            out.push_str(piece);
            column += width;
            first = false;
        }
    }
    out.push('\n');
}

impl SourceCode for Excerpt {
    fn read_span<'a>(&'a self, span: &SourceSpan, before: usize, after: usize) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let contents = self.text.as_str().read_span(span, before, after)?;
        let read = *contents.span();
        let (line, column) = (self.lines_before + contents.line(), if before == 0 { self.column(read.offset()) } else { 0 });
        Ok(Box::new(MietteSpanContents::new_named(self.path.clone(), contents.data(), read, line, column, contents.line_count())))
    }
}

impl fmt::Display for Adapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.title)
    }
}

impl std::error::Error for Adapter {}

impl miette::Diagnostic for Adapter {
    fn severity(&self) -> Option<miette::Severity> {
        Some(self.severity)
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display + 'a>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.excerpt.as_ref().map(|excerpt| excerpt as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(self.labels.iter().cloned()))
    }
}
