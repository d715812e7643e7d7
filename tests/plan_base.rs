//! Plans that are compared with another revision of a spec: the commands of `examples/ci` in a repository with two branches, where the other
//! revision may lie, and what is said where it cannot be read.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test reports by failing, and its helpers are tests too"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const PROGRAM: &str = env!("CARGO_BIN_EXE_cloudtik");

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/ci")
}

/// A repository in a temporary folder.
struct Repository {
    folder: tempfile::TempDir,
}

impl Repository {
    fn new() -> Self {
        let repository = Self { folder: tempfile::tempdir().unwrap() };
        repository.git(&["init", "--quiet", "--initial-branch=main"]);
        repository
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    fn git(&self, arguments: &[&str]) -> String {
        let who = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"];
        let ran = Command::new("git").current_dir(self.folder.path()).args(who).args(arguments).output().unwrap();
        assert!(ran.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8_lossy(&ran.stdout).into_owned()
    }

    fn write(&self, file: &str, text: &str) {
        fs::create_dir_all(self.path(file).parent().unwrap()).unwrap();
        fs::write(self.path(file), text).unwrap();
    }

    fn replace(&self, file: &str, old: &str, new: &str) {
        let text = fs::read_to_string(self.path(file)).unwrap();
        assert!(text.contains(old), "{file} has no `{old}`");
        self.write(file, &text.replace(old, new));
    }

    fn commit(&self) {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", "x"]);
    }

    /// Runs the program in a folder of the repository.
    fn cloudtik(&self, folder: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(PROGRAM);
        command.current_dir(self.path(folder)).args(arguments).env("CLOUDTIK_IN_AUTOMATION", "1").env("NO_COLOR", "1");
        command.output().unwrap()
    }

    /// The plan, which must be there.
    fn plan(&self, folder: &str, arguments: &[&str]) -> String {
        let ran = self.cloudtik(folder, &[&["plan", "--offline"], arguments].concat());
        assert!(ran.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8_lossy(&ran.stdout).into_owned()
    }

    fn fails(&self, folder: &str, arguments: &[&str]) -> String {
        let ran = self.cloudtik(folder, &[&["plan", "--offline"], arguments].concat());
        assert_eq!(ran.status.code(), Some(1), "{arguments:?}");
        String::from_utf8_lossy(&ran.stderr).into_owned()
    }
}

#[track_caller]
fn has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "there is no `{part}` in:\n{text}");
    }
}

/// The command of a step of the workflow.
fn step(workflow: &str, name: &str) -> String {
    let rest = workflow.split_once(&format!("- name: {name}\n")).unwrap_or_else(|| panic!("the workflow has no step `{name}`")).1;
    let rest = rest.split("\n      - ").next().unwrap();
    let run = rest.split_once("run: ").unwrap().1;
    match run.strip_prefix("|\n") {
        Some(lines) => lines.lines().map_while(|line| line.strip_prefix("          ")).collect::<Vec<_>>().join("\n"),
        None => run.lines().next().unwrap().to_owned(),
    }
}

#[test]
fn the_workflow_of_the_example_shows_what_a_pull_request_does() {
    let repository = Repository::new();
    let workflow = fs::read_to_string(example().join(".github/workflows/plan.yml")).unwrap();
    repository.write("main.hcl", &fs::read_to_string(example().join("main.hcl")).unwrap());
    repository.write(".github/workflows/plan.yml", &workflow);
    repository.commit();
    // What a checkout of all branches knows of the other side.
    repository.git(&["update-ref", "refs/remotes/origin/main", "main"]);
    repository.git(&["checkout", "--quiet", "-b", "change"]);
    let run = |name: &str| {
        let path = format!("{}:{}", Path::new(PROGRAM).parent().unwrap().display(), std::env::var("PATH").unwrap());
        let mut command = Command::new("sh");
        command.args(["-ec", &step(&workflow, name)]).current_dir(repository.folder.path()).env("PATH", path).env("BASE", "main");
        // There are no credentials, and nobody who could be asked for some.
        for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI"] {
            command.env_remove(name);
        }
        command.env("HOME", repository.folder.path()).env("AWS_EC2_METADATA_DISABLED", "true");
        command.env("GITHUB_STEP_SUMMARY", repository.path("summary.md")).env("CLOUDTIK_IN_AUTOMATION", "1");
        let ran = command.output().unwrap();
        (ran.status.success(), format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr)))
    };
    let passes = |name: &str| {
        let (passes, text) = run(name);
        assert!(passes, "{name}: {text}");
        text
    };

    // Nothing is changed: what only AWS can tell is the same on both sides.
    passes("Check");
    has(&passes("Plan"), &["Compared with `origin/main` (commit ", "No changes."]);

    // Somebody opens SSH, takes larger machines, and makes the store keep its data.
    repository.replace("main.hcl", "203.0.113.0/24", "0.0.0.0/0");
    repository.replace("main.hcl", "m5.2xlarge", "m5.4xlarge");
    repository.replace("main.hcl", "topic = var.alarm_topic,", "topic = \"${var.alarm_topic}!\", by = \"<b>@someone</b>\",");
    passes("Check");
    let plan = passes("Plan");
    has(
        &plan,
        &[
            "workspace.ci.ingress_rule.head[\"ssh:203.0.113.0/24\"]\n  - delete: not in the spec any more",
            "workspace.ci.ingress_rule.head[\"ssh:0.0.0.0/0\"]",
            "+ security_group_id = <workspace.ci.firewall.head.id>",
            "~ update, rolling: node and template changed\n      ~ node.instance_types[0] = \"m5.2xlarge\" -> \"m5.4xlarge\"",
            "Plan: 1 to create, 3 to change, 0 to replace, 1 to delete, 0 steps to run.",
            "This takes about 2 calls",
        ],
    );
    // Networks, machines and stores are as they were, and nothing of them is shown.
    for untouched in ["workspace.ci.network", "workspace.ci.storage", "cluster.ci.head ", "launch_template"] {
        assert!(!plan.contains(untouched), "{untouched} in:\n{plan}");
    }
    passes("Summary");
    let report = fs::read_to_string(repository.path("plan.md")).unwrap();
    assert_eq!(fs::read_to_string(repository.path("summary.md")).unwrap(), report);
    has(
        &report,
        &[
            "<!-- cloudtik-plan -->\n## cloudtik plan\n\nCompared with `origin/main` (commit ",
            "**Plan: 1 to create, 3 to change, 0 to replace, 1 to delete, 0 steps to run.**",
            "<details><summary>Delete (1)</summary>\n\n```diff\n   workspace.ci.ingress_rule",
            "!      node.instance_types[0] = \"m5.2xlarge\" -> \"m5.4xlarge\"",
            "(sensitive value)",
        ],
    );

    // A spec that is wrong has a report too, and fails.
    repository.replace("main.hcl", "zones = 2", "zones = 2\n    zonse = 3");
    let (passed, _) = run("Plan");
    assert!(!passed);
    has(
        &fs::read_to_string(repository.path("plan.md")).unwrap(),
        &["There is no plan", "**`unknown-attribute`** (`main.hcl:", "did you mean `zones`"],
    );
    // The repository was read and not touched: neither its index nor its working tree.
    assert_eq!(repository.git(&["status", "--porcelain"]), " M main.hcl\n?? plan.md\n?? summary.md\n");
}

#[test]
fn the_other_revision_may_lie_anywhere() {
    let repository = Repository::new();
    let spec = "resource \"value\" \"a\" { input = file(\"text\") }\nresource \"value\" \"b\" { input = value.a.id }\n";
    repository.write("README", "x");
    repository.commit();
    repository.git(&["tag", "before"]);
    repository.write("live/main.hcl", spec);
    repository.write("live/text", "one");
    repository.commit();
    let commit = repository.git(&["rev-parse", "HEAD"]);
    repository.write("live/text", "two");

    // In a folder below the repository's, with a file that the expression reads; `b` refers to what stays and stays.
    for name in ["main", "HEAD", &commit.trim()[..9]] {
        let plan = repository.plan("live", &["--base", name]);
        has(&plan, &["~ input = \"one\" -> \"two\"", "Plan: 0 to create, 1 to change,"]);
        assert!(!plan.contains("value.b"), "{plan}");
    }
    has(&repository.plan("live", &["--base", "main"]), &["Compared with `main` (commit "]);
    has(&repository.plan("live", &["--base", &commit.trim()[..9]]), &["Compared with commit `"]);
    // From before the project.
    has(&repository.plan("live", &["--base", "before"]), &["Plan: 2 to create", "`before` (commit", "does not have this project's folder"]);
    // A folder, also one outside of the repository; paths are those of this project on both sides.
    let other = tempfile::tempdir().unwrap();
    fs::write(other.path().join("main.hcl"), spec.replace("file(\"text\")", "path.root")).unwrap();
    fs::write(repository.path("live/main.hcl"), spec.replace("file(\"text\")", "path.root")).unwrap();
    has(&repository.plan("live", &["--base", other.path().to_str().unwrap()]), &["Compared with the spec in `", "No changes."]);
    // A folder wins over a branch of its name, which has a longer one.
    fs::create_dir(repository.path("live/main")).unwrap();
    has(&repository.plan("live", &["--base", "main"]), &["Compared with the spec in `main`", "Plan: 2 to create"]);
    has(&repository.plan("live", &["--base", "heads/main"]), &["Compared with `heads/main`"]);
}

#[test]
fn what_is_replaced_concerns_those_that_refer_to_it() {
    let repository = Repository::new();
    let spec = |bytes: u32| {
        format!(
            "resource \"sim_token\" \"a\" {{\n  name = \"a{bytes}\"\n}}\nresource \"value\" \"b\" {{ input = sim_token.a.id }}\n\
             resource \"value\" \"c\" {{ input = \"it is ${{value.b.output}}\" }}\noutput \"d\" {{ value = value.c.output }}\n"
        )
    };
    repository.write("main.hcl", &spec(1));
    repository.commit();
    has(&repository.plan(".", &["--base", "main"]), &["No changes."]);
    repository.write("main.hcl", &spec(2));
    let plan = repository.plan(".", &["--base", "main"]);
    has(&plan, &["sim_token.a", "name = \"a1\" -> \"a2\"", "input = <sim_token.a.id> -> (known after apply)", "value.c", "Results:"]);
    let why = repository.plan(".", &["--base", "main", "--explain", "value.c"]);
    has(&why, &["value.c: update", "value.b: update", "sim_token.a: replace", "name = \"a2\"  (main.hcl:2:3)"]);
    // Saved, it can be looked at and not applied.
    repository.plan(".", &["--base", "main", "--out", "the.plan"]);
    let refused = repository.cloudtik(".", &["apply", "the.plan"]);
    has(&String::from_utf8_lossy(&refused.stderr), &["offline-plan", "compared with something else"]);
}

#[test]
fn modules_are_those_of_their_revision() {
    let repository = Repository::new();
    repository.write("live/main.hcl", "module \"x\" {\n  source = \"./x\"\n  size   = 1\n}\n");
    repository.write("live/x/main.hcl", "variable \"size\" {}\nresource \"value\" \"in\" {\n  input = var.size\n}\n");
    repository.commit();
    repository.replace("live/x/main.hcl", "= var.size", "= [var.size, 2]");
    has(&repository.plan("live", &["--base", "main"]), &["module.x.value.in", "~ input = 1 -> [1, 2]", "Plan: 0 to create, 1 to change,"]);
    let why = repository.plan("live", &["--base", "main", "--explain", "module.x"]);
    has(&why, &["input = [var.size, 2]  (x/main.hcl:3:3)", "└─ var.size  (x/main.hcl:1:1)\n"]);
}

#[test]
fn variables_of_one_side_are_no_error_of_the_other() {
    let repository = Repository::new();
    repository.write("main.hcl", "variable \"old\" { type = string }\nresource \"value\" \"a\" { input = var.old }\n");
    repository.commit();
    repository.write(
        "main.hcl",
        "variable \"new\" {\n  type = string\n  validation {\n    condition     = length(var.new) < 9\n    error_message = \"short\"\n  }\n}\n\
         resource \"value\" \"a\" { input = var.new }\n",
    );
    has(&repository.plan(".", &["--base", "main", "--var", "new=x"]), &["~ input = <var.old> -> \"x\""]);
    has(&repository.plan(".", &["--base", "main", "--unset-vars=unknown"]), &["~ input = <var.old> -> <var.new>"]);
    has(&repository.fails(".", &["--base", "main"]), &["missing-variable"]);
    repository.write("main.hcl", "variable \"n\" { type = number }\nresource \"value\" \"a\" {\n  count = var.n\n}\n");
    has(&repository.fails(".", &["--unset-vars=unknown"]), &["unknown-at-plan", "`var.n`, which has no value", "`--var n=…`"]);
}

#[test]
fn what_cannot_be_read_says_what_to_do() {
    let repository = Repository::new();
    repository.write("main.hcl", "resource \"value\" \"a\" { inptu = 1 }\n");
    repository.commit();
    repository.write("main.hcl", "resource \"value\" \"a\" { input = 1 }\n");
    has(
        &repository.fails(".", &["--base", "main"]),
        &["unknown-attribute", "this is of `main` (commit", "which the plan is compared with"],
    );
    has(&repository.fails(".", &["--base", "origin/main"]), &["unknown-revision", "git fetch origin main", "fetch-depth: 0"]);
    has(&repository.fails(".", &["--base", "no such"]), &["unknown-revision"]);
    has(&repository.fails(".", &["--base", "--help"]), &["usage"]);

    let lost = tempfile::tempdir().unwrap();
    fs::write(lost.path().join("main.hcl"), "resource \"value\" \"a\" { input = 1 }\n").unwrap();
    let run = |path: &str| {
        let mut command = Command::new(PROGRAM);
        command.current_dir(lost.path()).args(["plan", "--offline", "--base", "main"]).env("PATH", path);
        String::from_utf8_lossy(&command.output().unwrap().stderr).into_owned()
    };
    has(&run(&std::env::var("PATH").unwrap()), &["no-repository", "is in no git repository"]);
    has(&run("/nonexistent"), &["no-git", "not on the path"]);
}
