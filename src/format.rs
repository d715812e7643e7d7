//! Spec files as everybody writes them: which files, and what each should read.

use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};

use cloudtik_model::{Diagnostic, Diagnostics, MAX_FILE_BYTES, SourceMap};

use crate::Failure;

/// A file, as it is and as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormattedFile {
    /// Where it lies, as it was named or found.
    pub path: PathBuf,
    /// What stands in it.
    pub before: String,
    /// What should.
    pub after: String,
}

impl FormattedFile {
    /// Whether it should read otherwise than it does.
    #[must_use]
    pub fn is_changed(&self) -> bool {
        self.before != self.after
    }

    /// Writes it as it should be: whoever looks, or whatever happens meanwhile, the file is either as it was or as it will be.
    ///
    /// # Errors
    /// It cannot be written, and is as it was.
    pub fn write(&self) -> io::Result<()> {
        let target = self.path.canonicalize()?;
        let mut name = target.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.tmp", std::process::id()));
        let temporary = target.with_file_name(name);
        let written = write_beside(&target, &temporary, &self.after).and_then(|()| fs::rename(&temporary, &target));
        if written.is_err() && temporary.exists() {
            fs::remove_file(&temporary)?;
        }
        written
    }
}

fn write_beside(target: &Path, temporary: &Path, text: &str) -> io::Result<()> {
    let mut file = File::create_new(temporary)?;
    file.set_permissions(fs::metadata(target)?.permissions())?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// A text as it should be written. `name` stands for it in errors.
///
/// # Errors
/// It does not parse: all that is wrong with it.
pub fn format_text(name: &str, text: &str) -> Result<String, Failure> {
    let mut sources = SourceMap::default();
    let file = sources.add(name, text);
    cloudtik_syntax::format(file, text).map_err(|found| Failure::error(found, sources))
}

/// The files at a path: the file that it names, or every `*.hcl` file of the folder, and with `recursive` of those below it too. Folders whose
/// names begin with a point are passed over. Beside the files stands what kept others from being read as a spec.
#[must_use]
pub fn format_files(path: &Path, recursive: bool) -> (Vec<FormattedFile>, Option<Failure>) {
    let (mut files, mut sources, mut found) = (Vec::new(), SourceMap::default(), Diagnostics::new());
    let paths = paths(path, recursive).unwrap_or_else(|error| {
        found.push(error);
        Vec::new()
    });
    for path in paths {
        let name = path.display().to_string();
        let text = File::open(&path).map_err(|error| unreadable(&name, &error)).and_then(|file| read(&name, file));
        match text {
            Ok(before) => match cloudtik_syntax::format(sources.add(name, before.as_str()), &before) {
                Ok(after) => files.push(FormattedFile { path, before, after }),
                Err(wrong) => found.extend(wrong),
            },
            Err(error) => found.push(error),
        }
    }
    let failure = found.has_errors().then(|| Failure::error(found, sources));
    (files, failure)
}

fn paths(path: &Path, recursive: bool) -> Result<Vec<PathBuf>, Diagnostic> {
    let wrong = |path: &Path, error: &io::Error| unreadable(&path.display().to_string(), error);
    if !fs::metadata(path).map_err(|error| wrong(path, &error))?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let (mut files, mut folders) = (Vec::new(), vec![path.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(|error| wrong(&folder, &error))? {
            let entry = entry.map_err(|error| wrong(&folder, &error))?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            // The folder where one stands has no name to put before the others.
            let at = if folder == Path::new(".") { PathBuf::from(&*name) } else { entry.path() };
            // A link to a folder is not followed: it may lead back here.
            let is_folder = entry.file_type().map_err(|error| wrong(&at, &error))?.is_dir();
            if name.starts_with('.') {
                continue;
            }
            if is_folder && recursive {
                folders.push(at);
            } else if !is_folder && name.ends_with(".hcl") {
                files.push(at);
            }
        }
    }
    files.sort();
    Ok(files)
}

fn read(name: &str, reader: impl Read) -> Result<String, Diagnostic> {
    let mut bytes = Vec::new();
    reader.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(|error| unreadable(name, &error))?;
    // What is no text, or too large, is refused as in a spec; a mark of the byte order stays, for the formatter to remove.
    cloudtik_syntax::decode(name, &bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn unreadable(name: &str, error: &io::Error) -> Diagnostic {
    Diagnostic::error("file", format!("cannot read `{name}`: {error}"))
}
