//! One test per folder of `cases/`. `UPDATE_GOLDEN=1` writes what is expected; `CLOUDTIK_BIN` names a binary that was built before.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::OnceLock;

use cloudtik_golden_tests::{Case, binary, cases_folder};
use libtest_mimic::{Arguments, Failed, Trial};

/// Built once, by the first case that runs: listing the cases builds nothing.
static BINARY: OnceLock<Result<PathBuf, String>> = OnceLock::new();

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let update = std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1");
    let cases = match Case::all(&cases_folder()) {
        Ok(cases) => cases,
        Err(problem) => {
            #[expect(clippy::print_stderr, reason = "there is no test yet that could say it")]
            {
                eprintln!("{problem}");
            }
            return ExitCode::FAILURE;
        }
    };
    let test = |case: Case| {
        Trial::test(case.name(), move || {
            let binary = BINARY.get_or_init(binary).as_ref()?;
            case.check(binary, update).map_err(Failed::from)
        })
    };
    libtest_mimic::run(&arguments, cases.into_iter().map(test).collect()).exit_code()
}
