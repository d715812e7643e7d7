//! `file` and `templatefile`.

use cloudtik_lang::{Context, evaluate};
use cloudtik_model::Value;

use crate::{TestFiles, World, parse, resolve_in, show, world};

fn run(text: &str, files: &TestFiles) -> Result<Value, cloudtik_model::Diagnostics> {
    evaluate(&parse(text), &Context::new(&world()).with_files(files))
}

#[test]
fn files_are_read_and_templates_rendered() {
    let files = TestFiles::new([
        ("a.txt", "hello\n"),
        ("page.tpl", "%{ for n in names ~}\n<${n}>\n%{ endfor ~}\nport ${port}\n"),
        ("one.tpl", "${list}"),
        ("outer.tpl", "[${templatefile(\"a.tpl\", { x = x })}]"),
        ("a.tpl", "x=${x}"),
        ("loop.tpl", "${templatefile(\"loop.tpl\", {})}"),
    ]);
    for (text, expected) in [
        ("file(\"a.txt\")", "\"hello\\n\""),
        ("file(\"b.txt\")", "error: there is no file `b.txt`"),
        ("file(secret)", "error: the path of a file must not be sensitive"),
        ("file(\"../x\")", "error: `../x` lies outside the project"),
        ("templatefile(\"page.tpl\", { names = list, port = 80 })", "\"<a>\\n<b>\\nport 80\\n\""),
        ("templatefile(\"one.tpl\", { list = [1] })", "tuple[1]"),
        ("templatefile(\"a.tpl\", { x = secret })", "(sensitive)"),
        ("templatefile(\"a.tpl\", [])", "error: the names for a template are an object or a map, but this is a tuple"),
        ("templatefile(\"loop.tpl\", {})", "error: a template stands in more than 8 templates"),
        ("templatefile(\"a.tpl\", { y = 1 })", "error: there is no name `x` here"),
    ] {
        assert_eq!(show(&run(text, &files)), expected, "{text}");
    }
    // `templatefile` may stand in a template.
    assert_eq!(show(&run("templatefile(\"outer.tpl\", { x = 5 })", &files)), "\"[x=5]\"");
}

#[test]
fn an_error_in_a_template_stands_in_its_line() {
    let files = TestFiles::new([("page.tpl", "first\nsecond ${upper(nope)}\n")]);
    // The expression itself is file 0; the template comes after it.
    files.map.borrow_mut().add("main.hcl", "templatefile(\"page.tpl\", {})");
    let errors = run("templatefile(\"page.tpl\", {})", &files).unwrap_err();
    let error = errors.iter().next().unwrap();
    let map = files.map.borrow();
    assert_eq!(map.describe(error.primary.as_ref().unwrap().span).as_deref(), Some("page.tpl:2:16"));
    assert_eq!(map.describe(error.labels.first().unwrap().span).as_deref(), Some("main.hcl:1:1"));
}

#[test]
fn a_branch_that_is_not_taken_reads_no_file() {
    let files = TestFiles::new([("a.txt", "hello")]);
    assert_eq!(show(&run("true ? \"x\" : file(\"a.txt\")", &files)), "\"x\"");
    assert!(files.reads.borrow().is_empty());
}

#[test]
fn a_template_is_rendered_as_far_as_its_names_are_known() {
    let files = TestFiles::new([("a.tpl", "x=${x} y=${y}\n%{ for v in list }${v}${y}%{ endfor }")]);
    let value = run("templatefile(\"a.tpl\", { x = 1, y = later, list = later_list })", &files).unwrap();
    assert_eq!(
        format!("{value:?}"),
        "<string: Template([Text(\"x=1 y=\"), Value(Reference(sim.a.id)), Text(\"\\n\"), For { key_variable: None, value_variable: \"v#0\", \
         collection: Reference(sim.a.list), body: [Value(Variable(\"v#0\")), Value(Reference(sim.a.id))] }])>"
    );
    let known = World {
        references: [("sim.a.id".to_owned(), "i".into()), ("sim.a.list".to_owned(), Value::list(["p".into(), "q".into()]))].into(),
        ..World::default()
    };
    assert_eq!(show(&resolve_in(&value, &known)), "\"x=1 y=i\\npiqi\"");
}

#[test]
fn a_template_is_parsed_once_an_evaluation() {
    let files = TestFiles::new([("a.tpl", "x=${x}")]);
    run("[for i in range(100) : templatefile(\"a.tpl\", { x = i })]", &files).unwrap();
    assert_eq!(files.reads.borrow().len(), 1);
}
