//! The projects that `init` writes.

/// A file of a starter: its path below the project and its text.
pub type StarterFile = (&'static str, &'static str);

/// The examples, by name, with their files.
const EXAMPLES: [(&str, &[StarterFile]); 8] = [
    ("aws-cloudformation", &[("main.hcl", include_str!("../examples/aws-cloudformation/main.hcl"))]),
    ("aws-peered", &[("main.hcl", include_str!("../examples/aws-peered/main.hcl"))]),
    ("aws-public-head", &[("main.hcl", include_str!("../examples/aws-public-head/main.hcl"))]),
    ("aws-shared", &[("main.hcl", include_str!("../examples/aws-shared/main.hcl"))]),
    (
        "ci",
        &[
            ("main.hcl", include_str!("../examples/ci/main.hcl")),
            (".github/workflows/plan.yml", include_str!("../examples/ci/.github/workflows/plan.yml")),
        ],
    ),
    ("first", &[("main.hcl", include_str!("../examples/first/main.hcl"))]),
    ("quickstart", &[("main.hcl", include_str!("../examples/quickstart/main.hcl"))]),
    (
        "tour",
        &[
            ("cluster.hcl", include_str!("../examples/tour/cluster.hcl")),
            ("modules.hcl", include_str!("../examples/tour/modules.hcl")),
            ("modules/tokens/main.hcl", include_str!("../examples/tour/modules/tokens/main.hcl")),
            ("outputs.hcl", include_str!("../examples/tour/outputs.hcl")),
            ("resources.hcl", include_str!("../examples/tour/resources.hcl")),
            ("rules.hcl", include_str!("../examples/tour/rules.hcl")),
            ("settings.hcl", include_str!("../examples/tour/settings.hcl")),
            ("templates.hcl", include_str!("../examples/tour/templates.hcl")),
            ("tour.auto.vars.hcl", include_str!("../examples/tour/tour.auto.vars.hcl")),
            ("variables.hcl", include_str!("../examples/tour/variables.hcl")),
            ("workspace.hcl", include_str!("../examples/tour/workspace.hcl")),
        ],
    ),
];

/// The files of an example; of the first one without a name.
#[must_use]
pub fn starter(example: Option<&str>) -> Option<Vec<StarterFile>> {
    let name = example.unwrap_or("first");
    EXAMPLES.iter().find(|(known, _)| *known == name).map(|(_, files)| files.to_vec())
}

/// The names of the examples.
#[must_use]
pub fn examples() -> Vec<&'static str> {
    EXAMPLES.iter().map(|(name, _)| *name).collect()
}
