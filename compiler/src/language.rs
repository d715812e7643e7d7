//! The language as data: every block that is in effect, with its attributes, their types, their defaults and their change words.
//!
//! The reference, the checks, "did you mean", and the test matrix of change words are made from these tables.

use std::sync::{Arc, LazyLock};

use cloudtik_model::{ChangeWord, ObjectField, Type, Value};
use cloudtik_provider_api::{AttributeSchema, DOMAIN};

use crate::schema::{AttributeRule, BlockSchema, Check, NestedRule, TOP_LEVEL};
use crate::template::FROM;

/// Characters of the name of a workspace or a cluster: it becomes part of names that clouds bound to 63.
pub(crate) const NAME_CHARS_MAX: usize = 31;

fn strings() -> Type {
    Type::list(Type::String)
}

fn tags() -> AttributeRule {
    let schema = AttributeSchema::optional("tags", Type::map(Type::String), ChangeWord::Live, "Tags of everything made.");
    AttributeRule::new(schema)
}

fn env() -> AttributeRule {
    let doc = "Environment of every step and service.";
    AttributeRule::optional("env", Type::map(Type::String), ChangeWord::Steps, doc).late()
}

fn files() -> AttributeRule {
    let doc = "Files by remote path: a local path, or `{ source or content, mode, owner, on, template, exclude }`.";
    AttributeRule::optional("files", Type::Any, ChangeWord::Steps, doc).late()
}

fn one(schema: BlockSchema) -> NestedRule {
    NestedRule { schema, many: false }
}

fn many(schema: BlockSchema) -> NestedRule {
    NestedRule { schema, many: true }
}

fn enabled() -> AttributeRule {
    AttributeRule::new(AttributeSchema::with_default("enabled", Type::Bool, true, ChangeWord::None, "Whether the block counts.")).known()
}

fn from() -> AttributeRule {
    AttributeRule::optional(FROM, Type::Any, ChangeWord::None, "Templates that it inherits from: one, or a list of them; later ones win.")
        .reference()
}

fn meta() -> [AttributeRule; 3] {
    let note = ChangeWord::None;
    [
        AttributeRule::optional("count", Type::Number, note, "How many.").known().expands(),
        AttributeRule::optional("for_each", Type::Any, note, "One for each element of a map or of a set of strings.").known().expands(),
        AttributeRule::optional("depends_on", Type::Any, note, "What must come before.").reference(),
    ]
}

fn condition(name: &'static str) -> NestedRule {
    let word = ChangeWord::None;
    many(BlockSchema {
        name,
        attributes: vec![
            AttributeRule::new(AttributeSchema::required("condition", Type::Bool, word, "What must be true.")),
            AttributeRule::new(AttributeSchema::required("error_message", Type::String, word, "What to say when it is not.")),
        ],
        ..BlockSchema::default()
    })
}

fn lifecycle() -> NestedRule {
    let word = ChangeWord::None;
    let doc = "A plan that would destroy it is an error.";
    one(BlockSchema {
        name: "lifecycle",
        attributes: vec![
            AttributeRule::optional("create_before_destroy", Type::Bool, word, "The new one is made before the old one goes.").known(),
            AttributeRule::optional("prevent_destroy", Type::Bool, word, doc).known(),
            AttributeRule::optional("ignore_changes", Type::Any, word, "Attributes whose changes are not looked at, or `all`.").reference(),
            AttributeRule::optional("replace_triggered_by", Type::Any, word, "A change of one of these replaces it.").reference(),
        ],
        blocks: vec![condition("precondition"), condition("postcondition")],
        ..BlockSchema::default()
    })
}

/// How long what is done for each resource of a block may take.
fn timeouts() -> NestedRule {
    let within = |name, doc| AttributeRule::optional(name, Type::String, ChangeWord::None, doc).check(Check::Limit).known();
    one(BlockSchema {
        name: "timeouts",
        attributes: vec![
            within("create", "How long a create may take; what the provider knows without it."),
            within("update", "How long a change in place may take."),
            within("delete", "How long a delete may take."),
        ],
        ..BlockSchema::default()
    })
}

fn part_lifecycle() -> NestedRule {
    let mut rule = lifecycle();
    rule.schema.attributes.retain(|attribute| matches!(attribute.schema.name, "prevent_destroy" | "ignore_changes"));
    rule.schema.blocks.clear();
    rule
}

/// The whole file: what may stand at the top level.
#[must_use]
pub fn top_level() -> BlockSchema {
    BlockSchema {
        name: TOP_LEVEL,
        blocks: vec![
            one(cloudtik()),
            many(variable()),
            many(BlockSchema { name: "locals", open: true, ..BlockSchema::default() }),
            many(output()),
            many(provider()),
            many(resource()),
            many(data()),
            many(workspace()),
            many(cluster()),
            many(module()),
            many(moved()),
            many(removed()),
            many(check()),
            many(policy()),
            many(import()),
            many(BlockSchema { name: "template", labels: &["name"], open: true, ..BlockSchema::default() }),
        ],
        ..BlockSchema::default()
    }
}

/// What may stand in a template: the words of a workspace and those of a cluster.
pub(crate) fn template_body() -> BlockSchema {
    static LATER: LazyLock<Vec<&'static str>> = LazyLock::new(|| [workspace().later, cluster().later].concat());
    let both = joined(workspace(), cluster());
    BlockSchema { name: "template", later: &LATER, inherits: true, ..both }
}

/// A block with the attributes and blocks of two.
fn joined(first: BlockSchema, second: BlockSchema) -> BlockSchema {
    let mut both = first;
    for rule in second.attributes {
        if both.attribute(rule.schema.name).is_none() {
            both.attributes.push(rule);
        }
    }
    for rule in second.blocks {
        match both.blocks.iter_mut().find(|other| other.schema.name == rule.schema.name) {
            Some(other) => other.schema = joined(std::mem::take(&mut other.schema), rule.schema),
            None => both.blocks.push(rule),
        }
    }
    both
}

fn module() -> BlockSchema {
    BlockSchema { name: "module", labels: &["name"], open: true, ..BlockSchema::default() }
}

/// The attributes that every call of a module has beside the variables of the module.
#[must_use]
pub fn call_meta() -> Vec<AttributeRule> {
    let note = ChangeWord::None;
    let source = "The folder of the module, from that of the file: `./modules/net`. Written, not computed.";
    let providers = "The configurations that the module has, by what it calls them: `{ aws = aws.west }`; and those without alias.";
    let mut rules = vec![
        AttributeRule::new(AttributeSchema::required("source", Type::String, note, source)).reference(),
        AttributeRule::optional("providers", Type::Any, note, providers).reference(),
    ];
    rules.extend(meta());
    rules
}

fn moved() -> BlockSchema {
    let required = |name, doc| {
        let schema = AttributeSchema::required(name, Type::Any, ChangeWord::None, doc);
        AttributeRule::new(schema).reference()
    };
    BlockSchema {
        name: "moved",
        attributes: vec![
            required("from", "What a resource or a group of workers was called: `aws_vpc.old`, `aws_vpc.old[0]`, `cluster.c.workers.old`."),
            required("to", "What it is called now: `aws_vpc.new`, `aws_vpc.new[\"main\"]`, `cluster.c.workers.new`."),
        ],
        ..BlockSchema::default()
    }
}

fn removed() -> BlockSchema {
    let from = "What is in the spec no more: `aws_vpc.main`, `aws_vpc.main[0]`, `cluster.c`.";
    let destroy = "Whether what was made goes too; `false`: the state lets go of it, and it stays.";
    BlockSchema {
        name: "removed",
        written: true,
        attributes: vec![AttributeRule::new(AttributeSchema::required("from", Type::Any, ChangeWord::None, from)).reference()],
        blocks: vec![one(BlockSchema {
            name: "lifecycle",
            attributes: vec![
                AttributeRule::new(AttributeSchema::with_default("destroy", Type::Bool, true, ChangeWord::None, destroy)).known(),
            ],
            ..BlockSchema::default()
        })],
        ..BlockSchema::default()
    }
}

fn check() -> BlockSchema {
    BlockSchema {
        name: "check",
        written: true,
        labels: &["name"],
        blocks: vec![condition("assert")],
        later: &["data"],
        ..BlockSchema::default()
    }
}

fn policy() -> BlockSchema {
    let note = ChangeWord::None;
    let [_, for_each, _] = meta();
    let enforcement = "What a change that it does not hold for is: `deny`, an error, or `warn`.";
    let mut attributes = condition("policy").schema.attributes;
    attributes.push(AttributeRule {
        schema: AttributeSchema { doc: "One for each element; without it, one for each change of the plan.", ..for_each.schema.clone() },
        ..for_each
    });
    attributes.push(
        AttributeRule::new(AttributeSchema::with_default("enforcement", Type::String, "deny", note, enforcement))
            .check(Check::OneOf(&["deny", "warn"]))
            .known(),
    );
    BlockSchema { name: "policy", labels: &["name"], attributes, ..BlockSchema::default() }
}

fn import() -> BlockSchema {
    let note = ChangeWord::None;
    let [_, for_each, _] = meta();
    let to = AttributeSchema::required("to", Type::Any, note, "Where it is in the spec: `workspace.w`, `aws_vpc.main`.");
    let id = "The name of a workspace or a cluster, or the provider's id of anything else.";
    let host_key = "The host key of a cluster's head, `ssh-ed25519 …`, where its controller does not publish it.";
    BlockSchema {
        name: "import",
        attributes: vec![
            AttributeRule::new(to).reference(),
            AttributeRule::new(AttributeSchema::required("id", Type::String, note, id)),
            AttributeRule::optional("provider", Type::Any, note, "Which provider configuration; that of the block without it.").reference(),
            AttributeRule::optional("host_key", Type::String, note, host_key).known(),
            for_each,
        ],
        ..BlockSchema::default()
    }
}

fn cloudtik() -> BlockSchema {
    let word = ChangeWord::None;
    BlockSchema {
        name: "cloudtik",
        written: true,
        attributes: vec![
            AttributeRule::optional("required_version", Type::String, word, "Version constraint of the tool: `>= 0.1, < 1.0`.").known(),
        ],
        blocks: vec![one(BlockSchema {
            name: "state",
            labels: &["type"],
            attributes: vec![
                AttributeRule::optional("path", Type::String, word, "The state file; `.cloudtik/state.json` without it.").known(),
            ],
            later: &["lock_lease", "bucket", "key", "region", "endpoint_url", "kms_key_id", "path_style", "profile", "prefix", "account"],
            ..BlockSchema::default()
        })],
        later: &["encryption"],
        ..BlockSchema::default()
    }
}

fn variable() -> BlockSchema {
    let word = ChangeWord::None;
    BlockSchema {
        name: "variable",
        written: true,
        labels: &["name"],
        attributes: vec![
            AttributeRule::optional("type", Type::Any, word, "Its type: `string`, `list(number)`, `object({ … })`.").reference(),
            AttributeRule::optional("default", Type::Any, word, "Its value when none is given.").known(),
            AttributeRule::optional("description", Type::String, word, "What it is for.").known(),
            AttributeRule::optional("sensitive", Type::Bool, word, "Whether it is never shown.").known(),
            AttributeRule::optional("nullable", Type::Bool, word, "Whether it may be null.").known(),
        ],
        blocks: vec![condition("validation")],
        later: &["ephemeral"],
        ..BlockSchema::default()
    }
}

fn output() -> BlockSchema {
    let word = ChangeWord::None;
    BlockSchema {
        name: "output",
        written: true,
        labels: &["name"],
        attributes: vec![
            AttributeRule::new(AttributeSchema::required("value", Type::Any, word, "Its value.")),
            AttributeRule::optional("description", Type::String, word, "What it is.").known(),
            AttributeRule::optional("sensitive", Type::Bool, word, "Whether it is shown only when asked for by name.").known(),
            AttributeRule::optional("depends_on", Type::Any, word, "What must come before.").reference(),
        ],
        blocks: vec![condition("precondition")],
        ..BlockSchema::default()
    }
}

fn provider() -> BlockSchema {
    BlockSchema { name: "provider", labels: &["type"], open: true, ..BlockSchema::default() }
}

/// The attributes that every `provider` has beside those of its type.
#[must_use]
pub fn provider_meta() -> Vec<AttributeRule> {
    let note = ChangeWord::None;
    let alias = "A second configuration of the type: `TYPE.ALIAS` where others name it. Written, not computed.";
    let for_each = "With `alias`: one configuration for each key, `TYPE.ALIAS[\"key\"]`.";
    vec![
        AttributeRule::optional("alias", Type::String, note, alias).known(),
        AttributeRule::optional("for_each", Type::Any, note, for_each).known().expands(),
    ]
}

fn resource() -> BlockSchema {
    BlockSchema { name: "resource", labels: &["kind", "name"], blocks: vec![lifecycle(), timeouts()], open: true, ..BlockSchema::default() }
}

fn data() -> BlockSchema {
    BlockSchema { name: "data", labels: &["kind", "name"], open: true, ..BlockSchema::default() }
}

/// The attributes that every `data` has beside those of its kind.
#[must_use]
pub fn data_meta() -> Vec<AttributeRule> {
    let note = ChangeWord::None;
    let [count, for_each, _] = meta();
    vec![
        count,
        for_each,
        AttributeRule::optional("id", Type::String, note, "The provider's id of what is looked for."),
        AttributeRule::optional("provider", Type::Any, note, "Which provider configuration.").reference(),
    ]
}

/// The attributes that every `resource` has beside those of its kind.
#[must_use]
pub fn resource_meta() -> Vec<AttributeRule> {
    let mut rules = meta().to_vec();
    rules.push(AttributeRule::optional("provider", Type::Any, ChangeWord::Recreate, "Which provider configuration.").reference());
    rules
}

fn firewall_rule(name: &'static str) -> NestedRule {
    let live = ChangeWord::Live;
    let mut attributes = vec![
        AttributeRule::new(AttributeSchema::required("ports", strings(), live, "`\"80\"` or `\"8080-8090\"`.")).check(Check::Ports),
        AttributeRule::new(AttributeSchema::with_default("protocol", Type::String, "tcp", live, "`tcp`, `udp`, `icmp` or `all`."))
            .check(Check::OneOf(&["tcp", "udp", "icmp", "all"])),
        AttributeRule::optional("description", Type::String, live, "What it is for."),
        enabled(),
    ];
    let nodes = Check::OneOf(&["head", "workers", "all"]);
    if name == "ingress" {
        attributes.push(AttributeRule::new(AttributeSchema::required("from", strings(), live, "Who may connect.")).check(Check::Cidrs));
        attributes.push(
            AttributeRule::new(AttributeSchema::with_default("to", Type::String, "head", live, "`head`, `workers` or `all`.")).check(nodes),
        );
    } else {
        attributes.push(AttributeRule::new(AttributeSchema::required("to", strings(), live, "What may be reached.")).check(Check::Cidrs));
        attributes.push(
            AttributeRule::new(AttributeSchema::with_default("from", Type::String, "all", live, "`head`, `workers` or `all`."))
                .check(nodes),
        );
    }
    many(BlockSchema { name, labels: &["name"], attributes, ..BlockSchema::default() })
}

const CLIENT_VPC: &str = "Mode `peered`: the network to peer with; `shared`: the network to use; that of this machine without it.";

const CLIENT_PROVIDER: &str = "Mode `peered`: the provider configuration of the client's network; the workspace's without it.";

fn network() -> NestedRule {
    let live = ChangeWord::Live;
    let with = |name, default: &str, doc, words| {
        AttributeRule::new(AttributeSchema::with_default(name, Type::String, default, live, doc)).check(Check::OneOf(words)).known()
    };
    let subnets = Type::object([("public", strings()), ("private", strings())]);
    let s3 = Value::list([Value::from("s3")]);
    let mode =
        AttributeSchema::with_default("mode", Type::String, "public-head", ChangeWord::Fixed, "`public-head`, `peered` or `shared`.");
    one(BlockSchema {
        name: "network",
        attributes: vec![
            AttributeRule::new(mode).check(Check::OneOf(&["public-head", "peered", "shared"])).known(),
            AttributeRule::optional("cidr", Type::String, ChangeWord::Recreate, "The network's range.").check(Check::Cidr),
            AttributeRule::new(AttributeSchema::with_default("zones", Type::Any, 2_u64, live, "How many zones, or which."))
                .check(Check::Zones)
                .known(),
            with("nat", "single", "How private nodes reach the internet.", &["none", "single", "per-zone"]),
            AttributeRule::optional("client_vpc", Type::String, ChangeWord::Recreate, CLIENT_VPC).known(),
            AttributeRule::optional("client_provider", Type::Any, ChangeWord::Recreate, CLIENT_PROVIDER).reference(),
            with("client_access", "ssh", "What the client's network may reach.", &["none", "ssh", "all"]),
            AttributeRule::optional("subnets", subnets, ChangeWord::Recreate, "Mode `shared`: subnets to use; none are made then."),
            AttributeRule::new(AttributeSchema::with_default(
                "endpoints",
                strings(),
                s3,
                live,
                "Private endpoints of the cloud's services.",
            ))
            .known(),
        ],
        later: &["aws", "onprem", "local"],
        ..BlockSchema::default()
    })
}

/// The firewall of all nodes of a workspace, which says what they may do among each other; or that of the nodes of a cluster, which has no say in that.
fn proxy() -> NestedRule {
    let steps = ChangeWord::Steps;
    one(BlockSchema {
        name: "proxy",
        attributes: vec![
            AttributeRule::optional("http", Type::String, steps, "The proxy for `http`: `http://HOST:PORT`.").known(),
            AttributeRule::optional("https", Type::String, steps, "The proxy for `https`.").known(),
            AttributeRule::optional("no_proxy", strings(), steps, "What is reached without it, beside what is in the workspace.").known(),
        ],
        ..BlockSchema::default()
    })
}

fn firewall(is_of_workspace: bool) -> NestedRule {
    let live = ChangeWord::Live;
    let ssh_from = AttributeSchema::with_default("ssh_from", strings(), Value::list([]), live, "Who reaches SSH of heads.");
    let inside = AttributeSchema::with_default("inside", Type::String, "all", live, "`all` or `declared`.");
    let inside = AttributeRule::new(inside).check(Check::OneOf(&["all", "declared"])).known();
    one(BlockSchema {
        name: "firewall",
        attributes: std::iter::once(AttributeRule::new(ssh_from).check(Check::Cidrs)).chain(is_of_workspace.then_some(inside)).collect(),
        blocks: vec![firewall_rule("ingress"), firewall_rule("egress")],
        ..BlockSchema::default()
    })
}

fn identity() -> NestedRule {
    let (again, live) = (ChangeWord::Recreate, ChangeWord::Live);
    let list = |name, doc| AttributeRule::new(AttributeSchema::with_default(name, strings(), Value::list([]), live, doc));
    one(BlockSchema {
        name: "identity",
        attributes: vec![
            AttributeRule::optional("head", Type::String, again, "An identity that is there, for heads; one is made without it."),
            AttributeRule::optional("workers", Type::String, again, "The same for workers."),
            AttributeRule::optional("permissions_boundary", Type::String, live, "The policy that bounds what is made."),
            AttributeRule::optional("path", Type::String, again, "Where what is made lies among names."),
            list("head_policies", "Rights of heads, added to the least that is needed."),
            list("worker_policies", "The same for workers."),
        ],
        ..BlockSchema::default()
    })
}

const EXISTING_STORE: &str = "The URI of a store that is there, such as `s3://NAME`: it is used, and never changed or deleted.";

fn storage() -> NestedRule {
    let live = ChangeWord::Live;
    let flag = |name, doc| AttributeRule::new(AttributeSchema::with_default(name, Type::Bool, true, live, doc));
    let access = AttributeSchema::with_default("worker_access", Type::String, "read-write", live, "What the identity of workers may do.");
    let keep = AttributeSchema::with_default("on_destroy", Type::String, "keep", ChangeWord::None, "`keep` or `delete`.");
    let secret = |name, doc| AttributeRule::new(AttributeSchema::optional(name, Type::String, ChangeWord::Steps, doc).sensitive());
    many(BlockSchema {
        name: "storage",
        labels: &["name"],
        attributes: vec![
            AttributeRule::optional("existing", Type::String, ChangeWord::Steps, EXISTING_STORE).known(),
            AttributeRule::optional("name", Type::String, ChangeWord::Recreate, "Its real name."),
            flag("versioning", "Whether older versions of objects are kept."),
            flag("encrypted", "Whether objects are encrypted."),
            AttributeRule::optional("kms_key_id", Type::String, live, "The key that encrypts; the store's own without it."),
            secret("access_key", "Who nodes are to a store that does not know them; with `existing`."),
            secret("secret_key", "What proves it."),
            AttributeRule::new(access).check(Check::OneOf(&["none", "read", "read-write"])).known(),
            AttributeRule::new(keep).check(Check::OneOf(&["keep", "delete"])).known(),
            enabled(),
        ],
        blocks: vec![part_lifecycle()],
        later: &["aws", "onprem", "local"],
        ..BlockSchema::default()
    })
}

/// `{ address, port, username, password }`; the engine knows its port.
fn existing_database() -> Type {
    let field = |(name, ty, optional): (&str, Type, bool)| (Arc::from(name), ObjectField { ty, optional, default: None });
    let fields = [
        ("address", Type::String, false),
        ("port", Type::Number, true),
        ("username", Type::String, false),
        ("password", Type::String, false),
    ];
    Type::Object(Arc::new(fields.into_iter().map(field).collect()))
}

fn database() -> NestedRule {
    let (again, live, note) = (ChangeWord::Recreate, ChangeWord::Live, ChangeWord::None);
    let with = |name, ty, default: Value, doc| AttributeRule::new(AttributeSchema::with_default(name, ty, default, live, doc));
    let keep = AttributeSchema::with_default("on_destroy", Type::String, "keep", note, "`keep` or `delete`.");
    let username = AttributeSchema::with_default("username", Type::String, "cloudtik", again, "Who may do everything in it.");
    let password = AttributeSchema::optional("password", Type::String, live, "That user's password; generated without it.").sensitive();
    many(BlockSchema {
        name: "database",
        labels: &["name"],
        attributes: vec![
            AttributeRule::new(AttributeSchema::required("engine", Type::String, again, "`postgres` or `mysql`."))
                .check(Check::OneOf(&["postgres", "mysql"]))
                .known(),
            AttributeRule::optional("existing", existing_database(), note, "A database that is there: it is used, and never changed.")
                .secrets(&["password"]),
            AttributeRule::optional("version", Type::String, live, "Its version; the newest major one of the provider without it.").known(),
            with("instance_type", Type::String, "db.t3.xlarge".into(), "The type of machine."),
            with("disk_gib", Type::Number, 50_u64.into(), "Size of its disk in GiB; it only grows.").check(Check::IntFrom(1)),
            with("disk_type", Type::String, "gp3".into(), "Type of its disk."),
            with("high_availability", Type::Bool, false.into(), "Whether a second one stands by in another zone."),
            AttributeRule::new(username),
            AttributeRule::new(password),
            AttributeRule::optional("port", Type::Number, live, "Its port; the engine's without it.").check(Check::IntFrom(1)),
            AttributeRule::optional("database", Type::String, again, "The name of a first database in it."),
            with("backup", Type::String, "7d".into(), "For how many days back-ups are kept.").check(Check::Days).known(),
            with("deletion_protection", Type::Bool, true.into(), "Whether the provider refuses its delete to everybody else."),
            with("final_snapshot", Type::Bool, true.into(), "Whether it leaves a last snapshot when it goes."),
            AttributeRule::new(keep).check(Check::OneOf(&["keep", "delete"])).known(),
            enabled(),
        ],
        blocks: vec![part_lifecycle()],
        later: &["aws", "onprem", "local"],
        ..BlockSchema::default()
    })
}

const DOMAIN_DOC: &str = "The DNS suffix of services and nodes: names below it are never looked for behind a proxy.";

const DEPLOY: &str = "`native`: each part by a call of its own; `cloudformation`, on AWS: all of them as one stack.";

fn workspace() -> BlockSchema {
    let mut attributes = vec![
        AttributeRule::optional("name", Type::String, ChangeWord::Recreate, "Its real name; the label without it.")
            .check(Check::Name(NAME_CHARS_MAX))
            .known(),
        AttributeRule::optional("provider", Type::Any, ChangeWord::Recreate, "Which provider configuration.").reference(),
        AttributeRule::new(AttributeSchema::with_default("deploy", Type::String, "native", ChangeWord::Fixed, DEPLOY))
            .check(Check::OneOf(&["native", "cloudformation"]))
            .known(),
        AttributeRule::new(AttributeSchema::with_default("domain", Type::String, DOMAIN, ChangeWord::Steps, DOMAIN_DOC))
            .check(Check::Domain)
            .known(),
        tags(),
        from(),
    ];
    attributes.extend(meta());
    BlockSchema {
        name: "workspace",
        labels: &["name"],
        attributes,
        blocks: vec![network(), firewall(true), identity(), storage(), database(), proxy(), lifecycle(), timeouts()],
        inherits: true,
        ..BlockSchema::default()
    }
}

fn setup() -> NestedRule {
    let word = ChangeWord::Steps;
    let list = |name, doc| AttributeRule::optional(name, strings(), word, doc).late();
    let with = |name, ty, default: Value, doc| AttributeRule::new(AttributeSchema::with_default(name, ty, default, word, doc));
    let phases = &["before_runtimes", "after_runtimes", "on_start", "on_stop"];
    let step = BlockSchema {
        name: "step",
        labels: &["name"],
        attributes: vec![
            AttributeRule::new(AttributeSchema::required("phase", Type::String, word, "When it runs.")).check(Check::OneOf(phases)).known(),
            AttributeRule::optional("run", Type::String, word, "The commands.").late(),
            AttributeRule::optional("script", Type::String, word, "A file of the project with the commands.").known(),
            AttributeRule::optional("unless", Type::String, word, "Skipped when this command succeeds.").late(),
            AttributeRule::optional("only_if", Type::String, word, "Skipped unless this command succeeds.").late(),
            with("on", strings(), Value::list([Value::from("all")]), "On which nodes.").check(Check::Roles).known(),
            AttributeRule::optional("user", Type::String, word, "Who runs it."),
            env(),
            with("timeout", Type::String, "10m".into(), "How long it may take.").check(Check::Duration).known(),
            with("retries", Type::Number, 2_i64.into(), "Tries after the first.").check(Check::IntFrom(0)).known(),
            with("retry_wait", Type::String, "5s".into(), "Between tries.").check(Check::Duration).known(),
            enabled(),
        ],
        later: &["run_in"],
        ..BlockSchema::default()
    };
    one(BlockSchema {
        name: "setup",
        attributes: vec![
            list("before_runtimes", "Commands, once a node and again when the text changes."),
            list("after_runtimes", "The same, after the runtimes."),
            list("on_start", "Each time services start."),
            list("on_stop", "Before services stop."),
        ],
        blocks: vec![many(step)],
        later: &["on_host"],
        ..BlockSchema::default()
    })
}

fn ssh() -> NestedRule {
    let none = ChangeWord::None;
    let with = |name, default: &str, doc| {
        AttributeRule::new(AttributeSchema::with_default(name, Type::String, default, none, doc)).check(Check::Duration).known()
    };
    one(BlockSchema {
        name: "ssh",
        attributes: vec![
            AttributeRule::optional("authorized_keys", strings(), ChangeWord::Steps, "Public keys of people, on every node.")
                .check(Check::PublicKeys),
            with("connect_timeout", "15s", "How long a connection may take."),
            with("ready_timeout", "15m", "How long a new node may take until it answers."),
        ],
        later: &["user", "port", "private_key", "jump", "proxy_command"],
        ..BlockSchema::default()
    })
}

const PUBLIC_IP: &str = "Whether it has a public address: `auto` gives one in mode `public-head`, `static` one that the next head has too.";

/// What nodes of clouds of machines have.
fn machine() -> [AttributeRule; 5] {
    let rolling = ChangeWord::Rolling;
    let image = "An id, `\"ssm:PATH\"`, or `{ owner, name, arch }`, of which the newest is taken; the provider's without it.";
    [
        AttributeRule::optional("image", Type::Any, rolling, image).check(Check::Image).known(),
        AttributeRule::optional("disk_gib", Type::Number, rolling, "Size of the system disk; 100 without it.").check(Check::IntFrom(1)),
        AttributeRule::optional("disk_type", Type::String, rolling, "Type of the system disk; `gp3` without it."),
        AttributeRule::optional("zones", strings(), rolling, "Zones to choose from; the network's without it.").known(),
        AttributeRule::optional("user_data", Type::String, rolling, "What the image runs at first boot."),
    ]
}

/// What only nodes of AWS have.
fn aws() -> BlockSchema {
    let rolling = ChangeWord::Rolling;
    BlockSchema {
        name: "aws",
        attributes: vec![
            AttributeRule::optional("key_name", Type::String, rolling, "A key of the account that logs in too."),
            AttributeRule::optional("placement_group", Type::String, rolling, "The placement group."),
            AttributeRule::optional("security_group_ids", strings(), rolling, "Firewalls beside the workspace's."),
            AttributeRule::optional("subnet_ids", strings(), rolling, "Where it stands, instead of the workspace's subnets."),
            AttributeRule::optional("tenancy", Type::String, rolling, "Whose else the hardware is.").check(Check::OneOf(&[
                "default",
                "dedicated",
                "host",
            ])),
            AttributeRule::optional("ebs_optimized", Type::Bool, rolling, "Whether it has bandwidth of its own for disks."),
        ],
        later: &["launch_template", "metadata_options", "network_interface"],
        ..BlockSchema::default()
    }
}

fn head() -> NestedRule {
    let public_ip = AttributeSchema::with_default("public_ip", Type::String, "auto", ChangeWord::Rolling, PUBLIC_IP);
    let doc = "Ports of this machine, by port, and the port of the node that each leads to.";
    let local = BlockSchema {
        name: "local",
        attributes: vec![AttributeRule::optional("publish", Type::map(Type::Number), ChangeWord::Live, doc).check(Check::PortMap)],
        ..BlockSchema::default()
    };
    let rolling = ChangeWord::Rolling;
    one(BlockSchema {
        name: "head",
        attributes: vec![
            AttributeRule::optional("cpus", Type::Number, rolling, "Processors that it must have.").check(Check::Positive),
            AttributeRule::optional("memory_gib", Type::Number, rolling, "Memory that it must have, in GiB.").check(Check::Positive),
            AttributeRule::optional("gpus", Type::Number, rolling, "GPUs that it must have.").check(Check::IntFrom(1)),
            AttributeRule::optional("gpu_type", Type::String, rolling, "What GPUs these must be: `T4`."),
            AttributeRule::optional("instance_type", Type::String, rolling, "The type of machine; the provider's without it."),
            AttributeRule::new(public_ip).check(Check::OneOf(&["auto", "static", "none"])).known(),
            tags(),
            env(),
            files(),
        ]
        .into_iter()
        .chain(machine())
        .collect(),
        blocks: vec![setup(), ssh(), one(local), one(aws()), part_lifecycle()],
        later: &["store_gib", "disk", "mounts", "runtimes", "runtime", "container", "onprem"],
        ..BlockSchema::default()
    })
}

/// Of a group nothing but this is its own: what it is made of is told to the head, which looks at every change.
fn group_lifecycle() -> NestedRule {
    let mut rule = part_lifecycle();
    rule.schema.attributes.retain(|attribute| attribute.schema.name == "prevent_destroy");
    rule.schema.later = &["ignore_changes", "create_before_destroy", "replace_triggered_by", "precondition", "postcondition"];
    rule
}

/// The head alone connects to workers.
fn group_ssh() -> NestedRule {
    let mut rule = ssh();
    rule.schema.attributes.retain(|attribute| attribute.schema.name != "connect_timeout");
    rule.schema.later = &["connect_timeout", "user", "port", "private_key", "jump", "proxy_command"];
    rule
}

fn workers() -> NestedRule {
    let (live, rolling) = (ChangeWord::Live, ChangeWord::Rolling);
    let min = AttributeSchema::with_default("min", Type::Number, 1_i64, live, "So many are always up.");
    many(BlockSchema {
        name: "workers",
        labels: &["name"],
        attributes: vec![
            AttributeRule::optional("cpus", Type::Number, rolling, "Processors that each must have.").check(Check::Positive),
            AttributeRule::optional("memory_gib", Type::Number, rolling, "Memory that each must have, in GiB.").check(Check::Positive),
            AttributeRule::optional("gpus", Type::Number, rolling, "GPUs that each must have.").check(Check::IntFrom(1)),
            AttributeRule::optional("gpu_type", Type::String, rolling, "What GPUs these must be: `T4`."),
            AttributeRule::new(min).check(Check::IntFrom(0)).known(),
            AttributeRule::optional("max", Type::Number, live, "Never more; `min` without it.").check(Check::IntFrom(0)).known(),
            AttributeRule::optional("runtimes", strings(), ChangeWord::Steps, "Which of the cluster's runtimes run here; all without it.")
                .known(),
            AttributeRule::optional("instance_types", strings(), rolling, "Types of machine, the first that can be had is taken."),
            AttributeRule::optional("instance_type", Type::String, rolling, "The only type of machine."),
            AttributeRule::optional("market", Type::String, rolling, "How machines are paid for; `on-demand` without it.")
                .check(Check::OneOf(&["on-demand", "spot", "spot-then-on-demand"]))
                .known(),
            AttributeRule::optional("max_price", Type::Number, live, "The most that a machine of the spot market may cost an hour.")
                .check(Check::Positive),
            tags(),
            env(),
            files(),
            enabled(),
        ]
        .into_iter()
        .chain(machine())
        .collect(),
        blocks: vec![setup(), group_ssh(), one(aws()), group_lifecycle()],
        later: &[
            "priority",
            "after",
            "resources",
            "quorum",
            "on_idle",
            "rollout",
            "disk",
            "mounts",
            "runtime",
            "container",
            "local",
            "onprem",
        ],
        ..BlockSchema::default()
    })
}

/// Carried and not in effect: its attributes are those of a later version.
fn scaling() -> NestedRule {
    let inner =
        |name, labels| NestedRule { schema: BlockSchema { name, labels, open: true, ..BlockSchema::default() }, many: !labels.is_empty() };
    one(BlockSchema {
        name: "scaling",
        blocks: vec![
            inner("load", &["name"]),
            inner("schedule", &["name"]),
            inner("query", &["name"]),
            inner("yarn", &[]),
            inner("ray", &[]),
            inner("autostop", &[]),
        ],
        open: true,
        ..BlockSchema::default()
    })
}

fn discover() -> NestedRule {
    let word = ChangeWord::Steps;
    let list = |name, doc| AttributeRule::optional(name, strings(), word, doc).known();
    many(BlockSchema {
        name: "discover",
        labels: &["name"],
        attributes: vec![
            AttributeRule::optional("value", strings(), word, "These endpoints, `address:port` each, and no others."),
            list("services", "Services of these names; what the module says without it."),
            list("types", "Services of these types; what the module says without it."),
            list("runtimes", "Services of these runtimes; what the module says without it."),
            enabled(),
        ],
        later: &["clusters", "tags", "labels", "exclude_labels"],
        // A dependency that is turned off is one that the module must do without.
        off_counts: true,
        ..BlockSchema::default()
    })
}

fn runtime() -> NestedRule {
    let word = ChangeWord::Steps;
    many(BlockSchema {
        name: "runtime",
        labels: &["name"],
        attributes: runtime_attributes(word),
        blocks: vec![discover()],
        later: &["service", "binary"],
        open: true,
        ..BlockSchema::default()
    })
}

fn runtime_attributes(word: ChangeWord) -> Vec<AttributeRule> {
    vec![
        AttributeRule::optional("version", Type::String, word, "Exact, or a constraint; the module's without it.").known(),
        AttributeRule::optional("source", Type::String, word, "A module folder of one's own.").known(),
        AttributeRule::optional("on", strings(), word, "Where it runs; the module's roles without it.").check(Check::Roles).known(),
        AttributeRule::optional("config", Type::Any, word, "Passed to the service's own configuration.").late(),
        env(),
        AttributeRule::optional("depends_on", Type::Any, word, "Runtimes or clusters.").reference(),
        AttributeRule::optional("allow_major_upgrade", Type::Bool, ChangeWord::None, "Lets the version take a major step.").known(),
        enabled(),
    ]
}

fn cluster() -> BlockSchema {
    let mut attributes = vec![
        AttributeRule::new(AttributeSchema::required("workspace", Type::Any, ChangeWord::Recreate, "Its workspace: `workspace.w`."))
            .reference(),
        AttributeRule::optional("name", Type::String, ChangeWord::Recreate, "Its real name; the label without it.")
            .check(Check::Name(NAME_CHARS_MAX))
            .known(),
        from(),
        tags(),
        env(),
        files(),
        AttributeRule::optional(
            "max_workers",
            Type::Number,
            ChangeWord::Live,
            "Never more workers, over all groups; the sum of `max` without it.",
        )
        .check(Check::IntFrom(0))
        .known(),
    ];
    attributes.extend(meta());
    BlockSchema {
        name: "cluster",
        labels: &["name"],
        attributes,
        blocks: vec![firewall(false), proxy(), head(), workers(), setup(), runtime(), scaling(), lifecycle(), timeouts()],
        later: &["default_storage", "default_database", "node_ids", "hostnames", "rollout", "health", "ssh", "container", "storage"],
        inherits: true,
        ..BlockSchema::default()
    }
}
