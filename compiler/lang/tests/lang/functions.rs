//! Every function, by tables.

use crate::{check, eval, show};

#[test]
fn numbers() {
    check(&[
        ("abs(-2.5)", "2.5"),
        ("ceil(1.2)", "2"),
        ("floor(-1.2)", "-2"),
        ("max(1, 5, 3)", "5"),
        ("min([4, 2, 8]...)", "2"),
        ("max()", "error: `max` takes at least 1 argument, but is called with 0"),
        ("max([]...)", "error: `max` takes at least 1 argument, but is called with 0"),
        ("abs(\"x\")", "error: the argument `number` of `abs`: a number is required, but this is the string \"x\""),
        ("abs(null)", "error: the argument `number` of `abs`: it is null"),
        ("max(null...)", "error: the list that stands before `...` is null"),
    ]);
}

#[test]
fn strings() {
    check(&[
        ("join(\", \", [\"a\", 1, true])", "\"a, 1, true\""),
        ("join(\"-\", [\"a\"], [], [\"b\"])", "\"a-b\""),
        ("join(\"-\", [null])", "error: the argument `lists` of `join`: an element is null"),
        ("split(\",\", \"a,b,,c\")", "[\"a\", \"b\", \"\", \"c\"]"),
        ("split(\",\", \"\")", "[\"\"]"),
        ("split(\"\", \"äb\")", "[\"ä\", \"b\"]"),
        ("lower(\"ABC\")", "\"abc\""),
        ("upper(\"straße\")", "\"STRAßE\""),
        ("replace(\"1.2.3\", \".\", \"-\")", "\"1-2-3\""),
        ("replace(\"hello world\", \"/w.*d/\", \"you\")", "\"hello you\""),
        ("replace(\"ab\", \"/(a)(b)/\", \"$2$1\")", "\"ba\""),
        ("replace(\"ab\", \"/(a/\", \"x\")", "error: the argument `substring` of `replace`: not a regular expression: unclosed group"),
        ("trimspace(\"  a b\\n\")", "\"a b\""),
        ("regex(\"[a-z]+\", \"53453453.345345aaabbbccc23454\")", "\"aaabbbccc\""),
        ("regex(\"(\\\\d\\\\d\\\\d\\\\d)-(\\\\d\\\\d)(x)?\", \"2019-02\")", "tuple[\"2019\", \"02\", null]"),
        (
            "regex(\"^(?P<scheme>[^:]+)://(?P<host>[^/]+)\", \"https://example.com/x\")",
            "{\"host\": \"example.com\", \"scheme\": \"https\"}",
        ),
        ("regex(\"z\", \"abc\")", "error: the argument `string` of `regex`: the pattern does not match"),
        ("regex(\"(?P<a>.)(.)\", \"abc\")", "error: the argument `pattern` of `regex`: either all groups have names or none has"),
        (
            "regex(\"(a{1000}){1000}\", \"a\")",
            "error: the argument `pattern` of `regex`: not a regular expression: the regular expression is too large",
        ),
    ]);
}

#[test]
fn format() {
    check(&[
        ("format(\"%s-%d-%t\", \"a\", 5, true)", "\"a-5-true\""),
        ("format(\"%05d|%-5d|%+d|%5s|%-5s|\", 42, 42, 42, \"ab\", \"ab\")", "\"00042|42   |+42|   ab|ab   |\""),
        ("format(\"%.2f %f %5.1f\", 2.005, 1.5, 3.14159)", "\"2.00 1.500000   3.1\""),
        ("format(\"%.1f %.0f %.0f %.2f\", 0.25, 1.5, 2.5, -0.001)", "\"0.2 2 2 0.00\""),
        ("format(\"%x %X %b %o %#x\", 255, 255, 5, 8, 255)", "\"ff FF 101 10 0xff\""),
        ("format(\"%e %g %g %g %.3g\", 123456, 0.00001, 100000, 1000000, 1234.5)", "\"1.234560e+05 1e-05 100000 1e+06 1.23e+03\""),
        ("format(\"%v %v %v %v %#v\", 1, \"a\", [1, \"b\"], null, \"q\")", "\"1 a [1,\\\"b\\\"] null \\\"q\\\"\""),
        ("format(\"%q\", \"a\\\"b\")", "\"\\\"a\\\\\\\"b\\\"\""),
        ("format(\"%[2]s %[1]s 100%%\", \"a\", \"b\")", "\"b a 100%\""),
        ("format(\"%d\", 1.5)", "error: the argument `arguments` of `format`: `%d`: a whole number is required, but this is 1.5"),
        ("format(\"%d\", \"x\")", "error: the argument `arguments` of `format`: `%d`: a number is required, but this is the string \"x\""),
        ("format(\"%s\")", "error: the argument `format` of `format`: `%s` needs value 1, but there are 0"),
        ("format(\"x\", 1)", "error: the argument `arguments` of `format`: no verb in the format uses it"),
        ("format(\"50%\")", "error: the argument `format` of `format`: `%` at the end is no verb; a percent sign is written `%%`"),
        ("format(\"%y\", 1)", "error: the argument `arguments` of `format`: `%y`: there is no verb `y`"),
        ("format(\"%s\", null)", "error: the argument `arguments` of `format`: `%s`: the value is null"),
        ("format(\"%[0]s\", 1)", "error: the argument `format` of `format`: `%[0]` is no verb: a number and `]` must follow `[`"),
        ("format(\"%s %s\", list...)", "\"a b\""),
    ]);
}

#[test]
fn collections() {
    check(&[
        ("length([1, 2])", "2"),
        ("length(\"äb\")", "2"),
        ("length(map)", "2"),
        ("length(5)", "error: the argument `value` of `length`: a list, set, map, object or string is required, but this is a number"),
        ("concat([1], [\"a\"])", "tuple[1, \"a\"]"),
        ("concat(list, tolist([\"c\"]))", "[\"a\", \"b\", \"c\"]"),
        ("concat(list, 1)", "error: the argument `lists` of `concat`: a list is required, but this is a number"),
        ("contains(list, \"a\")", "true"),
        ("contains([1, 2], 3)", "false"),
        ("contains([1, 2], \"2\")", "false"),
        ("element(list, 3)", "\"b\""),
        ("element(list, -1)", "\"b\""),
        ("element([], 0)", "error: the argument `list` of `element`: the list is empty"),
        ("flatten([[1, [2]], [], 3])", "tuple[1, 2, 3]"),
        ("distinct([\"a\", \"b\", \"a\"])", "[\"a\", \"b\"]"),
        ("sort([\"b\", \"a\", \"C\"])", "[\"C\", \"a\", \"b\"]"),
        ("range(3)", "[0, 1, 2]"),
        ("range(1, 4)", "[1, 2, 3]"),
        ("range(4, 1)", "[4, 3, 2]"),
        ("range(1, 8, 3)", "[1, 4, 7]"),
        ("range(1, 2, 0.5)", "[1, 1.5]"),
        ("range(-2)", "[0, -1]"),
        ("range(0)", "[]"),
        ("range(1, 2, 0)", "error: the argument `step` of `range`: the step must not be zero"),
        ("range(1, 2, -1)", "error: the argument `step` of `range`: the step must be positive"),
        ("keys({b = 1, a = 2})", "tuple[\"a\", \"b\"]"),
        ("keys(list)", "error: the argument `map` of `keys`: a map or an object is required, but this is a list"),
        ("values({b = 1, a = \"x\"})", "tuple[\"x\", 1]"),
        ("values(map)", "[1, 2]"),
        ("lookup(map, \"x\", 0)", "1"),
        ("lookup(map, \"z\", \"5\")", "5"),
        ("lookup({a = 1}, \"z\", \"d\")", "\"d\""),
        (
            "lookup(map, \"z\")",
            "error: the argument `key` of `lookup`: there is no element \"z\", and no default is given; did you mean \"x\"?",
        ),
        ("merge({a = 1, b = 2}, {b = 3}, null)", "{\"a\": 1, \"b\": 3}"),
        ("merge(map, tomap({z = 5}))", "map{\"x\": 1, \"y\": 2, \"z\": 5}"),
        ("merge()", "{}"),
        ("zipmap([\"a\", \"b\"], [1, \"x\"])", "{\"a\": 1, \"b\": \"x\"}"),
        ("zipmap([\"a\"], list)", "error: `zipmap`: there are 1 keys, but 2 values"),
        ("zipmap(list, list)", "map{\"a\": \"a\", \"b\": \"b\"}"),
    ]);
}

#[test]
fn conversions() {
    check(&[
        ("toset([\"b\", \"a\", \"b\"])", "{\"a\", \"b\"}"),
        ("toset([1, \"a\"])", "{\"1\", \"a\"}"),
        ("tolist(set)", "[\"a\", \"b\"]"),
        ("tolist([1, \"a\"])", "[\"1\", \"a\"]"),
        ("tolist([1, []])", "error: the argument `value` of `tolist`: all elements must have one type, but these have different ones"),
        ("tomap({a = 1, b = \"x\"})", "map{\"a\": \"1\", \"b\": \"x\"}"),
        ("tostring(1.50)", "\"1.5\""),
        ("tostring(null)", "null"),
        ("tostring([])", "error: the argument `value` of `tostring`: a string is required, but this is a tuple"),
        ("tonumber(\"1e3\")", "1000"),
        ("tonumber(\"1e999\")", "error: the argument `value` of `tonumber`: a number is required, but this is the string \"1e999\""),
        ("tobool(\"true\")", "true"),
        ("tobool(\"yes\")", "error: the argument `value` of `tobool`: a bool is required, but this is a string"),
        ("toset([secret])", "(sensitive)"),
        ("sensitive(1)", "(sensitive)"),
        ("nonsensitive(secret)", "\"pw\""),
    ]);
}

#[test]
fn alternatives() {
    check(&[
        ("try(object.nope, 5)", "5"),
        ("try(1 / 0, nope, \"x\")", "\"x\""),
        ("try(1 / 0)", "error: every alternative of `try` fails"),
        ("can(object.name)", "true"),
        ("can(object.nope)", "false"),
        ("can(1 / 0)", "false"),
        ("coalesce(null, \"\", \"a\", \"b\")", "\"a\""),
        ("coalesce(1, \"a\")", "\"1\""),
        ("coalesce(null, \"\")", "error: `coalesce`: every value is null or an empty string"),
        ("coalesce([], 1)", "error: `coalesce`: the values must have one type, but these have different ones"),
    ]);
}

#[test]
fn encodings() {
    check(&[
        (
            "jsonencode({b = [1, 2.5, null, true], a = \"<&>\\\"\\n\"})",
            r#""{\"a\":\"\\u003c\\u0026\\u003e\\\"\\n\",\"b\":[1,2.5,null,true]}""#,
        ),
        ("jsonencode(12345678901234567890.123456789)", "\"12345678901234567890.123456789\""),
        (
            "jsondecode(\"{\\\"a\\\": [1, 2.50, 123456789012345678901234567890]}\")",
            "{\"a\": tuple[1, 2.5, 123456789012345678901234567890]}",
        ),
        ("jsondecode(\"{\")", "error: the argument `json` of `jsondecode`: not JSON: EOF while parsing an object at line 1 column 1"),
        (
            "yamldecode(\"a: [1, x, true, null, 0.1]\\nb:\\n  - c: 1\\n\")",
            "{\"a\": tuple[1, \"x\", true, null, 0.1], \"b\": tuple[{\"c\": 1}]}",
        ),
        ("yamldecode(\"x: &x {a: 1, b: 2}\\ny:\\n  <<: *x\\n  b: 3\\n\").y", "{\"a\": 1, \"b\": 3}"),
        (
            "yamldecode(\"a: !foo 1\")",
            "error: the argument `yaml` of `yamldecode`: not YAML: a: tags such as `!name` are not supported at line 1 column 4",
        ),
        ("yamldecode(\"[1e30, -2.5e-3, 3.0]\")", "tuple[1000000000000000000000000000000, -0.0025, 3]"),
        ("base64encode(\"Hello World\")", "\"SGVsbG8gV29ybGQ=\""),
        ("sha256(\"hello world\")", "\"b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9\""),
        ("jsonencode({p = secret})", "(sensitive)"),
    ]);
}

#[test]
fn networks() {
    check(&[
        ("cidrsubnet(\"172.16.0.0/12\", 4, 2)", "\"172.18.0.0/16\""),
        ("cidrsubnet(\"10.1.2.0/24\", 4, 15)", "\"10.1.2.240/28\""),
        ("cidrsubnet(\"fd00:fd12:3456:7890::/56\", 16, 162)", "\"fd00:fd12:3456:7800:a200::/72\""),
        ("cidrsubnet(\"10.0.0.0/8\", 0, 0)", "\"10.0.0.0/8\""),
        ("cidrsubnet(\"::/0\", 128, 5)", "\"::5/128\""),
        (
            "cidrsubnet(\"10.0.0.0/24\", 9, 0)",
            "error: the argument `newbits` of `cidrsubnet`: a prefix of 24 bits has no room for 9 more: an address has 32",
        ),
        (
            "cidrsubnet(\"10.0.0.0/24\", 2, 4)",
            "error: the argument `netnum` of `cidrsubnet`: 2 bits tell 4 subnets apart, and 4 is none of them",
        ),
        ("cidrsubnet(\"10.0.0.0/24\", -1, 0)", "error: the argument `newbits` of `cidrsubnet`: it must be from 0 to 128"),
        (
            "cidrsubnet(\"10.0.0.0\", 1, 0)",
            "error: the argument `prefix` of `cidrsubnet`: \"10.0.0.0\" is no range of addresses: the length is missing, as in 10.0.0.0/16",
        ),
        ("cidrhost(\"10.12.112.0/20\", 16)", "\"10.12.112.16\""),
        ("cidrhost(\"10.12.112.0/20\", 268)", "\"10.12.113.12\""),
        ("cidrhost(\"10.0.0.0/24\", -2)", "\"10.0.0.254\""),
        ("cidrhost(\"10.0.0.0/24\", -256)", "\"10.0.0.0\""),
        (
            "cidrhost(\"10.0.0.0/24\", -257)",
            "error: the argument `hostnum` of `cidrhost`: the network has 8 bits for hosts, which is not enough for host -257",
        ),
        ("cidrhost(\"fd00:fd12:3456:7890:00a2::/72\", 34)", "\"fd00:fd12:3456:7890::22\""),
        ("cidrhost(\"::/0\", -1)", "\"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff\""),
        (
            "cidrhost(\"10.0.0.0/24\", 256)",
            "error: the argument `hostnum` of `cidrhost`: the network has 8 bits for hosts, which is not enough for host 256",
        ),
        ("cidrhost(\"10.0.0.0/24\", 1.5)", "error: the argument `hostnum` of `cidrhost`: a whole number is required"),
    ]);
}

#[test]
fn marks_of_parts_stay_where_they_are() {
    check(&[
        ("length(secrets)", "(sensitive)"),
        ("length([secret])", "1"),
        ("concat([secret], [1])", "tuple[(sensitive), 1]"),
        ("values({a = secret, b = 1})", "tuple[(sensitive), 1]"),
        ("merge({a = secret}, {b = 1})", "{\"a\": (sensitive), \"b\": 1}"),
        ("merge(secrets == null ? {} : {a = 1}, {b = 1})", "(sensitive)"),
        ("join(\",\", [secret])", "(sensitive)"),
        ("contains([secret], \"x\")", "(sensitive)"),
        ("upper(secret)", "(sensitive)"),
        ("format(\"%s%s\", secrets...)", "(sensitive)"),
    ]);
}

#[test]
fn wrong_calls_are_told() {
    check(&[
        ("uper(\"a\")", "error: there is no function `uper`"),
        ("upper()", "error: `upper` takes 1 argument, but is called with 0"),
        ("lookup(map)", "error: `lookup` takes 2 to 3 arguments, but is called with 1"),
        ("upper([])", "error: the argument `string` of `upper`: a string is required, but this is a tuple"),
        ("upper(\"a\"...)", "error: a list must stand before `...`, but this is a string"),
        ("file(\"x\")", "error: files cannot be read here"),
    ]);
    let errors = eval("uper(\"a\")").unwrap_err();
    assert_eq!(errors.iter().next().unwrap().help.as_deref(), Some("did you mean `upper`?"));
}

/// What is small to write and large to work out ends at a limit, and soon.
#[test]
fn what_is_too_much_is_refused() {
    let steps = ["error: the evaluation takes more than 10000000 steps"; 5].join("\n");
    let long = "join(\"\", [for i in range(10000) : \"0123456789\"])";
    check(&[
        (&format!("formatlist(\"${{{long}}}%d\", range(100000))"), "error: `formatlist`: the texts would have more than 16777216 bytes"),
        (
            &format!("regexall(\"{}a\", join(\"\", [for i in range(20000) : \"a\"]))", "()".repeat(1000)),
            "error: the argument `string` of `regexall`: the matches have more than 1000000 groups or 16777216 bytes",
        ),
        (&format!("length([for i in range(100000) : length({long})])"), &steps),
        ("length(setintersection(range(20000), range(10000, 30000)))", "10000"),
        ("length(matchkeys(range(20000), range(20000), range(20000)))", "20000"),
        ("setproduct(range(1000), range(1001))", "error: `setproduct`: the result has more than 1000000 elements"),
    ]);
}

#[test]
fn what_is_written_as_yaml_can_be_read() {
    for text in [
        "{a = {b = \"x\\ny\"}}",
        "{c = [{d = \"p\\nq\\n\"}]}",
        "[[\"a\\nb\"], {e = [\" lead\\nx\", {f = \"\\n\"}]}]",
        "{\"multi\\nkey\" = {g = \"t\\n\\n\"}}",
    ] {
        assert_eq!(show(&eval(&format!("yamldecode(yamlencode({text}))"))), show(&eval(text)), "{text}");
    }
}

#[test]
fn secrets_stay_secret() {
    check(&[
        ("templatestring(\"$${${secret}}\", {})", "error: `templatestring`: the template is wrong; it is sensitive and not shown"),
        ("issensitive(reverse([secret])[0])", "true"),
        (
            "issensitive(one(secrets[*]))",
            "error: the argument `list` of `one`: it fails for these values, which are sensitive and not shown",
        ),
    ]);
}

/// The list is that of Terraform 1.11; a function that is lost is noticed here.
#[test]
fn the_table_is_complete_and_described() {
    let names: Vec<&str> = cloudtik_lang::function_names().collect();
    let wanted = "abs abspath alltrue anytrue base64decode base64encode base64gzip base64sha256 base64sha512 basename bcrypt can ceil chomp \
         chunklist cidrhost cidrnetmask cidrsubnet cidrsubnets coalesce coalescelist compact concat contains csvdecode dirname \
         distinct element endswith ephemeralasnull file filebase64 filebase64sha256 filebase64sha512 fileexists filemd5 fileset filesha1 \
         filesha256 filesha512 flatten floor format formatdate formatlist indent index issensitive join jsondecode jsonencode \
         keys length log lookup lower matchkeys max md5 merge min nonsensitive one parseint pathexpand plantimestamp pow range regex regexall \
         replace reverse rsadecrypt sensitive setintersection setproduct setsubtract setunion sha1 sha256 sha512 signum slice sort split \
         startswith strcontains strrev substr sum templatefile templatestring textdecodebase64 textencodebase64 timeadd timecmp \
         timestamp title tobool tolist tomap tonumber toset tostring transpose trim trimprefix trimspace trimsuffix try upper urlencode \
         uuid uuidv5 values yamldecode yamlencode zipmap";
    assert_eq!(names, wanted.split_whitespace().collect::<Vec<_>>());
    for function in cloudtik_lang::functions() {
        assert!(function.doc.ends_with('.'), "{}", function.name);
        assert!(function.signature.starts_with(function.name));
        let called = show(&eval(&format!("{}({})", function.name, "null, ".repeat(9))));
        assert!(called.starts_with("error: ") || called == "null" || called == "{}", "{}: {called}", function.name);
    }
}
