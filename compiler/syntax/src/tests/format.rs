//! Each expectation is what `terraform fmt` 1.11 prints.

use cloudtik_model::FileId;

use crate::format;

fn check(source: &str, expected: &str) {
    let formatted = format(FileId(0), source).unwrap();
    assert_eq!(formatted, expected);
    assert_eq!(format(FileId(0), &formatted).unwrap(), formatted, "formatted twice");
}

#[test]
fn tokens_stand_apart_or_together() {
    check(
        "a= -1+ -2 - - 3\nbb=!true&&x[ 0 ]\nc=a?b:c\nd = foo ( 1, 2... )\ne = [for k,v in x:k if v]\nf = [for x in[1]:x if(x)]\n\
         g = x[ * ].y.0.*\nh = \"x\"[0]\ni = (a)[0]\nj = {a=1,b:2}\nk = {  }\nl = [ ]\n",
        "a  = -1 + -2 - -3\nbb = !true && x[0]\nc  = a ? b : c\nd  = foo(1, 2...)\ne  = [for k, v in x : k if v]\n\
         f  = [for x in [1] : x if(x)]\ng  = x[*].y.0.*\nh  = \"x\" [0]\ni  = (a)[0]\nj  = { a = 1, b : 2 }\nk  = {}\nl  = []\n",
    );
}

#[test]
fn sequences_are_code_and_the_text_around_them_is_not() {
    check(
        "a = \"${ x }-${~ foo( 1,2 ) ~} ${ y }$${ z }\"\nb = \"%{ for a in [1] }${a}%{ endfor }\"\nc = \"v ${\nb\n} c\"\n",
        "a = \"${x}-${~foo(1, 2)~} ${y}$${ z }\"\nb = \"%{for a in [1]}${a}%{endfor}\"\nc = \"v ${\n  b\n} c\"\n",
    );
}

#[test]
fn lines_are_indented_by_what_is_open() {
    check(
        "a \"b\" {\nc = [1,\n2]\nd = {\ne = {\nx=1 }\n}\nf = foo(\n1,\n2)\ng = a ? {\nb=1\n} : {\nc = 2\n}\n\n\n    # comment\n  /* x\n     y */\n}\n",
        "a \"b\" {\n  c = [1,\n  2]\n  d = {\n    e = {\n    x = 1 }\n  }\n  f = foo(\n    1,\n  2)\n  g = a ? {\n    b = 1\n    } : {\n    \
         c = 2\n  }\n\n\n  # comment\n  /* x\n     y */\n}\n",
    );
}

#[test]
fn heredocs_are_left_alone() {
    check(
        "t = {\na = <<EOT\n  x ${ y  }  \nEOT\n bbbb = 2\n c = <<-E\n   y\n   E  \n}\nl = [ <<X\nfoo\nX\n, \"b\" ]\n",
        "t = {\n  a    = <<EOT\n  x ${y}  \nEOT\n  bbbb = 2\n  c    = <<-E\n   y\n   E  \n}\nl = [<<X\nfoo\nX\n, \"b\"]\n",
    );
}

#[test]
fn neighbours_are_aligned() {
    check(
        "a = 1\nbbb = 2 # hello\n\"c\"   = 3 // w\n# comment\ndd = [1,\n2]\nff = 1 # x\n(var.größe) = 3\n\ng=1#\nh = [\n  2, # x\n 333 # y\n]\n"
            .replace("\"c\"", "c")
            .replace("(var.größe)", "größe")
            .as_str(),
        "a   = 1\nbbb = 2 # hello\nc   = 3 // w\n# comment\ndd = [1,\n2]\nff    = 1 # x\ngröße = 3\n\ng = 1 #\nh = [\n  2,  # x\n  333 # y\n]\n",
    );
}

#[test]
fn a_template_of_one_value_is_the_value() {
    check(
        "a = \"${ var.x }\"\nb = [\"${var.x}\"]\nc = \"${a}${b}\"\nd = \"${\"${x}\"}y\"\ne = \"${[\n1\n]}\"\nf {\n  g = \"${f(\"${a}\")}\" # c\n}\n\
         h = \"%{if a}b%{endif}\"\ni = (\"${x}\")\n",
        "a = var.x\nb = [\"${var.x}\"]\nc = \"${a}${b}\"\nd = \"${\"${x}\"}y\"\ne = ([\n  1\n])\nf {\n  g = f(\"${a}\") # c\n}\n\
         h = \"%{if a}b%{endif}\"\ni = (\"${x}\")\n",
    );
}

#[test]
fn labels_have_quotes_and_types_of_variables_have_none() {
    check(
        "resource foo \"bar\" /* c */ {}\nvariable x {\n  type = \"string\"\n}\nvariable y {\n  type = list\n}\nvariable \"z\" {\n  type = \"map\"\n}\n\
         variable \"w\" {\n  type = \"${string}\"\n}\nother {\n  type = \"string\"\n}\n",
        "resource \"foo\" \"bar\" /* c */ {}\nvariable \"x\" {\n  type = string\n}\nvariable \"y\" {\n  type = list(any)\n}\nvariable \"z\" {\n  \
         type = map(string)\n}\nvariable \"w\" {\n  type = \"${string}\"\n}\nother {\n  type = \"string\"\n}\n",
    );
}

#[test]
fn ends_of_lines_and_of_the_file_stay() {
    check("a=1\r\nbb=2 # x\r\n", "a  = 1\r\nbb = 2 # x\r\n");
    check("\n\n a=1\n\n\n", "\n\na = 1\n\n\n");
    check("a=1", "a = 1");
    check("a=1  ", "a = 1  ");
    check("\u{feff}a=1\n", "a = 1\n");
    check("", "");
}

#[test]
fn what_does_not_parse_is_not_touched() {
    assert!(format(FileId(0), "a = [1\n").unwrap_err().has_errors());
}
