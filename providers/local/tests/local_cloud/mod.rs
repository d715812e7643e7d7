//! The parts that this program plays, and which tests run where.

mod adapter;
mod crash;
mod heads;
mod kinds;
mod nodes;
mod stage;
mod stand_in;
mod users;

use std::ffi::OsString;
use std::process::ExitCode;

use cloudtik_local::protocol::Form;
use cloudtik_local::{DaemonCommand, local_cloud_main};
use libtest_mimic::{Arguments, Trial};

pub(super) fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    match arguments.first().and_then(|first| first.to_str()) {
        Some("local-cloud") => {
            let program = std::env::current_exe().unwrap();
            let command = DaemonCommand { program, arguments: vec!["local-cloud".into()] };
            match local_cloud_main(&arguments[1..], command) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    eprintln!("{error}");
                    ExitCode::FAILURE
                }
            }
        }
        Some("node") => stand_in::run(&arguments[1..]),
        Some("as-head") => heads::look(),
        Some("as-user") => users::become_user(&arguments[1..]),
        _ => run_tests(),
    }
}

fn run_tests() -> ExitCode {
    // One copy of this program for all tests: digesting an unoptimised binary anew for each would be most of their time.
    let cache = tempfile::tempdir().unwrap();
    stage::CACHE.set(cache.path().to_path_buf()).unwrap();
    let mut arguments = Arguments::from_args();
    // The tests look for what is left on the machine: one at a time.
    arguments.test_threads = Some(1);
    let root = nix::unistd::geteuid().is_root();
    let mut trials = Vec::new();
    if root {
        let namespaces = stage::namespaces_possible();
        if let Err(reason) = &namespaces {
            eprintln!("\nTHE NAMESPACES FORM IS NOT TESTED: this machine cannot do it: {reason}\n");
        }
        if namespaces.is_ok() || stage::in_ci() {
            trials.extend(nodes::trials(Form::Namespaces));
            trials.extend(adapter::trials(Form::Namespaces));
            trials.extend(heads::trials(Form::Namespaces));
        }
        trials.push(test("root_plain_is_possible_when_asked_for", || nodes::one_node(Form::Plain)));
        trials.push(test("a_full_disk_is_named", kinds::full_disk));
        trials.push(test("plain_as_a_user", || users::run_again_as_user(false)));
        trials.push(test("plain_as_a_user_without_user_namespaces", || users::run_again_as_user(true)));
    } else {
        if std::env::var_os(users::AGAIN).is_none() {
            eprintln!("\nTHE NAMESPACES FORM IS NOT TESTED: it needs root\n");
            if stage::in_ci() {
                trials.push(test("namespaces", || panic!("CI must run these tests as root")));
            }
        }
        trials.extend(nodes::trials(Form::Plain));
    }
    if !root {
        trials.extend(heads::trials(Form::Plain));
    }
    if !root && std::env::var_os(users::WITHOUT_USER_NAMESPACES).is_none() {
        trials.extend(kinds::trials());
        trials.extend(adapter::trials(Form::Plain));
    }
    let code = libtest_mimic::run(&arguments, trials).exit_code();
    drop(cache);
    code
}

fn test(name: &str, body: impl FnOnce() + Send + 'static) -> Trial {
    Trial::test(name, move || {
        body();
        Ok(())
    })
}
