//! `cloudtik exec`

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use cloudtik::{ExecEnd, ExecRequest, ExecTarget, Failure, NodeOutput};
use serde_json::json;

use super::super::printer::Printer;
use super::super::{Exit, project};
use super::Context;

/// The exit code of a command that could not be run on a node.
const NOT_RUN: u8 = 255;
/// With `--json`, what is kept of what one node printed: its end.
const KEPT_BYTES_MAX: usize = 1024 * 1024;

/// From the arguments to a request.
pub(crate) fn request(cluster: Option<&str>, node: Option<&str>, all: bool, words: &[String]) -> ExecRequest {
    let target = match (node, all) {
        (_, true) => ExecTarget::All,
        (None | Some("head"), false) => ExecTarget::Head,
        (Some(node), false) => ExecTarget::Node(node.to_owned()),
    };
    ExecRequest { cluster: cluster.map(str::to_owned), target, words: words.to_vec() }
}

pub(crate) fn run(context: &Context<'_>, request: &ExecRequest, as_json: bool) -> Result<Exit, Failure> {
    let project = project::open(context.environment, context.given, None, None)?;
    let shown = Arc::new(Shown {
        printer: Arc::clone(context.printer),
        how: if as_json {
            How::Kept
        } else if request.target == ExecTarget::All {
            How::Prefixed
        } else {
            How::Plain
        },
        texts: Mutex::new(BTreeMap::new()),
    });
    let taking = Arc::clone(&shown);
    let ends = project.exec(request, Arc::new(move |output| taking.take(&output)))?;
    for end in &ends {
        shown.end(end);
    }
    let code = ends.iter().map(|end| end.result.as_ref().copied().unwrap_or(NOT_RUN)).max().unwrap_or_default();
    Ok(if code == 0 { Exit::Done } else { Exit::Command(code) })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// As it comes.
    Plain,
    /// Line by line, with the node before each.
    Prefixed,
    /// At the end, as JSON.
    Kept,
}

/// What the nodes print.
struct Shown {
    printer: Arc<Printer>,
    how: How,
    /// What is not shown yet, by node and stream.
    texts: Mutex<BTreeMap<(String, bool), Vec<u8>>>,
}

impl Shown {
    fn take(&self, output: &NodeOutput) {
        if self.how == How::Plain {
            return self.print(output.stderr, &output.bytes);
        }
        let mut texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        let text = texts.entry((output.node.clone(), output.stderr)).or_default();
        text.extend_from_slice(&output.bytes);
        if self.how == How::Kept {
            let excess = text.len().saturating_sub(KEPT_BYTES_MAX);
            text.drain(..excess);
        } else if let Some(end) = text.iter().rposition(|byte| *byte == b'\n') {
            let whole: Vec<u8> = text.drain(..=end).collect();
            self.print(output.stderr, prefixed(&output.node, &whole).as_bytes());
        }
    }

    /// What a node still has to say, and how its command ended.
    fn end(&self, end: &ExecEnd) {
        let mut texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut left = |stderr| String::from_utf8_lossy(&texts.remove(&(end.node.clone(), stderr)).unwrap_or_default()).into_owned();
        let (stdout, stderr) = (left(false), left(true));
        if self.how == How::Kept {
            let (code, error) = match &end.result {
                Ok(code) => (Some(code), None),
                Err(error) => (None, Some(error)),
            };
            let json =
                json!({ "format_version": "1.0", "node": end.node, "exit_code": code, "error": error, "stdout": stdout, "stderr": stderr });
            return self.printer.data_line(&json.to_string());
        }
        for (is_error, text) in [(false, stdout), (true, stderr)] {
            if !text.is_empty() {
                self.print(is_error, prefixed(&end.node, format!("{text}\n").as_bytes()).as_bytes());
            }
        }
        match &end.result {
            Err(error) => self.printer.say_line(&format!("{}: {error}", end.node)),
            Ok(code) if *code != 0 && self.how == How::Prefixed => self.printer.say_line(&format!("{}: exit code {code}", end.node)),
            Ok(_) => {}
        }
    }

    fn print(&self, stderr: bool, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        if stderr { self.printer.say(&text) } else { self.printer.data(&text) }
    }
}

/// Each line with the node before it.
fn prefixed(node: &str, lines: &[u8]) -> String {
    String::from_utf8_lossy(lines).lines().map(|line| format!("{node}: {line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_is_meant_where_nothing_is_said() {
        let target = |node, all| request(None, node, all, &[]).target;
        assert_eq!(target(None, false), ExecTarget::Head);
        assert_eq!(target(Some("head"), false), ExecTarget::Head);
        assert_eq!(target(Some("etcd[1]"), false), ExecTarget::Node("etcd[1]".to_owned()));
        assert_eq!(target(None, true), ExecTarget::All);
        assert_eq!(prefixed("n", b"a\nb\n"), "n: a\nn: b\n");
    }
}
