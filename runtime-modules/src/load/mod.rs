//! From the files of a module to a [`Module`]: everything that can be said without a node is said here.

mod needs;
mod options;
mod references;
mod steps;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloudtik_lang::Variables;
use cloudtik_model::{Diagnostic, Diagnostics, Digest, FileId, ReadError, SourceMap, SourceSet, Span, did_you_mean};
use cloudtik_syntax::{Block, Body, decode, parse_file};

use crate::evaluate::Reader;
use crate::module::{Binary, BinarySource, Health, Module, PortSchema, ServiceSchema, TemplateFile};
use crate::schema::{MANIFEST, Schema, check_body};
use crate::template;

/// The manifest's name in the module's folder.
const MANIFEST_FILE: &str = "module.hcl";

/// What a node can be able to do; `requires` names some of them.
pub const CAPABILITIES: [&str; 6] = ["egress", "init", "low_ports", "names", "own_root", "packages"];

/// Where a runtime can be.
const ROLES: [&str; 2] = ["head", "workers"];

/// Seconds between two questions for the health, and those that an answer may take, where the manifest does not say.
const HEALTH_INTERVAL_SECS: u64 = 10;
const HEALTH_TIMEOUT_SECS: u64 = 5;

/// Loads a module from a folder of the project. `at` is where the spec names the folder.
pub fn load_folder(name: &str, sources: &dyn SourceSet, folder: &str, at: Span, map: &mut SourceMap) -> (Option<Module>, Diagnostics) {
    let folder = folder.trim_start_matches("./").trim_end_matches('/').to_owned();
    let mut loader = Loader { sources, folder, at, map, found: Diagnostics::new() };
    let module = loader.module(name);
    let mut found = loader.found;
    found.sort();
    (module.filter(|_| !found.has_errors()), found)
}

struct Loader<'a> {
    sources: &'a dyn SourceSet,
    folder: String,
    at: Span,
    map: &'a mut SourceMap,
    found: Diagnostics,
}

/// A module without parts, for a manifest whose parts are added one by one.
fn empty(name: &str) -> Module {
    Module {
        name: name.into(),
        version: "".into(),
        description: String::new(),
        roles: Vec::new(),
        quorum_min: 1,
        options: Vec::new(),
        validations: Vec::new(),
        locals: BTreeMap::new(),
        binaries: Vec::new(),
        steps: Vec::new(),
        ports: Vec::new(),
        services: Vec::new(),
        discovers: Vec::new(),
        secrets: Vec::new(),
        membership: None,
        health: None,
        templates: BTreeMap::new(),
        files: BTreeMap::new(),
        span: Span::NONE,
    }
}

impl Loader<'_> {
    fn error(&mut self, diagnostic: Diagnostic) {
        self.found.push(diagnostic);
    }

    fn module(&mut self, name: &str) -> Option<Module> {
        let path = self.path(MANIFEST_FILE);
        let (file, text) = match self.read(&path) {
            Ok(read) => read,
            Err(diagnostic) => {
                self.error(diagnostic.at(self.at).help(format!("a module is a folder with a `{MANIFEST_FILE}` in it")));
                return None;
            }
        };
        let (body, diagnostics) = parse_file(file, &text);
        let unreadable = diagnostics.has_errors();
        self.found.extend(diagnostics);
        check_body(&body, &MANIFEST, body.span, &mut self.found);
        let mut module = empty(name);
        self.header(&body, name, file, unreadable, &mut module);
        self.locals(&body, &mut module);
        for block in &body.blocks {
            match &*block.kind.name {
                "option" => options::read(block, &mut module, &mut self.found),
                "binary" => module.binaries.extend(self.binary(block, &module.version)),
                "file" | "validate" | "run" | "daemon" => steps::read(block, &mut module, &mut self.found),
                "port" => module.ports.extend(port(block, &mut self.found)),
                "service" => module.services.extend(service(block, &mut self.found)),
                "discover" => module.discovers.extend(needs::discover(block, &mut self.found)),
                "secret" => module.secrets.extend(needs::secret(block, &mut self.found)),
                "membership" => module.membership = needs::membership(block, &mut self.found),
                "health" => module.health = health(block, &mut self.found),
                _ => {}
            }
        }
        self.assets(&mut module);
        steps::check(&module, &mut self.found);
        references::check(&module, &body, &mut self.found);
        Some(module)
    }

    /// A path below the module's folder, as paths of the project are.
    fn path(&self, name: &str) -> String {
        if self.folder.is_empty() || self.folder == "." { name.to_owned() } else { format!("{}/{name}", self.folder) }
    }

    /// Reads a text file. One that was read before keeps its id.
    fn read(&mut self, path: &str) -> Result<(FileId, Arc<str>), Diagnostic> {
        let bytes = self.sources.read(path).map_err(|error| unreadable(&error))?;
        let text = decode(path, &bytes)?;
        let known = self.map.iter().find(|(_, file)| file.path == path && file.text == text).map(|(id, _)| id);
        let id = known.unwrap_or_else(|| self.map.add(path, Arc::clone(&text)));
        Ok((id, text))
    }

    fn header(&mut self, body: &Body, name: &str, file: FileId, unreadable: bool, module: &mut Module) {
        let mut headers = body.blocks.iter().filter(|block| &*block.kind.name == "module");
        let Some(block) = headers.next() else {
            // After an error the block may be there and not be read.
            if !unreadable {
                let help = format!("add `module \"{name}\" {{ version = \"…\", roles = [\"head\"] }}`");
                let title = "the manifest has no `module` block";
                self.error(Diagnostic::error("missing-block", title).at(Span::new(file, 0, 0)).help(help));
            }
            return;
        };
        if let Some(second) = headers.next() {
            let title = "a manifest has one `module` block";
            self.error(
                Diagnostic::error("duplicate-block", title).at_saying(second.header, "the second").and_at(block.header, "the first"),
            );
        }
        module.span = block.header;
        if let Some(label) = block.labels.first().filter(|label| *label.text != *name) {
            let title = format!("the module is called `{}`, and the runtime `{name}`", label.text);
            self.error(
                Diagnostic::error("wrong-name", title).at(label.span).and_at(self.at, "asked for here").help("give both the same name"),
            );
        }
        let none = Variables::none();
        let Some(reader) = reader(block, &none) else { return };
        let found = &mut self.found;
        module.version = reader.text("version", found).flatten().unwrap_or_default().into();
        module.description = reader.text("description", found).flatten().unwrap_or_default();
        module.roles = reader.texts("roles", found).unwrap_or_default();
        module.quorum_min = reader.count("quorum_min", 1, found).unwrap_or(1).max(1);
        for role in &module.roles {
            if !ROLES.contains(&role.as_str()) {
                let title = format!("there is no role `{role}`");
                found.push(not_one_of(title, role, &ROLES).at(reader.span("roles")));
            }
        }
    }

    fn locals(&mut self, body: &Body, module: &mut Module) {
        for attribute in body.blocks.iter().filter(|block| &*block.kind.name == "locals").flat_map(|block| &block.body.attributes) {
            let name = &attribute.name;
            if let Some(first) = module.locals.get(&name.name) {
                let title = format!("there are two locals `{}`", name.name);
                let first = first.name.span;
                self.error(Diagnostic::error("duplicate-attribute", title).at_saying(name.span, "the second").and_at(first, "the first"));
                continue;
            }
            module.locals.insert(Arc::clone(&name.name), attribute.clone());
        }
    }

    fn binary(&mut self, block: &Block, module_version: &Arc<str>) -> Option<Binary> {
        let none = Variables::none();
        let reader = reader(block, &none)?;
        let found = &mut self.found;
        let name = Arc::clone(&block.labels.first()?.text);
        let text = |attribute: &str, found: &mut Diagnostics| reader.text(attribute, found).flatten();
        let [wheel, path, package] = ["wheel", "path", "package"].map(|attribute| text(attribute, found));
        let version = text("version", found);
        let executables = reader.texts("executables", found)?;
        let requires = reader.texts("requires", found)?;
        check_capabilities(&requires, reader.span("requires"), found);
        let file = text("file", found);
        let source = match (wheel, path, package) {
            (Some(wheel), None, None) => BinarySource::Wheel {
                name: wheel,
                version: needed(version.clone(), "version", block, found)?,
                file: needed(file, "file", block, found)?,
                sha256: digest(&reader, found)?,
            },
            (None, Some(path), None) => {
                let last = path.rsplit('/').next().unwrap_or_default().to_owned();
                BinarySource::Path { file: file.unwrap_or(last), sha256: digest(&reader, found)?, path }
            }
            (None, None, Some(_)) => BinarySource::Package,
            _ => {
                let title = format!("binary `{name}` needs exactly one of `wheel`, `path` and `package`");
                found.push(Diagnostic::error("binary-source", title).at(block.header));
                return None;
            }
        };
        let version = version.map_or_else(|| Arc::clone(module_version), Arc::from);
        Some(Binary { name, source, version, executables, requires, span: block.header })
    }

    /// Reads the templates and files that the manifest names.
    fn assets(&mut self, module: &mut Module) {
        let steps = module.steps.clone();
        for step in &steps {
            let none = Variables::none();
            let Some(reader) = reader(&step.block, &none) else { continue };
            let wanted = |attribute: &str, found: &mut Diagnostics| {
                step.block.body.attribute(attribute)?;
                reader.text(attribute, found).flatten()
            };
            if &*step.block.kind.name != "file" {
                continue;
            }
            if let Some(name) = wanted("template", &mut self.found)
                && let Some((path, id, text)) = self.asset("templates", &name, reader.span("template"))
            {
                match template::parse(text) {
                    Ok(parsed) => {
                        let file = TemplateFile { path, id, parsed: Arc::new(parsed) };
                        // Without values, every name may be there; helpers and partials are known already.
                        for fault in template::check(&file.parsed, None).1 {
                            self.error(template_error(&fault, id));
                        }
                        module.templates.insert(name.into(), file);
                    }
                    Err(fault) => self.error(template_error(&fault, id)),
                }
            }
            if let Some(name) = wanted("source", &mut self.found)
                && let Some((_, _, text)) = self.asset("files", &name, reader.span("source"))
            {
                module.files.insert(name.into(), text);
            }
        }
    }

    fn asset(&mut self, below: &str, name: &str, span: Span) -> Option<(String, FileId, Arc<str>)> {
        if name.is_empty() || name.starts_with('/') || name.split('/').any(|part| part == ".." || part.is_empty()) {
            let title = format!("`{name}` is not the path of a file below `{below}/`");
            self.error(Diagnostic::error("bad-path", title).at(span));
            return None;
        }
        let path = self.path(&format!("{below}/{name}"));
        match self.read(&path) {
            Ok((id, text)) => Some((path, id, text)),
            Err(diagnostic) => {
                let near = self.near_file(below, name);
                self.error(diagnostic.at(span).maybe_help(near));
                None
            }
        }
    }

    fn near_file(&self, below: &str, name: &str) -> Option<String> {
        let folder = self.path(below);
        let there = self.sources.list_below(&folder, None).ok().flatten()?;
        let names = there.iter().filter_map(|path| path.strip_prefix(&folder)?.strip_prefix('/'));
        did_you_mean(name, names).map(|near| format!("did you mean `{near}`?"))
    }
}

/// A template's fault at its place in the file.
pub(crate) fn template_error(fault: &template::Fault, file: FileId) -> Diagnostic {
    let at = |offset: usize| u32::try_from(offset).unwrap_or(u32::MAX);
    Diagnostic::error("template", fault.message.clone()).at(Span::new(file, at(fault.start), at(fault.end))).maybe_help(fault.help.clone())
}

/// The attributes of a block at the top of the manifest.
pub(crate) fn reader<'a>(block: &'a Block, scope: &'a dyn cloudtik_lang::Scope) -> Option<Reader<'a>> {
    let schema: &Schema = MANIFEST.block(&block.kind.name)?;
    Some(Reader { block, schema, scope })
}

fn unreadable(error: &ReadError) -> Diagnostic {
    let code = match error {
        ReadError::NotFound(_) => "no-file",
        ReadError::Outside(_) => "outside-project",
        ReadError::TooLarge { .. } => "file-too-large",
        ReadError::Failed { .. } => "unreadable",
    };
    Diagnostic::error(code, error.to_string())
}

pub(crate) fn not_one_of(title: String, word: &str, all: &[&str]) -> Diagnostic {
    let near = did_you_mean(word, all.iter().copied()).map(|near| format!("did you mean `{near}`?"));
    Diagnostic::error("bad-value", title).maybe_help(near).note(format!("there are {}", all.join(", ")))
}

pub(crate) fn check_capabilities(requires: &[String], span: Span, found: &mut Diagnostics) {
    for unknown in requires.iter().filter(|name| !CAPABILITIES.contains(&name.as_str())) {
        found.push(not_one_of(format!("there is no capability `{unknown}`"), unknown, &CAPABILITIES).at(span));
    }
}

fn needed(value: Option<String>, name: &str, block: &Block, found: &mut Diagnostics) -> Option<String> {
    if value.is_none() {
        found.push(Diagnostic::error("missing-attribute", format!("this `binary` needs `{name}`")).at(block.header));
    }
    value
}

fn digest(reader: &Reader<'_>, found: &mut Diagnostics) -> Option<Digest> {
    let text = needed(reader.text("sha256", found)?, "sha256", reader.block, found)?;
    match text.parse() {
        Ok(digest) => Some(digest),
        Err(_) => {
            found.push(Diagnostic::error("bad-value", "`sha256` is 64 hexadecimal digits").at(reader.span("sha256")));
            None
        }
    }
}

fn port(block: &Block, found: &mut Diagnostics) -> Option<PortSchema> {
    let none = Variables::none();
    let reader = reader(block, &none)?;
    let protocol = reader.text("protocol", found)?.unwrap_or_else(|| "tcp".to_owned());
    let port = block.body.attribute("port")?.value.clone();
    Some(PortSchema { name: Arc::clone(&block.labels.first()?.text), port, protocol })
}

fn service(block: &Block, found: &mut Diagnostics) -> Option<ServiceSchema> {
    let none = Variables::none();
    let reader = reader(block, &none)?;
    let name = Arc::clone(&block.labels.first()?.text);
    let labels = reader.known("labels", found)?;
    let labels = labels.entries().into_iter().flatten().filter_map(|(name, value)| Some((name.to_string(), value.as_str()?.to_owned())));
    Some(ServiceSchema {
        service_type: reader.text("type", found)?.unwrap_or_else(|| name.to_string()),
        port: reader.text("port", found)??.into(),
        protocol: reader.text("protocol", found)?.unwrap_or_else(|| "tcp".to_owned()),
        labels: labels.collect(),
        span: reader.span("port"),
        name,
    })
}

fn health(block: &Block, found: &mut Diagnostics) -> Option<Health> {
    let none = Variables::none();
    let reader = reader(block, &none)?;
    Some(Health {
        interval_secs: reader.seconds("interval", HEALTH_INTERVAL_SECS, found)?,
        timeout_secs: reader.seconds("timeout", HEALTH_TIMEOUT_SECS, found)?,
        block: block.clone(),
    })
}

/// Names that are taken by a step of the module itself.
pub(crate) fn taken_names() -> BTreeSet<Arc<str>> {
    ["package", "health", "member"].into_iter().map(Arc::from).collect()
}
