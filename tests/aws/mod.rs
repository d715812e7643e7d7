//! What the tests of the AWS provider share: an account of their own, the proxy in front of it, and the program as a user runs it.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::panic,
    reason = "helpers of tests are no test functions to clippy"
)]

pub mod alike;
pub mod drift;
pub mod specs;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::{Duration, Instant};

use cloudtik_aws_testing::{Account, Config, Endpoint, Machines, Moto, Proxy, Request};
use serde_json::Value as Json;
use tempfile::TempDir;

use super::support::stage::{Ran, Stage};

/// Where everything is made.
pub const REGION: &str = cloudtik_aws_testing::REGION;

/// Another region.
pub const ELSEWHERE: &str = "eu-west-1";

pub const APPLY: [&str; 2] = ["apply", "--auto-approve"];
pub const DESTROY: [&str; 3] = ["destroy", "--auto-approve", "--delete-data=all"];

/// The folder of the other project.
pub const BESIDE: &str = "beside";

/// How long it may take until a command has made as many calls as a test waits for.
const HELD_MAX: Duration = Duration::from_secs(120);

/// An account, a proxy, a project.
pub struct World {
    pub proxy: Proxy,
    pub stage: Stage,
    /// The account, as the server itself knows it.
    pub server: Endpoint,
    /// The same, as clients see it.
    pub client: Endpoint,
    /// What is looked at: the account, and whatever else a test is about.
    accounts: Vec<Account>,
    moto: Moto,
}

impl World {
    /// `None`: there is no server to test against, which was said.
    pub fn new(config: Config) -> Option<Self> {
        let moto = Moto::start_or_say(Path::new(env!("CARGO_TARGET_TMPDIR")))?;
        Some(Self::of(moto, Ipv4Addr::LOCALHOST, config, Stage::beside_others(Stage::any_form())))
    }

    /// A world whose instances are machines, of an image that this script has run on. `None`: that cannot be had here, which was said.
    pub fn with_machines(config: Config, image: &str) -> Option<(Self, Machines, TempDir)> {
        let moto = Moto::start_or_say(Path::new(env!("CARGO_TARGET_TMPDIR")))?;
        let folder = tempfile::Builder::new().prefix("ctm-").tempdir().unwrap();
        let machines = Machines::start_or_say(folder.path(), moto.endpoint(), image)?;
        Some((Self::of(moto, machines.host(), config, Stage::new(Stage::any_form())), machines, folder))
    }

    /// With a proxy at an address of this machine.
    fn of(moto: Moto, at: Ipv4Addr, config: Config, mut stage: Stage) -> Self {
        let proxy = Proxy::listen((at, 0).into(), moto.address(), config).unwrap();
        let local = format!("127.0.0.1,{at}");
        for (name, value) in [
            ("AWS_ENDPOINT_URL", proxy.url().as_str()),
            ("AWS_REGION", REGION),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
            // A proxy of this machine's environment leads to the world outside, and the account is on this machine.
            ("NO_PROXY", local.as_str()),
            ("no_proxy", local.as_str()),
        ] {
            stage.set(name, value);
        }
        let server = moto.endpoint();
        let client = Endpoint::new(proxy.address(), REGION);
        Self { proxy, stage, accounts: vec![Account::new(server.clone())], server, client, moto }
    }

    /// Where the server itself listens.
    pub fn server_url(&self) -> String {
        format!("http://{}", self.moto.address())
    }

    /// Changes a place of the spec.
    #[track_caller]
    pub fn change(&self, from: &str, to: &str) {
        let file = self.stage.project().join("main.hcl");
        let text = fs::read_to_string(file).unwrap();
        assert!(text.contains(from), "{from} in {text}");
        self.stage.spec(&text.replacen(from, to, 1));
    }

    /// Runs a command in another project, which lies below this one.
    pub fn beside(&self, arguments: &[&str]) -> Ran {
        self.stage.run(&[&["-C", BESIDE], arguments].concat())
    }

    /// Looks at another region too, or at the account of another key.
    pub fn looks_at(&mut self, there: &Endpoint) {
        self.accounts.push(Account::new(there.clone()));
    }

    /// Everything that is in the account.
    pub fn snapshot(&self) -> BTreeSet<String> {
        self.accounts.iter().flat_map(|account| account.snapshot().unwrap()).collect()
    }

    /// Holds that the account is as it was.
    #[track_caller]
    pub fn is_as(&self, before: &BTreeSet<String>, when: &str) {
        let difference = Account::difference(before, &self.snapshot());
        assert_eq!(difference, Vec::<String>::new(), "{when}: the account is not as it was; the last calls:\n{}", self.last_calls());
    }

    /// How many things of each sort came, and what went.
    pub fn came(&self, before: &BTreeSet<String>) -> BTreeMap<String, i64> {
        let mut sorts = BTreeMap::new();
        for line in Account::difference(before, &self.snapshot()) {
            let mut words = line.split(' ');
            let step = if words.next() == Some("+") { 1 } else { -1 };
            let first = words.next().unwrap_or_default();
            let sort = if [REGION, ELSEWHERE].contains(&first) { words.next().unwrap_or_default() } else { first };
            *sorts.entry(sort.to_owned()).or_default() += step;
        }
        sorts
    }

    /// Runs a command that ends as it should, and gives the calls that it made.
    #[track_caller]
    pub fn expect(&self, code: i32, arguments: &[&str]) -> (Ran, Vec<Request>) {
        self.proxy.reset();
        let ran = self.stage.run(arguments);
        let said = || format!("`cloudtik {}`: {}\nthe last calls:\n{}", arguments.join(" "), ran.text(), self.last_calls());
        assert_eq!(ran.code(), Some(code), "{}", said());
        (ran, self.proxy.requests())
    }

    /// Holds that nothing is left to do, and that finding that out changes nothing.
    #[track_caller]
    pub fn is_settled(&self) -> Vec<Request> {
        let (_, calls) = self.expect(0, &["plan", "--detailed-exitcode"]);
        assert_eq!(written(&calls), Vec::<String>::new(), "a plan changed something");
        calls
    }

    /// The addresses that a plan would change.
    #[track_caller]
    pub fn planned(&self) -> BTreeSet<String> {
        let (ran, _) = self.expect(0, &["plan", "--json"]);
        let json: Json = serde_json::from_str(&ran.stdout).unwrap();
        let changes = json["resource_changes"].as_array().unwrap().iter();
        let changed = changes.filter(|change| !matches!(change["change"]["actions"][0].as_str(), Some("no-op" | "read")));
        changed.map(|change| change["address"].as_str().unwrap().to_owned()).collect()
    }

    /// The id of what stands at an address of the state.
    #[track_caller]
    pub fn id(&self, address: &str) -> String {
        self.id_in(&self.stage.data(), address)
    }

    /// The id of what stands at an address of the state of the other project.
    #[track_caller]
    pub fn id_beside(&self, address: &str) -> String {
        self.id_in(&self.stage.project().join(BESIDE).join(".cloudtik"), address)
    }

    #[track_caller]
    fn id_in(&self, data: &Path, address: &str) -> String {
        let state: Json = serde_json::from_str(&fs::read_to_string(data.join("state.json")).unwrap()).unwrap();
        let id = state["resources"][address]["current"]["id"].as_str();
        id.unwrap_or_else(|| panic!("{address} is not in {:?}", state["resources"].as_object().map(serde_json::Map::keys))).to_owned()
    }

    /// The names of the firewalls that an instance is behind.
    #[track_caller]
    pub fn groups_of(&self, instance: &str) -> BTreeSet<String> {
        let found = self.server.ec2("DescribeInstances", &[("InstanceId.1", instance)]).unwrap();
        found.items("instancesSet")[0].items("groupSet").iter().map(|group| group.get(&["groupName"]).to_owned()).collect()
    }

    /// Runs a command and kills it when so many of its calls changed something, before the answer of the last of them goes out. Says
    /// whether it came to that.
    pub fn killed_after(&self, arguments: &[&str], calls: u64) -> (bool, Ran) {
        self.proxy.reset();
        self.proxy.hold_after(calls);
        let mut running = self.stage.start(arguments);
        let until = Instant::now() + HELD_MAX;
        while !self.proxy.held().held && !running.has_ended() {
            assert!(Instant::now() < until, "`{}` makes no calls any more: {}", arguments.join(" "), running.stderr());
            std::thread::sleep(Duration::from_millis(2));
        }
        let held = self.proxy.held();
        if held.held {
            println!("killed at call {calls} that changed something: {}", held.action.unwrap_or_default());
            running.signal(nix::sys::signal::Signal::SIGKILL);
        }
        let ran = running.wait();
        self.proxy.release();
        (held.held, ran)
    }

    /// The newest calls, for a message.
    pub fn last_calls(&self) -> String {
        let calls = self.proxy.requests();
        let line = |call: &Request| {
            let parameters: Vec<String> = call.parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
            format!("{} {} {} {}\n", call.action, call.status, call.error.as_deref().unwrap_or_default(), parameters.join(" "))
        };
        calls.iter().skip(calls.len().saturating_sub(30)).map(line).collect()
    }
}

/// The actions that changed something, in order.
pub fn written(calls: &[Request]) -> Vec<String> {
    calls.iter().filter(|call| call.is_committed_write()).map(|call| call.action.clone()).collect()
}

/// How many calls there were of each action, as a table to print.
pub fn table(title: &str, calls: &[Request]) -> String {
    let counts = cloudtik_aws_testing::counts(calls);
    let mut lines: Vec<(u64, String)> = counts.into_iter().map(|(action, count)| (count, action)).collect();
    lines.sort_by(|a, b| b.cmp(a));
    let parts: Vec<String> = lines.into_iter().map(|(count, action)| format!("{action} {count}")).collect();
    let errors = calls.iter().filter(|call| call.error.is_some()).count();
    let changing = calls.iter().filter(|call| call.write).count();
    format!("{title}: {} calls, {changing} of them to change something, {errors} errors\n  {}", calls.len(), parts.join(", "))
}

/// What a plan does: by address `create`, `import`, `import, update`, and whatever else it should not do.
pub fn planned(world: &World) -> BTreeMap<String, String> {
    let (ran, _) = world.expect(0, &["plan", "--json"]);
    let json: Json = serde_json::from_str(&ran.stdout).unwrap();
    let word = |change: &Json| {
        let action = change["change"]["actions"].as_array().unwrap().iter().map(|action| action.as_str().unwrap()).collect::<Vec<_>>();
        match (change["change"]["importing"].is_null(), action.join(" and ").as_str()) {
            (true, action) => action.to_owned(),
            (false, "no-op") => "import".to_owned(),
            (false, action) => format!("import, {action}"),
        }
    };
    let changes = json["resource_changes"].as_array().unwrap().iter();
    changes.map(|change| (change["address"].as_str().unwrap().to_owned(), word(change))).filter(|(_, word)| word != "no-op").collect()
}
