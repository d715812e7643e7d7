//! Puts the pages of `docs/errors` into the program, for `cloudtik explain`.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let folder = Path::new(&env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?).join("docs/errors");
    println!("cargo::rerun-if-changed=docs/errors");
    let mut pages = Vec::new();
    for entry in fs::read_dir(&folder)? {
        let path = entry?.path();
        if let (Some(code), Some("md")) = (path.file_stem().and_then(|stem| stem.to_str()), path.extension().and_then(|end| end.to_str())) {
            pages.push(code.to_owned());
        }
    }
    pages.sort();
    let mut text = String::from("&[\n");
    // What is made here stays true where the project is moved with what was built.
    for code in pages {
        let page = format!("/docs/errors/{code}.md");
        writeln!(text, "    ({code:?}, include_str!(concat!(env!(\"CARGO_MANIFEST_DIR\"), {page:?}))),").map_err(io::Error::other)?;
    }
    text.push_str("]\n");
    fs::write(Path::new(&env::var("OUT_DIR").map_err(io::Error::other)?).join("error_pages.rs"), text)
}
