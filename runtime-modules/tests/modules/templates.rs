//! Templates: what is strict about them, what a preview shows, what is bounded.

use std::fmt::Write as _;

use cloudtik_model::{Input, Template, Value};
use cloudtik_runtime_modules::{MAX_NESTING, MAX_OUTPUT_BYTES, MAX_TAGS, MAX_TEMPLATE_BYTES, render};
use proptest::prelude::*;

use crate::support;

const MANIFEST: &str = r#"
module "m" {
  version = "1.0"
  roles   = ["head"]
}
option "name" {
  type    = string
  default = "web"
}
option "none" {
  type    = string
  default = null
}
option "flag" {
  type    = bool
  default = false
}
option "list" {
  type    = list(string)
  default = ["a", "b"]
}
option "empty" {
  type    = list(string)
  default = []
}
option "map" {
  type    = map(number)
  default = { x = 1, y = 2.50 }
}
option "secret" {
  type      = string
  default   = "hush"
  sensitive = true
}
option "people" {
  type    = list(object({ name = string, age = number }))
  default = [{ name = "ana", age = 30 }, { name = "bo", age = 7 }]
}
option "late" {
  type    = string
  default = null
}
locals { big = 12345678901234567890.125 }
file "f" {
  template = "t.hbs"
  path     = "/f"
}
"#;

/// What a template comes out as: `Ok` with the preview and the text on the node, or the messages.
fn run(template: &str, runtime: &str) -> Result<(String, String), String> {
    let case = support::case(&[("module.hcl", MANIFEST), ("templates/t.hbs", template)], runtime);
    if !case.found.is_empty() {
        return Err(case.messages(&case.found));
    }
    let expanded = case.expand();
    if expanded.diagnostics.has_errors() {
        assert!(expanded.steps.is_empty());
        return Err(case.messages(&expanded.diagnostics));
    }
    let Input::Template(template) = &expanded.steps[0].inputs["content"] else { panic!("no template") };
    Ok((template.preview.to_string(), support::rendered(template, &support::facts())))
}

fn check(template: &str, expected: &str) {
    let (preview, text) = run(template, "runtime \"m\" {}").unwrap_or_else(|messages| panic!("{template}\n{messages}"));
    assert_eq!(text, expected, "{template}");
    assert_eq!(preview, expected, "{template}");
}

fn check_late(template: &str, preview: &str, text: &str) {
    assert_eq!(run(template, "runtime \"m\" { late = node.address }").unwrap(), (preview.to_owned(), text.to_owned()), "{template}");
}

/// The first message is about this place and says this, with the runtime beside it.
#[track_caller]
fn check_error(template: &str, place: &str, says: &str) {
    let Err(messages) = run(template, "runtime \"m\" {}") else { panic!("{template} was accepted") };
    let template: String = template.chars().take(200).collect();
    let first = messages.lines().next().unwrap();
    let place = if place.ends_with(':') { place.to_owned() } else { format!("{place}: ") };
    assert!(first.starts_with(&format!("m/templates/t.hbs:{place}")), "{template}\n{messages}");
    assert!(messages.contains(says), "{template}\nshould say: {says}\n{messages}");
}

#[test]
fn values_print_exactly_and_nothing_is_escaped() {
    check(
        "{{option.name}} {{option.flag}} {{local.big}} {{option.map.y}} {{module.version}}",
        "web false 12345678901234567890.125 2.5 1.0",
    );
    check("<a href=\"{{option.name}}\">&amp; '{{{option.name}}}' {{&option.name}}</a>", "<a href=\"web\">&amp; 'web' web</a>");
    check(
        "{{join (lookup option \"list\") \"<\"}} {{json 1.50}} {{json -3}} {{json 0.1000000000000000000001}}",
        "a<b 1.5 -3 0.1000000000000000000001",
    );
}

#[test]
fn blocks_make_scopes() {
    check("{{#each option.list}}{{@index}}{{@first}}{{@last}}={{this}};{{/each}}", "0truefalse=a;1falsetrue=b;");
    check("{{#each option.map}}{{@key}}={{this}} {{/each}}", "x=1 y=2.5 ");
    check("{{#each option.map as |v k|}}{{k}}={{v}} {{/each}}", "x=1 y=2.5 ");
    check("{{#each option.people}}{{name}}:{{this.age}}:{{../option.name}}:{{@root.module.name}} {{/each}}", "ana:30:web:m bo:7:web:m ");
    check(
        "{{#each option.people as |p|}}{{#each @root.option.list}}{{@../index}}{{@index}}{{p.name}} {{/each}}{{/each}}",
        "00ana 01ana 10bo 11bo ",
    );
    check("{{#each option.empty}}{{this}}{{else}}none{{/each}}|{{#each option.empty}}x{{/each}}", "none|");
    check("{{#with option}}{{name}}{{/with}}{{#with option.none}}x{{else}}y{{/with}}", "weby");
    check("{{#if option.flag}}a{{else if option.list}}b{{else}}c{{/if}}{{#unless option.flag}}d{{/unless}}", "bd");
    check("a\n{{#if option.name}}\n  b\n{{/if}}\nc\n", "a\n  b\nc\n");
    check("a {{~option.name~}} b", "awebb");
    check("{{option.people.1.name}} {{option.people.[0].name}} {{option/name}}", "bo ana web");
}

#[test]
fn helpers_give_what_they_say() {
    check("{{json option.map}} {{json option.people}}", r#"{"x":1,"y":2.5} [{"age":30,"name":"ana"},{"age":7,"name":"bo"}]"#);
    check("{{json \"<&>\"}} {{json local.big}} {{json option.none}}", "\"<&>\" 12345678901234567890.125 null");
    check("{{yaml_quote \"a: \\\"b\\\"\\n\"}} {{yaml_quote option.map.x}}", "\"a: \\\"b\\\"\\n\" \"1\"");
    check("{{shell_quote \"it's $HOME\"}} {{shell_quote option.name}}", "'it'\\''s $HOME' web");
    check("{{indent \"a\\n\\nb\\n\" 2}}", "  a\n\n  b\n");
    check(
        "{{b64 \"\"}} {{b64 \"f\"}} {{b64 \"fo\"}} {{b64 \"foo\"}} {{b64 \"foob\"}} {{b64 \"ä?>\"}}",
        " Zg== Zm8= Zm9v Zm9vYg== w6Q/Pg==",
    );
    check("{{join option.list}} {{join option.list \" - \"}} {{len option.list}} {{len option.name}}", "a,b a - b 2 3");
    check(
        "{{eq option.map.y 2.5}} {{ne option.name \"web\"}} {{not option.none}} {{and 1 0}} {{or \"\" option.name}}",
        "true false true false true",
    );
    check("{{#if (and (eq option.name \"web\") (not option.flag))}}yes{{/if}}", "yes");
    check("{{lookup option.map \"x\"}} {{#each option.list}}{{lookup @root.option.list @index}}{{/each}}", "1 ab");
    check("{{required option.name \"a name\"}}", "web");
}

#[test]
fn a_missing_name_is_an_error_wherever_it_stands() {
    check_error("\n  x {{option.nmae}}", "2:7", "did you mean `name`?");
    check_error("{{nope}}", "1:3", "there is no `nope` here");
    check_error("{{#if option.nope}}x{{/if}}", "1:7", "no `nope` in `option`");
    check_error("{{#unless nope}}x{{/unless}}", "1:11", "no `nope`");
    check_error("{{#each option.nope}}x{{/each}}", "1:9", "no `nope`");
    check_error("{{#with option.nope}}x{{/with}}", "1:9", "no `nope`");
    check_error("{{json option.nope}}", "1:8", "no `nope`");
    check_error("{{#if (eq option.nope 1)}}x{{/if}}", "1:11", "no `nope`");
    check_error("{{#if option.flag}}{{option.nope}}{{/if}}", "1:22", "no `nope`");
    check_error("{{#if option.name}}{{else}}{{option.nope}}{{/if}}", "1:30", "no `nope`");
    check_error("{{#if option.name}}a{{else if option.nope}}b{{/if}}", "1:31", "no `nope`");
    check_error("{{#each option.people}}{{nmae}}{{/each}}", "1:26", "did you mean `name`?");
    check_error("{{#each option.empty}}{{option.name}}{{option.nope}}{{else}}{{nope}}{{/each}}", "1:63", "no `nope` here");
    check_error("{{#each option.list}}{{option.name}}{{/each}}", "1:24", "inside a block write `@root.option.name`");
    check_error("{{#each option.people}}{{option}}{{/each}}", "1:26", "inside a block write `@root.option`");
    check_error("{{option.name.x}}", "1:3", "there is nothing below `option.name`");
    check_error("{{option.people.5.name}}", "1:3", "no `5`");
    check_error("{{lookup option.map \"z\"}}", "1:3", "no `z`");
    check_error("{{node.adress}}", "1:3", "did you mean `address`?");
    check_error("{{node.address.x}}", "1:3", "nothing below");
    check_error("{{../option}}", "1:3", "leads out of the template");
    check_error("{{@index}}", "1:3", "only in `each`");
    check_error("{{#each option.list}}{{@key}}{{/each}}", "1:24", "no keys");
    check_error("{{#each option.list}}{{@size}}{{/each}}", "1:24", "there are `@index`");
    check_error("{{#*inline \"p\"}}{{option.nope}}{{/inline}}{{> p}}", "1:19", "no `nope`");
    check_error("{{#*inline \"p\"}}{{x}}{{/inline}}{{> p x=option.nope}}", "1:41", "no `nope`");
}

#[test]
fn one_run_names_every_missing_name_and_the_runtime() {
    let messages = run("{{option.a}}\n{{#if option.flag}}{{option.b}}{{/if}}\n{{local.c}}", "\nruntime \"m\" {}").unwrap_err();
    let expected = "m/templates/t.hbs:1:3: there is no `a` in `option` [template]\n  main.hcl:2:1: for this runtime\n\
                    m/templates/t.hbs:2:22: there is no `b` in `option` [template]\n  main.hcl:2:1: for this runtime\n\
                    m/templates/t.hbs:3:3: there is no `c` in `local` [template]\n  main.hcl:2:1: for this runtime\n";
    assert_eq!(messages, expected);
}

#[test]
fn what_has_no_text_is_not_printed() {
    check_error("{{option.none}}", "1:3", "null");
    check_error("a {{option.list}}", "1:5", "`json` or `join`");
    check_error("{{option.map}}", "1:3", "`json` or `join`");
    check_error("{{required option.none \"say who\"}}", "1:3", "say who");
    check_error("{{#each option.none}}x{{/each}}", "1:9", "has no `else`");
    check_error("{{#each option.name}}x{{/each}}", "1:9", "goes through a list or a map");
    check_error("{{#with option.none}}x{{/with}}", "1:9", "has no `else`");
    check_error("{{indent option.name 500}}", "1:3", "from 0 to 80");
    // Behind a condition that says so, null is fine.
    check("{{#if option.none}}{{option.none}}{{/if}}.", ".");
}

#[test]
fn what_the_language_does_not_have_is_refused_at_loading() {
    for (template, place, says) in [
        ("{{jsn option.map}}", "1:3", "did you mean `json`?"),
        ("{{#repeat 3}}x{{/repeat}}", "1:4", "there is no block `repeat`"),
        ("{{#iff option.x}}x{{/iff}}", "1:4", "did you mean `if`?"),
        ("{{json}}", "1:3", "needs an argument"),
        ("{{eq 1}}", "1:3", "wrong number of arguments"),
        ("{{json a=1}}", "1:3", "wrong number of arguments"),
        ("{{#if a b}}{{/if}}", "1:4", "takes one argument"),
        ("{{> nope}}", "1:5", "there is no partial `nope`"),
        ("{{#*inline \"p\"}}{{> p}}{{/inline}}{{> p}}", "1:21", "includes itself"),
        ("{{#> p}}x{{/p}}", "1:1", "not known here"),
        ("{{* deco}}", "1:1", "not known here"),
        ("{{#*other \"p\"}}x{{/other}}", "1:1", "no decorator `other`"),
        ("{{{{raw}}}}x{{{{/raw}}}}", "1:5", "there is no block `raw`"),
        ("a\nb {{#if x}}\n", "2:3", "close this block with `{{/if}}`"),
        ("a {{option.name", "1:3", "has no `}}`"),
        ("{{#if x}}{{/each}}", "1:10", "does not close"),
        ("{{#if a}}{{#*inline \"p\"}}x{{/inline}}{{/if}}", "1:10", "at the top level"),
        ("{{log \"x\"}}", "1:3", "there is no helper `log`"),
    ] {
        check_error(template, place, says);
    }
}

#[test]
fn partials_take_what_they_are_about() {
    check(
        "{{#*inline \"p\"}}[{{name}}]{{/inline}}{{#each option.people}}{{> p}}{{/each}}{{> p option}}{{> p name=\"x\"}}",
        "[ana][bo][web][x]",
    );
    check("{{#*inline \"p\"}}\na\nb\n{{/inline}}\n  {{> p}}\nc\n", "  a\n  b\nc\n");
}

#[test]
fn a_preview_shows_what_is_not_known() {
    check_late(
        "{{node.address}} {{node.cores}} {{node.dirs.logs}}/x",
        "<node.address> <node.cores> <node.dirs.logs>/x",
        "127.64.0.2 4 /node/logs/x",
    );
    check_late("{{shell_quote option.late}} {{yaml_quote node.address}}", "<node.address> \"<node.address>\"", "127.64.0.2 \"127.64.0.2\"");
    check_late("{{json node.cores}} {{b64 node.id}}", "\"<node.cores>\" <b64(node.id)>", "4 aS0x");
    check_late("{{#if (eq node.cores 4)}}four{{else}}more{{/if}}", "<if eq(node.cores, 4)>four<else>more<endif>", "four");
    check_late("{{#unless node.names}}none{{/unless}}", "<unless node.names>none<endunless>", "");
    check_late(
        "{{#each node.names}}{{@index}}:{{this}}{{#unless @last}},{{/unless}}{{/each}}",
        "<each node.names><@index>:<node.names[*]><unless @last>,<endunless><endeach>",
        "0:a,1:b",
    );
    check_late("{{join node.names \" \"}} {{len node.names}}", "<node.names> <len(node.names)>", "a b 2");
    check_late("{{#if (and option.flag node.cores)}}x{{else}}y{{/if}}", "y", "y");
    check_late("{{json option.list}} {{#with node.dirs}}{{conf}}{{/with}}", "[\"a\",\"b\"] <node.dirs.conf>", "[\"a\",\"b\"] /node/conf");
}

#[test]
fn a_preview_does_not_tell_secrets() {
    let template = "{{option.secret}} {{shell_quote option.secret}} {{json option.secret}} {{b64 option.secret}} {{#if (eq option.secret \"hush\")}}x{{/if}}{{len option.secret}}";
    let (preview, text) = run(template, "runtime \"m\" {}").unwrap();
    assert!(!preview.contains("hush") && !preview.contains("aHVz"), "{preview}");
    assert!(preview.contains("(sensitive value)"), "{preview}");
    assert_eq!(text, "hush hush \"hush\" aHVzaA== x4");
}

#[test]
fn rendering_on_the_node_is_strict_too() {
    let template = |text: &str, bindings: Value| {
        let template = Template { name: "t.hbs".into(), text: text.into(), bindings: Value::NULL, preview: "".into() };
        render(&template, &bindings).map_err(|error| error.to_string())
    };
    let bindings = || Value::object([("a", Value::NULL), ("b", Value::from("x"))]);
    assert_eq!(template("{{b}}", bindings()).unwrap(), "x");
    assert_eq!(template("\n {{a}}", bindings()).unwrap_err(), "t.hbs:2:4: `a` cannot be printed: it is null, which has no text");
    assert_eq!(template("{{#if c}}x{{/if}}", bindings()).unwrap_err(), "t.hbs:1:7: `c`: there is no `c`");
    let late = Value::object([("b", cloudtik_lang_late())]);
    assert_eq!(template("{{b}}", late).unwrap_err(), "t.hbs:1:3: `b` is not known");
}

fn cloudtik_lang_late() -> Value {
    let late = cloudtik_model::LateName::Node("address".into());
    Value::deferred(late.ty(), cloudtik_model::ExprKind::Late(late).into())
}

#[test]
fn templates_are_bounded() {
    check_error(&"x".repeat(MAX_TEMPLATE_BYTES + 1), "1:1", "bytes; at most");
    check_error(&"{{option.name}}".repeat(MAX_TAGS + 1), "1:", "tags");
    let deep = |n: usize| format!("{}x{}", "{{#if option.name}}".repeat(n), "{{/if}}".repeat(n));
    check(&deep(MAX_NESTING), "x");
    check_error(&deep(MAX_NESTING + 1), "1:", "nested deeper");
    check_error(&deep(2_000), "1:", "nested deeper");
    check_error(&format!("{{{{#if option.name}}}}a{}{{{{/if}}}}", "{{else if option.flag}}b".repeat(500)), "1:", "nested deeper");
    check_error(&format!("{{{{json {}1{}}}}}", "(not ".repeat(500), ")".repeat(500)), "1:", "nested deeper");
    check_error(&format!("{{{{json {}{}}}}}", "[".repeat(5_000), "]".repeat(5_000)), "1:", "nested deeper");
    let mut loops = String::from("{{#each @root.option.list}}");
    for _ in 0..26 {
        loops.push_str("{{#each @root.option.list}}");
    }
    loops.push_str(&"{{/each}}".repeat(27));
    check_error(&loops, "1:", "steps");
    let mut long = String::new();
    for _ in 0..12 {
        long.push_str("{{#each @root.option.list}}");
    }
    let _ = write!(long, "{}{}", "y".repeat(MAX_OUTPUT_BYTES / 4_000), "{{/each}}".repeat(12));
    check_error(&long, "1:", "longer than");
}

/// What is written once and read by both: the library's own renderer, where it is strict enough to be asked, and ours.
fn library(template: &str, data: &serde_json::Value) -> String {
    let mut library = handlebars::Handlebars::new();
    library.register_escape_fn(handlebars::no_escape);
    library.set_strict_mode(true);
    library.render_template(template, data).unwrap()
}

fn piece() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("a".to_owned()),
        Just("\n".to_owned()),
        Just("  ".to_owned()),
        Just("\\{{x}}".to_owned()),
        Just("{{s}}".to_owned()),
        Just("{{~s}}".to_owned()),
        Just("{{n~}}".to_owned()),
        Just("{{! a comment }}".to_owned()),
        Just("{{!-- {{x}} --}}".to_owned()),
        Just("{{o.a}}".to_owned()),
        Just("{{len l}}".to_owned()),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        let body = prop::collection::vec(inner, 0..4).prop_map(|pieces| pieces.concat());
        (body.clone(), body, 0..7_u8).prop_map(|(a, b, form)| match form {
            0 => format!("{{{{#if s}}}}{a}{{{{else}}}}{b}{{{{/if}}}}"),
            1 => format!("{{{{#if e}}}}\n{a}{{{{else if n}}}}\n{b}\n{{{{/if}}}}\n"),
            2 => format!("{{{{#unless (eq n 3)}}}}{a}{{{{/unless}}}}{b}"),
            3 => format!("{{{{#each l}}}}{{{{this}}}}{{{{@index}}}}{{{{@last}}}}{{{{/each}}}}{a}"),
            4 => format!("{{{{#each o as |v k|}}}}\n{{{{k}}}}={{{{v}}}}\n{{{{/each}}}}\n{b}"),
            5 => format!("{{{{#each e}}}}x{{{{else}}}}{a}{{{{/each}}}}"),
            _ => format!("{{{{#with o}}}}{{{{a}}}}{{{{../s}}}}{{{{/with}}}}{b}"),
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    /// Strict or not, what comes out is what Handlebars makes of it.
    #[test]
    fn we_print_what_the_library_prints(pieces in prop::collection::vec(piece(), 0..6)) {
        let text = pieces.concat();
        let data = serde_json::json!({ "s": "<s>", "n": 3, "l": ["x", "y"], "e": [], "o": { "a": "1", "b": "2" } });
        let list = |items: &[&str]| Value::list(items.iter().map(|item| Value::from(*item)));
        let bindings = Value::object([
            ("s", Value::from("<s>")),
            ("n", 3_u64.into()),
            ("l", list(&["x", "y"])),
            ("e", list(&[])),
            ("o", Value::object([("a", Value::from("1")), ("b", Value::from("2"))])),
        ]);
        let template = Template { name: "t".into(), text: text.as_str().into(), bindings: Value::NULL, preview: "".into() };
        prop_assert_eq!(render(&template, &bindings).unwrap(), library(&text, &data), "{}", text);
    }

    /// No text ends the program, and each is done in time.
    #[test]
    fn any_text_gives_a_text_or_an_error(text in "([{}#/~^>!*&()\\[\\]|@.=\"'\\\\ \n]|if|each|else|as|this|a){0,40}") {
        let template = Template { name: "t".into(), text: text.as_str().into(), bindings: Value::NULL, preview: "".into() };
        let _ = render(&template, &Value::object([("a", Value::from("x"))]));
    }
}
