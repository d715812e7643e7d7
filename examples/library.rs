//! cloudtik from Rust: compiles a spec, shows its plan, applies it while events come in, and destroys what was made.
//!
//! ```text
//! cargo run --example library            a small spec of its own, on the simulated cloud
//! cargo run --example library FOLDER     the project in a folder
//! ```

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;

use cloudtik::planner::{RenderOptions, render_text};
use cloudtik::{Event, Interrupt, Observer, PlanOptions, Progress, Project, ProjectOptions, Silent};

/// What is made when no folder is given: a workspace and a cluster whose head runs nginx.
const SPEC: &str = r#"
provider "sim" {}

workspace "demo" {
  storage "default" {
    on_destroy = "delete"
  }
}

cluster "web" {
  workspace = workspace.demo
  head {}
  runtime "nginx" {
    pages = { "index.html" = "<h1>made from Rust</h1>" }
  }
}

output "head" { value = cluster.web.head.private_ip }
"#;

/// Prints what happens. A program with a window would draw it, a server would send it on.
struct Printing;

impl Observer for Printing {
    fn event(&self, event: &Event) {
        match event {
            Event::Stage(stage) => println!("  [{stage}]"),
            Event::Operations(count) => println!("  {count} operations"),
            Event::Progress(Progress::Began { address, word, .. }) => println!("  {address}: {} …", word.as_str()),
            Event::Progress(Progress::Done { address, took_ms, .. }) => println!("  {address}: done after {took_ms} ms"),
            Event::Progress(Progress::Failed { address, error, .. }) => println!("  {address}: failed: {}", error.message),
            Event::Output { address, text, .. } => print!("  {address}| {text}"),
            other => println!("  {other:?}"),
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let temporary = tempfile::tempdir()?;
    let folder = match std::env::args_os().nth(1) {
        Some(folder) => PathBuf::from(folder),
        None => {
            std::fs::write(temporary.path().join("main.hcl"), SPEC)?;
            temporary.path().to_path_buf()
        }
    };
    let project = Project::open(ProjectOptions::new(folder));

    // Compile: nobody is asked anything.
    let compilation = project.compile()?;
    println!("The spec wants {} resources and steps.", compilation.graph.nodes.len());

    // Plan: nothing is changed, and no lock is taken.
    let planned = project.plan(&PlanOptions::default(), &Printing)?;
    println!("{}", render_text(&planned.plan, &RenderOptions { color: false, width: 100, verbose: false }));

    // Apply: what is prepared is what is done; the lock is held in between. The interrupt may be asked from any thread.
    let interrupt = Interrupt::new();
    let prepared = project.prepare(&PlanOptions::default(), &Silent)?;
    let applied = prepared.apply(Arc::new(Printing), &interrupt)?;
    println!("Applied: {} created, {} steps run.", applied.summary.counts.created, applied.summary.counts.run);
    for (name, output) in &applied.outputs {
        println!("  {name} = {:?}", output.value);
    }

    // The second time there is nothing to do.
    println!("Is there anything left to do? {}", project.plan(&PlanOptions::default(), &Silent)?.has_changes());

    // Destroy.
    let options = PlanOptions { destroy: true, ..PlanOptions::default() };
    let destroyed = project.prepare(&options, &Silent)?.apply(Arc::new(Printing), &interrupt)?;
    println!("Destroyed: {} deleted.", destroyed.summary.counts.deleted);
    Ok(())
}
