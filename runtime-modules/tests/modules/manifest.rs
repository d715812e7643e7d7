//! The manifest: what is refused, where, and with what help.

use cloudtik_model::{MemorySources, SourceMap, Span, Type};
use cloudtik_runtime_modules::{load_folder, load_shipped, shipped_names};

use crate::support;

const HEADER: &str = "module \"m\" {\n  version = \"1\"\n  roles = [\"head\"]\n}\n";

/// The messages of a manifest whose `module` block is right.
fn messages(manifest: &str) -> String {
    let text = format!("{HEADER}{manifest}");
    let case =
        support::case(&[("module.hcl", &text), ("templates/t.hbs", "x"), ("files/mime.types", "text/html html;\n")], "runtime \"m\" {}");
    assert_eq!(case.module.is_none(), case.found.has_errors());
    case.messages(&case.found)
}

/// The manifest is refused at this line and column of what follows the header.
#[track_caller]
fn check(manifest: &str, place: &str, says: &str) {
    let (line, column) = place.split_once(':').unwrap();
    let place = format!("m/module.hcl:{}:{column}: ", line.parse::<usize>().unwrap() + 4);
    let messages = messages(manifest);
    assert!(messages.contains(&place) && messages.contains(says), "{manifest}\nshould say: {place}{says}\n{messages}");
}

#[test]
fn names_are_checked_with_a_suggestion() {
    check("optoin \"a\" {}", "1:1", "did you mean `option`?");
    check("option \"a\" {\n  typ = string\n}", "2:3", "did you mean `type`?");
    check("option \"a\" {}", "1:1", "`option` needs `type`");
    check("option { type = string }", "1:1", "`option` needs its name");
    check("option \"a\" \"b\" { type = string }", "1:12", "takes one label");
    check("x = 1", "1:1", "has no attribute `x`");
    check("port \"http\" {\n  port = 1\n  port { }\n}", "3:3", "is an attribute, not a block");
    check("daemon \"d\" {\n  argv = [\"x\"]\n  ready = 1\n}", "3:3", "is a block, not an attribute");
    check("option \"a\" { type = string }\noption \"a\" { type = string }", "2:1", "two blocks `option \"a\"`");
    check("binary \"b\" {\n  wheel = \"w\"\n  requires = [\"pakages\"]\n}", "3:14", "did you mean `packages`?");
    check("file \"f\" {\n  path = \"/f\"\n  content = local.nope\n}", "3:13", "there is no `local.nope`");
    check("locals { port = 1 }\nfile \"f\" {\n  path = \"/f\"\n  content = local.prot\n}", "4:13", "did you mean `local.port`?");
    check("file \"f\" {\n  path = \"/f\"\n  content = optoin.a\n}", "3:13", "did you mean `option`?");
    check("file \"f\" {\n  path = \"/f\"\n  content = node.adress\n}", "3:13", "did you mean `node.address`?");
    check("file \"f\" {\n  path = \"/f\"\n  content = each.key\n}", "3:13", "only in a `file` with `for_each`");
    check("file \"f\" {\n  path = \"/f\"\n  content = var.x\n}", "3:13", "a module has no variables");
    check("file \"f\" {\n  path = \"/f\"\n  content = package.dir\n}", "3:13", "no `binary` block");
    check("file \"f\" {\n  path = \"/f\"\n  content = true ? \"a\" : option.nope\n}", "3:26", "there is no `option.nope`");
    check("daemon \"d\" {\n  argv = [\"x\"]\n  stop_signal = \"TREM\"\n}", "3:17", "did you mean `TERM`?");
}

#[test]
fn options_are_checked() {
    for name in
        ["version", "source", "on", "config", "env", "service", "discover", "binary", "depends_on", "allow_major_upgrade", "enabled"]
    {
        check(&format!("option \"{name}\" {{ type = string }}"), "1:8", "every runtime has that");
    }
    check("option \"a-b\" { type = string }", "1:8", "is no name");
    check("option \"a\" { type = strng }", "1:21", "did you mean `string`?");
    check("option \"a\" {\n  type = number\n  default = \"x\"\n}", "3:13", "the default of `a` is no number");
    check("option \"a\" {\n  type = number\n  default = node.cores\n}", "3:13", "no name can be used here");
    check(
        "option \"a\" {\n  type = number\n  validation {\n    condition = node.cores > 1\n    error_message = \"x\"\n  }\n}",
        "4:17",
        "sees `option` and nothing else",
    );
    check("option \"a\" {\n  type = number\n  validation {\n    condition = true\n  }\n}", "3:3", "needs `error_message`");
}

#[test]
fn binaries_files_and_steps_are_checked() {
    check("binary \"b\" {}", "1:1", "exactly one of `wheel`, `path` and `package`");
    check("binary \"b\" {\n  wheel = \"w\"\n  path = \"p\"\n}", "1:1", "exactly one of");
    check("binary \"b\" {\n  wheel = \"w\"\n}", "1:1", "needs `version`");
    check("binary \"b\" {\n  path = \"p.tar.gz\"\n  sha256 = \"12\"\n}", "3:12", "64 hexadecimal digits");
    check("file \"f\" { path = \"/f\" }", "1:1", "exactly one of `template`, `source` and `content`");
    check("file \"f\" {\n  path = \"/f\"\n  template = \"tt.hbs\"\n}", "3:14", "did you mean `t.hbs`?");
    check("file \"f\" {\n  path = \"/f\"\n  template = \"../t.hbs\"\n}", "3:14", "is not the path of a file below `templates/`");
    check("file \"f\" {\n  path = \"/f\"\n  source = \"mime.typs\"\n}", "3:12", "did you mean `mime.types`?");
    check("file \"f\" {\n  path = \"/f\"\n  content = \"x\"\n  bindings = {}\n}", "4:3", "`bindings` are for a `template`");
    check("file \"Package\" {\n  path = \"/f\"\n  content = \"x\"\n}", "1:6", "no name of a step");
    check("file \"package\" {\n  path = \"/f\"\n  content = \"x\"\n}", "1:1", "has a step of that name by itself");
    check("file \"f\" {\n  path = \"/f\"\n  content = \"x\"\n}\nrun \"f\" { run = [\"x\"] }", "5:1", "two steps are called `f`");
    check("validate \"v\" {\n  run = [\"x\"]\n  follows = [\"cnf\"]\n}", "3:13", "there is no step `cnf`");
    check("daemon \"d\" { argv = [\"x\"] }\nvalidate \"v\" {\n  run = [\"x\"]\n  follows = [\"d\"]\n}", "4:13", "runs after `v`");
    check("daemon \"d\" {\n  argv = [\"x\"]\n  ready {}\n}", "3:3", "exactly one of `http` and `tcp`");
    check("daemon \"d\" {\n  argv = [\"x\"]\n  ready {\n    tcp {}\n  }\n}", "4:5", "needs `port`");
    check("port \"htp\" { port = 1 }\nservice \"s\" {\n  port = \"http\"\n}", "3:10", "did you mean `htp`?");
}

#[test]
fn late_names_of_the_cluster_are_checked() {
    let file = |content: &str| {
        format!("file \"f\" {{\n  path = \"/f\"\n  content = {content}\n}}\ndiscover \"store\" {{}}\nsecret \"token\" {{}}")
    };
    check(&file("group.member"), "3:13", "did you mean `group.members`?");
    check(&file("tostring(group.bootstrp)"), "3:22", "did you mean `group.bootstrap`?");
    check(&file("service.stoer.endpoints[0]"), "3:13", "did you mean `service.store`?");
    check(&file("service.store.endpoint[0]"), "3:13", "did you mean `service.store.endpoints`?");
    check(&file("service[\"stoer\"].endpoints[0]"), "3:13", "did you mean `service.store`?");
    check(&file("service.cache.endpoints[0]"), "3:13", "declare `discover \"cache\" { … }`");
    check(&file("secret.tokn"), "3:13", "did you mean `secret.token`?");
    check(&file("secret.password"), "3:13", "declare `secret \"password\" {}`");
    check("locals { x = service.store.endpoints }", "1:14", "the module declares no `service`");
    assert_eq!(messages(&file("join(service.store.endpoints[0], [secret.token, group.members[0].id])")), "");
}

#[test]
fn what_a_module_needs_of_its_cluster_is_checked() {
    let member = |body: &str| format!("membership {{\n  join = [\"j\"]\n  leave = [\"l\"]\n  {body}\n}}");
    assert_eq!(messages(&member("timeout = \"2m\"")), "");
    check("membership { join = [\"j\"] }", "1:1", "`membership` needs `leave`");
    check(&member("timout = \"2m\""), "4:3", "did you mean `timeout`?");
    check(&member("env = { MEMBER_ID = \"x\" }"), "4:11", "`MEMBER_ID` says which member a script is about");
    check(&member("env = { A = option.nope }"), "4:15", "there is no `option.nope`");
    check(&format!("{}\n{}", member(""), member("")), "6:1", "two blocks `membership`");
    check("discover \"a\" {\n  service = [\"x\"]\n}", "2:3", "did you mean `services`?");
    check("discover \"a\" {\n  services = [node.id]\n}", "2:15", "no name can be used here");
    check("discover \"a-b\" {}", "1:10", "is no name of a `discover`");
    check("discover \"a\" {}\ndiscover \"a\" {}", "2:1", "two blocks `discover \"a\"`");
    check("secret \"a b\" {}", "1:8", "is no name of a `secret`");
    check("secret \"a\" { length = 8 }", "1:23", "a secret has 16 to 256 characters");
    check("secret \"a\" { length = 257 }", "1:23", "a secret has 16 to 256 characters");
    check("run \"r\" {\n  run = [\"x\"]\n  frozen = true\n}", "3:3", "`run` has no attribute `frozen`");
    check("run \"member\" { run = [\"x\"] }", "1:1", "has a step of that name by itself");
}

#[test]
fn a_module_says_what_it_needs() {
    let manifest = format!(
        "{HEADER}discover \"store\" {{\n  services = [\"a\"]\n  types = [\"kv\"]\n  runtimes = [\"etcd\"]\n  optional = true\n  \
         description = \"d\"\n}}\nsecret \"long\" {{\n  length = 64\n  description = \"s\"\n}}\nsecret \"usual\" {{}}"
    );
    let module = support::case(&[("module.hcl", &manifest)], "").module.unwrap();
    let [store] = module.discovers() else { panic!("{:?}", module.discovers()) };
    assert_eq!((&*store.name, store.optional, store.doc.as_str()), ("store", true, "d"));
    assert_eq!((store.services.join(","), store.types.join(","), store.runtimes.join(",")), ("a".into(), "kv".into(), "etcd".into()));
    assert!(!store.span.is_none());
    let secrets: Vec<(&str, u64, &str)> = module.secrets().iter().map(|secret| (&*secret.name, secret.length, &*secret.doc)).collect();
    assert_eq!(secrets, [("long", 64, "s"), ("usual", 32, "")]);
    assert!(!module.has_membership());
    let manifest = format!("{HEADER}membership {{\n  join = [\"j\"]\n  leave = [\"l\"]\n}}");
    assert!(support::case(&[("module.hcl", &manifest)], "").module.unwrap().has_membership());
}

#[test]
fn one_run_shows_every_error() {
    let found = messages("option \"env\" { type = string }\nfile \"f\" { path = \"/f\" }\nbinary \"b\" {}\nfoo {}");
    assert_eq!(found.lines().filter(|line| line.starts_with("m/module.hcl:")).count(), 4, "{found}");
}

#[test]
fn a_folder_without_a_manifest_is_said_where_it_is_named() {
    let mut map = SourceMap::default();
    let file = map.add("main.hcl", "source = \"./mods/x\"");
    let sources = MemorySources::new([("main.hcl", "")]);
    let at = Span::new(file, 9, 19);
    let (module, found) = load_folder("x", &sources, "./mods/x/", at, &mut map);
    assert!(module.is_none());
    let error = found.into_iter().next().unwrap();
    assert_eq!((error.title.as_str(), error.primary.unwrap().span), ("there is no file `mods/x/module.hcl`", at));
    let (_, found) = load_folder("y", &MemorySources::new([("y/module.hcl", b"\xff\xfe")]), "y", at, &mut map);
    assert!(found.into_iter().next().unwrap().title.contains("is not UTF-8"));
    let (_, found) = load_folder("y", &MemorySources::new([("y/module.hcl", "")]), "y", at, &mut map);
    assert_eq!(found.into_iter().next().unwrap().code, "missing-block");
    let (_, found) = load_folder("y", &MemorySources::new([("y/module.hcl", HEADER)]), "y", at, &mut map);
    assert!(found.into_iter().next().unwrap().title.contains("the module is called `m`, and the runtime `y`"));
    let worker = HEADER.replace("head", "haed");
    let (_, found) = load_folder("m", &MemorySources::new([("m/module.hcl", worker)]), "m", at, &mut map);
    assert_eq!(found.into_iter().next().unwrap().help.unwrap(), "did you mean `head`?");
}

#[test]
fn shipped_modules_load_without_a_word_and_once() {
    let mut map = SourceMap::default();
    for name in shipped_names() {
        let (module, found) = load_shipped(name, &mut map).unwrap();
        let module = module.unwrap_or_else(|| panic!("{found:?}"));
        assert!(found.is_empty());
        assert_eq!(module.name(), name);
        assert!(!module.description().is_empty() && !module.roles().is_empty());
        assert!(module.options().iter().all(|option| !option.doc.is_empty()), "an option of {name} is not described");
    }
    let files = map.iter().count();
    assert!(load_shipped("nginx", &mut map).unwrap().0.is_some());
    assert_eq!(map.iter().count(), files, "a file that was read before keeps its id");
    assert!(load_shipped("ngnix", &mut map).is_none());
}

#[test]
fn options_say_what_they_need() {
    let manifest = format!(
        "{HEADER}option \"must\" {{ type = map(number) }}\noption \"may\" {{\n  type = string\n  default = null\n  sensitive = true\n}}"
    );
    let case = support::case(&[("module.hcl", &manifest)], "");
    let module = case.module.unwrap();
    let must = module.option("must").unwrap();
    assert_eq!((must.required, must.default.is_none(), &must.ty), (true, true, &Type::map(Type::Number)));
    let may = module.option("may").unwrap();
    assert_eq!((may.required, may.sensitive, may.default.as_ref().map(cloudtik_model::Value::is_null)), (false, true, Some(true)));
    assert!(module.option("version").is_none());
}
