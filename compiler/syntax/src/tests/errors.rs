use super::check_errors;

#[test]
fn strings_that_are_never_closed() {
    check_errors(
        "a = \"x\nb = 1\n",
        r#"
1:5 "\"x" unclosed-string: this string is never closed
  help: close it with `"`; a quote inside a string is written `\"`, and text of several lines is a heredoc: <<EOT
left: b
"#,
    );
    check_errors(
        "a = f(\"x)\nb = 1\n",
        r#"
1:7 "\"x)" unclosed-string: this string is never closed
  help: close it with `"`; a quote inside a string is written `\"`, and text of several lines is a heredoc: <<EOT
left: b
"#,
    );
    check_errors(
        "a = [\"x, \"y\"]\nb = 1\n",
        r#"
1:12 "\"]" unclosed-string: this string is never closed
  help: close it with `"`; a quote inside a string is written `\"`, and text of several lines is a heredoc: <<EOT
left: b
"#,
    );
    check_errors(
        "a = \"x ${ b\"\nc = 1\n",
        r#"
1:8 "${" unclosed-interpolation: this `${` is never closed
  help: close it with `}`; for a literal `${` write `$${`
left: c
"#,
    );
    check_errors(
        r#"r "a" {
  a = "x ${ b
  c = 1
}
d = 2
"#,
        r#"
2:10 "${" unclosed-interpolation: this `${` is never closed
  3:3 "c": it should probably be closed before this
  help: close it with `}`; for a literal `${` write `$${`
left: d
"#,
    );
    check_errors(
        "a = \"b\"c\"\n",
        r#"
1:9 "\"" unclosed-string: this string is never closed
  help: close it with `"`; a quote inside a string is written `\"`, and text of several lines is a heredoc: <<EOT
"#,
    );
    check_errors(
        r#"a = <<E
${ b
E
c = 1
"#,
        r#"
2:1 "${" unclosed-interpolation: this `${` is never closed
  4:1 "c": it should probably be closed before this
  help: close it with `}`; for a literal `${` write `$${`
left: c
"#,
    );
}

#[test]
fn heredocs() {
    check_errors(
        r#"a = <<EOT
text
EOT;
b = 1
"#,
        r#"
1:5 "<<EOT" unclosed-heredoc: no line `EOT` ends this text
  3:1 "EOT;": this line is not `EOT` alone
  help: a text that begins with `<<EOT` ends with a line that holds `EOT` and nothing else
"#,
    );
    check_errors(
        r#"a = <<-EOT
  text
  eot

r "x" {
}
"#,
        r#"
1:5 "<<-EOT" unclosed-heredoc: no line `EOT` ends this text
  3:3 "eot": this line is not `EOT` alone
  help: a text that begins with `<<-EOT` ends with a line that holds `EOT` and nothing else
left: x
"#,
    );
    check_errors(
        "a = <<\"EOT\"\nb\nEOT\n",
        r#"
1:5 "<<" invalid-heredoc: a heredoc begins with `<<` and a marker, which is a name
  help: write the marker without quotes: <<EOT
"#,
    );
    check_errors(
        "a = << EOT\n",
        r#"
1:5 "<<" invalid-heredoc: a heredoc begins with `<<` and a marker, which is a name
  help: write <<EOT, the text in lines of its own, then EOT
1:5 "<< EOT" unclosed-heredoc: no line `EOT` ends this text
  help: a text that begins with `<<EOT` ends with a line that holds `EOT` and nothing else
"#,
    );
    check_errors(
        "a = <<EOT b\nc\nEOT\nd=1",
        r#"
1:11 "b" invalid-heredoc: the text of a heredoc begins in the line below its marker
  help: end the line after `<<EOT`
left: d
"#,
    );
}

#[test]
fn comments_that_are_never_closed() {
    check_errors(
        "/* never",
        r#"
1:1 "/*" unclosed-comment: this comment is never closed
  help: close it with `*/`
"#,
    );
    check_errors(
        "a = 1 /* never\nb = 2",
        r#"
1:7 "/*" unclosed-comment: this comment is never closed
  help: close it with `*/`
"#,
    );
}

#[test]
fn brackets() {
    check_errors(
        r#"r "a" {
  x = 1

r "b" {
  y = 2
}
"#,
        r#"
1:7 "{" unclosed-bracket: this `{` is never closed
  4:1 "r": it should probably be closed before this
  help: close it with `}`
left: b
"#,
    );
    check_errors(
        r#"r "a" {
  n {
    x = 1
}
r "b" {
}
"#,
        r#"
2:5 "{" unclosed-bracket: this `{` is never closed
  4:1 "}": by its indentation this one belongs to a bracket further out
  help: close it with `}`
left: b
"#,
    );
    check_errors(
        r#"r "a" {
  x = {
    k = 1
  y = 2
}
r "b" {
}
"#,
        r#"
2:7 "{" unclosed-bracket: this `{` is never closed
  5:1 "}": by its indentation this one belongs to a bracket further out
  help: close it with `}`
left: b
"#,
    );
    check_errors(
        r#"r "a" {
  x = [
    1,
    2
  y = 3
}
r "b" {
}
"#,
        r#"
2:7 "[" unclosed-bracket: this `[` is never closed
  5:3 "y": it should probably be closed before this
  help: close it with `]`
left: b
"#,
    );
    check_errors(
        r#"r "a" {
  x = f(1, 2
}
r "b" {
}
"#,
        r#"
2:8 "(" unclosed-bracket: this `(` is never closed
  3:1 "}": it is still open here
  help: close it with `)`
left: b
"#,
    );
    check_errors(
        "a = [1, 2\nb = 3\n",
        r#"
1:5 "[" unclosed-bracket: this `[` is never closed
  2:1 "b": it should probably be closed before this
  help: close it with `]`
left: b
"#,
    );
    check_errors(
        "a = (1 + 2]\nb = 3",
        r#"
1:11 "]" mismatched-bracket: `(` is closed by `]`
  1:5 "(": this is what it closes
  help: write `)`
left: b
"#,
    );
    check_errors(
        r#"a {
  b = 1
}}
c = 1
"#,
        r#"
3:2 "}" stray-bracket: this `}` closes nothing
  help: remove it, or add the `{` that it should close
left: c
"#,
    );
    check_errors(
        "a = 1)\nb = 2\n",
        r#"
1:6 ")" stray-bracket: this `)` closes nothing
  help: remove it, or add the `(` that it should close
left: b
"#,
    );
    check_errors(
        "a {\nb = 1\n",
        r#"
1:3 "{" unclosed-bracket: this `{` is never closed
  help: close it with `}`
left: b
"#,
    );
    check_errors(
        "a = {\n  b = 1\n",
        r#"
1:5 "{" unclosed-bracket: this `{` is never closed
  help: close it with `}`
"#,
    );
    check_errors(
        "a = \"${ f(\"x\" }\"\n",
        r#"
1:10 "(" unclosed-bracket: this `(` is never closed
  1:15 "}": it is still open here
  help: close it with `)`
"#,
    );
    check_errors(
        "a = \"${ f(x] }\"\n",
        r#"
1:12 "]" mismatched-bracket: `(` is closed by `]`
  1:10 "(": this is what it closes
  help: write `)`
"#,
    );
    check_errors(
        r#"a = [
  f(1, 2
  3
]
b = 1
"#,
        r#"
2:4 "(" unclosed-bracket: this `(` is never closed
  4:1 "]": it is still open here
  help: close it with `)`
left: b
"#,
    );
    check_errors(
        "a = { b = (1, c = 2 }\nd = 1\n",
        r#"
1:11 "(" unclosed-bracket: this `(` is never closed
  1:21 "}": it is still open here
  help: close it with `)`
left: d
"#,
    );
}

#[test]
fn names_and_labels() {
    check_errors(
        r#"a 1
b "x"
c hello
d: 1
e := 2
f
g == 1
h => 2
i.j = 1
k[0] = 1
"l" = 1
m "x" = 1
n true
"#,
        r#"
1:3 "1" missing-equals: an `=` is missing after `a`
  help: write a = 1
2:1 "b \"x\"" missing-equals: an `=` is missing after `b`
  help: write b = "x"
3:1 "c hello" missing-equals: an `=` is missing after `c`
  help: write c = "hello"
4:2 ":" missing-equals: `d` is followed by `:`
  help: write d = 1
5:3 ":" missing-equals: `e` is followed by `:`
  help: write e = 2
6:1 "f" missing-equals: `f` is followed by nothing
  help: write f = value for an attribute, or f { for a block
7:3 "==" missing-equals: `g` is followed by `==`
  help: write g = value
8:3 "=>" missing-equals: `h` is followed by `=>`
  help: write h = value
9:1 "i.j " missing-equals: the name of an attribute is one word
  help: to set a part of a value, write i = { … }
10:1 "k[0] " missing-equals: the name of an attribute is one word
  help: to set a part of a value, write k = { … }
11:1 "\"l\"" invalid-statement: the name of an attribute has no quotes
  help: write l = …
12:1 "m \"x\"" missing-equals: an attribute has no labels
  help: write m = 1
13:1 "n true" missing-equals: an `=` is missing after `n`
  help: write n = true
"#,
    );
    check_errors(
        r#"r "a" "b"
{
  x = 1
}
y = 1
"#,
        r#"
2:1 "{" misplaced-brace: the `{` of a block stands in the line of its name
  1:1 "r": this is the name
  help: write r "a" "b" {
left: y
"#,
    );
    check_errors(
        "r \"a\" \"b\"\ny = 1\n",
        r#"
1:1 "r \"a\" \"b\"" missing-brace: a `{` is missing after the labels of this block
  help: write r "a" "b" {
left: y
"#,
    );
    check_errors(
        r#"r a.b {
  x = 1
}
y = 1
"#,
        r#"
1:4 "." invalid-label: `.` is no label
  help: a label is a name, or text in double quotes
left: y
"#,
    );
    check_errors(
        "r \"${a}\" {\n}\ny = 1\n",
        r#"
1:3 "\"${a}\"" template-in-label: a label is plain text
  help: write the name itself; for several blocks use `for_each`
left: y
"#,
    );
    check_errors(
        "1a = 2\n",
        r#"
1:1 "1" invalid-statement: `1` begins no attribute and no block
  help: a name begins with a letter or `_`
"#,
    );
    check_errors(
        "= 3\n",
        r#"
1:1 "=" invalid-statement: `=` begins no attribute and no block
  help: write name = value
"#,
    );
    check_errors(
        ", x\n",
        r#"
1:1 "," invalid-statement: `,` begins no attribute and no block
  help: attributes and blocks are divided by the end of the line alone
"#,
    );
    check_errors(
        "&& b\n",
        r#"
1:1 "&&" invalid-statement: `&&` begins no attribute and no block
  help: an expression ends with its line; to go on in the next one, put it in parentheses
"#,
    );
    check_errors(
        "\u{a0}a = 1\n",
        r#"
1:1 "\u{a0}" invalid-statement: the character U+00A0 begins no attribute and no block
  help: write name = value, or kind "label" {
"#,
    );
    check_errors(
        "a ? b : c\n",
        r#"
1:3 "?" missing-equals: an `=` is missing after `a`
  help: write a = ? b : c
"#,
    );
}

#[test]
fn line_ends() {
    check_errors(
        "a { b = 1 c = 2 }\nd = 1\n",
        r#"
1:11 "c" one-line-block: a block on one line holds one attribute
  help: write each on a line of its own, between the braces
left: d
"#,
    );
    check_errors(
        "a { b = 1, c = 2 }\n",
        r#"
1:10 "," one-line-block: a block on one line holds one attribute
  help: write each on a line of its own, between the braces
"#,
    );
    check_errors(
        "a { b {} }\n",
        r#"
1:5 "b" one-line-block: a block on one line holds one attribute and no block
  help: write each on a line of its own, between the braces
"#,
    );
    check_errors(
        "a { b = 1\n  c = 2\n}\n",
        r#"
1:3 "{" one-line-block: what a block of several lines holds begins in the line below its brace
  help: end the line after `{`
"#,
    );
    check_errors(
        "a {\n  b = 1 }\nc = 1\n",
        r#"
2:9 "}" missing-newline: the `}` of a block of several lines stands in a line of its own
  help: end the line before it
left: c
"#,
    );
    check_errors(
        "a {} b {}\nc = 1\n",
        r#"
1:6 "b" missing-newline: the line should end before `b`
  help: begin a new line here
left: c
"#,
    );
    check_errors(
        "a = 1 b = 2\nc = 1\n",
        r#"
1:7 "b" missing-newline: the line should end before `b`
  help: write each attribute on a line of its own
left: c
"#,
    );
    check_errors(
        "resource \"x\" { a = 1\n",
        r#"
1:14 "{" one-line-block: what a block of several lines holds begins in the line below its brace
  help: end the line after `{`
"#,
    );
}

#[test]
fn expressions() {
    check_errors(
        "a = \"x\" \"y\"\n",
        r#"
1:9 "\"y\"" invalid-expression: the expression is complete before `"y"`
  help: text stands in double quotes; two expressions need an operator between them
"#,
    );
    check_errors(
        "a = “x”\n",
        r#"
1:5 "“" invalid-expression: the typographic quote `“` does not fit here
  help: text stands in straight double quotes: "…"
"#,
    );
    check_errors(
        "a = hello world\n",
        r#"
1:11 "world" invalid-expression: the expression is complete before `world`
  help: text stands in double quotes; two expressions need an operator between them
"#,
    );
    check_errors(
        r#"a = 10MB
b = 0x10
c = 1_000
d = .5
e = +1
"#,
        r#"
1:7 "MB" invalid-expression: `MB` does not fit here
  help: a number has no unit and no other base; as text write "10MB"
2:6 "x10" invalid-expression: `x10` does not fit here
  help: a number has no unit and no other base; as text write "0x10"
3:6 "_000" invalid-expression: `_000` does not fit here
  help: write a number as digits alone
4:5 "." invalid-expression: `.` does not fit here
  help: write 0.5
5:5 "+" invalid-expression: `+` does not fit here
  help: write the number without `+`
"#,
    );
    check_errors(
        r#"a = b and c
a2 = not b
a3 = if b
a4 = b or c
"#,
        r#"
1:7 "and" invalid-expression: `and` does not fit here
  help: write `&&`
2:10 "b" invalid-expression: `b` does not fit here
  help: write `!`
3:9 "b" invalid-expression: `b` does not fit here
  help: write condition ? value : other
4:8 "or" invalid-expression: `or` does not fit here
  help: write `||`
"#,
    );
    check_errors(
        r#"a = b & c
b = b | c
c = b === c
d = b <> c
e = b = c
"#,
        r#"
1:9 "c" invalid-expression: `c` does not fit here
  help: write `&&`
2:9 "c" invalid-expression: `c` does not fit here
  help: write `||`
3:9 "=" invalid-expression: `=` does not fit here
  help: write `==`
4:8 ">" invalid-expression: `>` does not fit here
  help: write `!=`
5:7 "=" invalid-expression: `=` does not fit here
  help: to compare write `==`
"#,
    );
    check_errors(
        r#"a = ${b}
b = $b
c = %{ if a }
d = @b;
"#,
        r#"
1:5 "$" invalid-expression: `$` does not fit here
  help: `${…}` stands in quotes only; here write the expression itself
2:5 "$" invalid-expression: `$` does not fit here
  help: names have no sign before them: var.name, local.name
3:5 "%" invalid-expression: `%` does not fit here
  help: `%{…}` stands in quotes or in a heredoc only
4:5 "@" invalid-expression: `@` does not fit here
  help: names have no sign before them: var.name, local.name
"#,
    );
    check_errors(
        r#"a = [x = 1]
b = f(x = 1)
c = f(1 2)
d = {a = 1 b = 2}
e = {a 1}
f = {a, b}
g = [1,,2]
h = a[b c]
i = a[]
j = ()
k = 1,2
"#,
        r#"
1:8 "=" invalid-expression: a list has no names
  help: for names and values write { name = value }
2:9 "=" invalid-expression: `=` does not fit here
  help: arguments are told by their order; to compare write `==`
3:9 "2" missing-comma: a comma is missing before `2`
  help: an argument ends with a comma; text stands in double quotes
4:12 "b" missing-comma: a comma or a new line is missing before `b`
  help: write , b
5:8 "1" missing-equals: an `=` is missing before `1`
  help: an entry of an object is name = value
6:7 "," missing-equals: an `=` is missing before `,`
  help: an entry of an object is name = value
7:8 "," invalid-expression: nothing stands before this comma
  help: remove the comma, or write what is missing
8:9 "c" invalid-expression: the index is complete before `c`
  help: an index is one expression
9:7 "]" incomplete-expression: an expression is missing before `]`
10:6 ")" incomplete-expression: an expression is missing before `)`
11:6 "," invalid-expression: `,` does not fit here
  help: remove the comma; a list stands in brackets: [a, b]
"#,
    );
    check_errors(
        "a = b.c::d(1)\nb = x::y()\n",
        r#"
1:8 "::" invalid-expression: `::` does not fit here
2:5 "x::y" namespaced-function: functions of providers or modules are not supported
  help: call a function by its name alone, without `::`
"#,
    );
    check_errors(
        "a = b.\nb = c..d\nc = d.*.e.*.f\n",
        r#"
1:6 "." incomplete-expression: a name is missing after `.`
  help: an expression ends with its line; to go on in the next one, put it in parentheses
2:6 "." invalid-expression: `.` does not fit here
3:10 ".*" nested-splat: `.*` cannot stand inside what another `.*` covers
  help: use `[*]`, or a `for` expression
"#,
    );
    check_errors(
        "a = c ? d\nb = ? c\nd = c ? : e\n",
        r#"
1:9 "d" incomplete-expression: this `?` has no `:`
  help: write condition ? value : other
2:5 "?" invalid-expression: `?` does not fit here
3:9 ":" invalid-expression: `:` does not fit here
"#,
    );
    check_errors(
        r#"a = [for x y : x]
b = [for x in y x]
c = {for x in y : x}
d = for x in y : x
"#,
        r#"
1:12 "y" invalid-expression: `y` does not fit here
  help: write [for x in list : x], [for k, v in map : v]
2:17 "x" invalid-expression: `x` does not fit here
  help: a `:` is missing: write [for x in list : x]
3:20 "}" invalid-expression: `}` does not fit here
  help: in braces write {for k, v in map : k => v}; for a list use square brackets
4:9 "x" invalid-expression: `x` does not fit here
  help: a `for` stands in brackets: [for x in list : x], {for k, v in map : k => v}
"#,
    );
    check_errors(
        "b = 1 2\n",
        r#"
1:7 "2" invalid-expression: the expression is complete before `2`
  help: text stands in double quotes; two expressions need an operator between them
"#,
    );
}

#[test]
fn values() {
    check_errors(
        "a =\nb = 1\n",
        r#"
1:1 "a" missing-value: `a` has no value
  help: write a = value; for no value write null
left: b
"#,
    );
    check_errors(
        "a =\n  \"x\"\n",
        r#"
1:1 "a" missing-value: `a` has no value
  help: the value begins in the line of the `=`
"#,
    );
    check_errors(
        "a = 'it'\n",
        r#"
1:5 "'it'" single-quotes: text stands in double quotes
  help: write "it"
"#,
    );
    check_errors(
        "a = 'it\n",
        r#"
1:5 "'" single-quotes: text stands in double quotes
  help: write " instead of '
"#,
    );
    check_errors(
        "a = \"\\q \\u12 \\Uffffffff\"\n",
        r#"
1:6 "\\q" invalid-escape: `\q` is no escape
  help: escapes are \n \r \t \" \\ \uXXXX \UXXXXXXXX; a backslash itself is written `\\q`
1:9 "\\u12" invalid-escape: `\u12` is no escape
  help: `\u` is followed by four hexadecimal digits that name a character; a backslash itself is written `\\`
1:14 "\\Uffffffff" invalid-escape: `\Uffffffff` is no escape
  help: `\U` is followed by eight hexadecimal digits that name a character; a backslash itself is written `\\`
"#,
    );
    check_errors(
        r#"a = 1e999999
b = 1e
c = f(x..., y)
d = f(...)
"#,
        r#"
1:5 "1e999999" number-too-long: the number has more than 200 digits or is beyond 1e400
2:6 "e" invalid-number: an exponent has digits
  help: write 1e3
3:11 "," invalid-expression: no argument follows one with `...`
  help: move it to the end
4:7 "..." invalid-expression: `...` does not fit here
"#,
    );
}

#[test]
fn keys_and_names_twice() {
    check_errors(
        r#"a = {
  b = 1
  c = 2
  b = 3
}
"#,
        r#"
4:3 "b" duplicate-key: this object has the key `b` twice
  again here
  2:3 "b": first here
  help: keep one of them
"#,
    );
    check_errors(
        r#"a = 1
a = 2
b {
  c = 1
  c = 2
}
"#,
        r#"
2:1 "a" duplicate-attribute: `a` is defined twice
  defined again here
  1:1 "a": defined here first
  help: keep one of them
5:3 "c" duplicate-attribute: `c` is defined twice
  defined again here
  4:3 "c": defined here first
  help: keep one of them
left: a
"#,
    );
    check_errors(
        "a = {b.c = 1}\n",
        r#"
1:6 "b.c" ambiguous-key: a key with a `.` or an index in it is neither a name nor an expression
  help: for the value of it write `(b.c)`, for the text write it in quotes
"#,
    );
}

#[test]
fn templates_and_directives() {
    check_errors(
        r#"a = "${}"
b = "${ }"
c = "${a b}"
d = "${HOME:-x}"
e = "%{ iff a }x%{ endif }"
f = "%{ if a }x"
g = "%{ endif }"
h = "%{ if a }%{ endfor }"
i = "%{ if a }%{ else }%{ else }%{ endif }"
j = "%{ if a }%{ else if b }%{ endif }"
k = "%{ for in x }%{ endfor }"
l = "%{ for x y }%{ endfor }"
m = "%{}"
n = "%{ for , x in y }%{ endfor }"
"#,
        r#"
1:8 "" incomplete-expression: an expression is missing
  help: for no value write null, for no text ""
2:8 " " incomplete-expression: an expression is missing
  help: for no value write null, for no text ""
3:10 "b" invalid-expression: the expression is complete before `b`
  help: for a literal `${` write `$${`
4:12 ":" invalid-expression: `:` does not fit here
  help: for a literal `${` write `$${`
5:9 "iff" invalid-directive: there is no directive `iff`
  help: did you mean `if`? For a literal `%{` write `%%{`
6:6 "%{ if a }" unclosed-directive: this `%{ if }` has no `%{ endif }`
  help: end what it governs with `%{ endif }`
7:6 "%{ endif }" invalid-directive: this `%{ endif }` ends no `%{ if }`
8:15 "%{ endfor }" invalid-directive: this `%{ endfor }` ends no `%{ for }`
  8:6 "%{ if a }": this `%{ if }` ends with `%{ endif }` and is still open
9:24 "%{ else }" invalid-directive: a second `%{ else }` for one `%{ if }`
  9:15 "%{ else }": the first one
10:23 "if b " invalid-directive: nothing follows `else`
  help: nest another `%{ if … }` … `%{ endif }` in it
11:16 "x" invalid-directive: `in` is missing after the name
  help: write `%{ for name in collection }`
12:15 "y" invalid-directive: `in` is missing after the name
  help: write `%{ for name in collection }`
13:6 "%{}" invalid-directive: a directive begins with `if`, `else`, `endif`, `for` or `endfor`
  help: for a literal `%{` write `%%{`
14:13 "," invalid-directive: a name is missing here
  help: write `%{ for name in collection }`
"#,
    );
}
