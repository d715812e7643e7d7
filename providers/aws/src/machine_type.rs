//! The type of machine of a node that says what it must have instead of a type: the cheapest one that fits.
//!
//! AWS tells what types there are and not, by the same call, what they cost. What is known here of prices is a table with a date; of families that
//! it does not have the smallest machine is taken, after all of those that it has.

use std::cmp::Ordering;

use cloudtik_model::spec::{Field, NodeSpec};
use cloudtik_model::{Diagnostic, Diagnostics, Number, Value};

use crate::image::Image;

/// What a node may ask for.
pub(crate) const ASKED: [&str; 4] = ["cpus", "memory_gib", "gpus", "gpu_type"];

/// The price of a processor of families of machines, in millionths of a dollar an hour: on demand, with Linux, in us-east-1, as AWS published it in
/// the middle of 2025. All machines of such a family cost by their processors alone. Other regions are dearer, in nearly the same order.
const PRICES: [(&str, u64); 35] = [
    ("c5", 42_500),
    ("c5a", 38_500),
    ("c6a", 38_250),
    ("c6g", 34_000),
    ("c6i", 42_500),
    ("c7a", 51_320),
    ("c7g", 36_250),
    ("c7i", 44_625),
    ("c7i-flex", 42_395),
    ("c8g", 39_880),
    ("m5", 48_000),
    ("m5a", 43_000),
    ("m5d", 56_500),
    ("m6a", 43_200),
    ("m6g", 38_500),
    ("m6gd", 45_200),
    ("m6i", 48_000),
    ("m7a", 57_960),
    ("m7g", 40_800),
    ("m7i", 50_400),
    ("m7i-flex", 47_880),
    ("m8g", 44_880),
    ("r5", 63_000),
    ("r5a", 56_500),
    ("r5d", 72_000),
    ("r6a", 56_700),
    ("r6g", 50_400),
    ("r6gd", 57_600),
    ("r6i", 63_000),
    ("r7a", 76_075),
    ("r7g", 53_550),
    ("r7i", 66_150),
    ("r8g", 58_910),
    ("x2gd", 83_500),
    ("z1d", 93_000),
];

/// A type of machine, as AWS describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offered {
    /// Its name: `m5.large`.
    pub name: String,
    /// Processors, as its system counts them.
    pub cpus: u64,
    /// MiB.
    pub memory_mib: u64,
    /// Names of its GPUs, each as often as it has it.
    pub gpus: Vec<String>,
    /// MiB that all GPUs have together.
    pub gpu_memory_mib: u64,
    /// Whether it has devices of other sorts that compute.
    pub has_others: bool,
    /// Whether it is slow when it was busy for long, or a whole machine without a hypervisor.
    pub is_special: bool,
}

/// What a machine must have.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wanted {
    /// Processors at least.
    pub cpus: Option<Number>,
    /// Memory at least, in GiB.
    pub memory_gib: Option<Number>,
    /// GPUs at least.
    pub gpus: Option<Number>,
    /// The name that AWS has for them.
    pub gpu_type: Option<String>,
}

impl Wanted {
    /// As the arguments of a question say it.
    #[must_use]
    pub fn of_arguments(arguments: &Value) -> Self {
        let number = |name: &str| arguments.get(name).and_then(Value::as_number).cloned();
        Self {
            cpus: number("cpus"),
            memory_gib: number("memory_gib"),
            gpus: number("gpus"),
            gpu_type: arguments.get("gpu_type").and_then(Value::as_str).map(str::to_owned),
        }
    }

    /// Of a node; `None`: it names a type, or takes the usual one.
    pub(crate) fn of(node: &NodeSpec) -> Option<Self> {
        let value = |name: &str| Some((name.to_owned(), node.fields.get(name)?.value.clone()));
        let wanted = Self::of_arguments(&Value::object(ASKED.iter().filter_map(|name| value(name))));
        (wanted != Self::default()).then_some(wanted)
    }

    /// The cheapest type that has it.
    #[must_use]
    pub fn cheapest<'a>(&self, offered: &'a [Offered]) -> Option<&'a Offered> {
        offered.iter().filter(|one| self.is_met(one)).min_by(|one, other| cheaper(one, other))
    }

    fn is_met(&self, one: &Offered) -> bool {
        let has = |asked: Option<&Number>, has: u64| asked.is_none_or(|asked| *asked <= Number::from(has));
        let memory = self.memory_gib.as_ref().and_then(|gib| gib.multiply(&Number::from(1024_u64)).ok());
        let is_meant = |gpu: &&String| self.gpu_type.as_ref().is_none_or(|name| name.eq_ignore_ascii_case(gpu));
        let gpus = one.gpus.iter().filter(is_meant).count() as u64;
        let fits_gpus = if self.wants_gpus() { gpus > 0 && has(self.gpus.as_ref(), gpus) } else { one.gpus.is_empty() };
        !one.is_special && !one.has_others && fits_gpus && has(self.cpus.as_ref(), one.cpus) && has(memory.as_ref(), one.memory_mib)
    }

    const fn wants_gpus(&self) -> bool {
        self.gpus.is_some() || self.gpu_type.is_some()
    }

    /// The arguments of the question. Whether the image is for another sort of processor must be known, or looked at.
    pub(crate) fn arguments(&self, image: &Image) -> Value {
        let text = |text: &Option<String>| text.clone().map_or(Value::NULL, Value::from);
        let number = |number: &Option<Number>| number.clone().map_or(Value::NULL, Value::from);
        let (architecture, image) = match image.architecture() {
            Some(architecture) => (architecture.into(), Value::NULL),
            None => (Value::NULL, image.arguments()),
        };
        Value::object([
            ("cpus", number(&self.cpus)),
            ("memory_gib", number(&self.memory_gib)),
            ("gpus", number(&self.gpus)),
            ("gpu_type", text(&self.gpu_type)),
            ("architecture", architecture),
            ("image", image),
        ])
    }

    /// What tells the answer from that of another question about the same node.
    pub(crate) fn key(&self, image: &Image) -> String {
        let number = |number: &Option<Number>| number.as_ref().map(ToString::to_string).unwrap_or_default();
        let asked = [number(&self.cpus), number(&self.memory_gib), number(&self.gpus), self.gpu_type.clone().unwrap_or_default()];
        let image = image.architecture().map(str::to_owned).or_else(|| image.key()).unwrap_or_default();
        format!("{}/{image}", asked.join("/"))
    }
}

/// By price where it is known, else by what there is of it; at last by name.
fn cheaper(one: &Offered, other: &Offered) -> Ordering {
    let family = |of: &Offered| of.name.split('.').next().unwrap_or_default().to_owned();
    let price = |of: &Offered| PRICES.iter().find(|(name, _)| *name == family(of)).map(|(_, price)| price * of.cpus);
    let size = |of: &Offered| (of.gpus.len(), of.gpu_memory_mib, of.cpus, of.memory_mib, of.name.clone());
    match (price(one), price(other)) {
        (Some(left), Some(right)) => left.cmp(&right).then_with(|| size(one).cmp(&size(other))),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => size(one).cmp(&size(other)),
    }
}

/// What of a node's wishes cannot be followed.
pub(crate) fn check(node: &NodeSpec, found: &mut Diagnostics) {
    let written: Vec<(&str, &Field)> =
        ASKED.iter().filter_map(|name| Some((*name, node.fields.get(*name).filter(|field| !field.value.is_null())?))).collect();
    let named = ["instance_type", "instance_types"].into_iter();
    let named = named.filter_map(|name| Some((name, node.fields.get(name).filter(|field| !field.value.is_null())?))).next();
    if let (Some((name, field)), Some((one, other))) = (written.first(), named) {
        let title = format!("`{name}` has a type of machine chosen, and `{one}` names one");
        let diagnostic = Diagnostic::error("aws-machine", title).at(field.span).and_at(other.span, "the other one");
        found.push(diagnostic.of(&node.address).help("take one of them out"));
    }
    for (name, field) in written.iter().filter(|(_, field)| field.value.is_deferred()) {
        let title = format!("`{name}` of `{}` must be known before anything is made: a type of machine is chosen by it", node.address);
        found.push(Diagnostic::error("aws-machine", title).at(field.span).of(&node.address).help("write a number or a variable"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered() -> Vec<Offered> {
        let one = |name: &str, cpus: u64, gib: u64| Offered { name: name.to_owned(), cpus, memory_mib: gib * 1024, ..Offered::default() };
        let gpu = |name: &str, cpus, gib, gpu: &str, count: usize| {
            let gpus = vec![gpu.to_owned(); count];
            Offered { gpu_memory_mib: 16_384 * gpus.len() as u64, gpus, ..one(name, cpus, gib) }
        };
        vec![
            one("m5.xlarge", 4, 16),
            one("m5.2xlarge", 8, 32),
            one("m5a.xlarge", 4, 16),
            one("c5a.xlarge", 4, 8),
            one("c5a.4xlarge", 16, 32),
            one("r5a.xlarge", 4, 32),
            one("x9.large", 2, 1_024),
            one("x9.medium", 1, 1_024),
            Offered { is_special: true, ..one("t3.xlarge", 4, 16) },
            gpu("g4dn.xlarge", 4, 16, "T4", 1),
            gpu("g4dn.12xlarge", 48, 192, "T4", 4),
            gpu("g5.xlarge", 4, 16, "A10G", 1),
        ]
    }

    #[test]
    fn the_cheapest_that_fits_is_chosen() {
        let all = offered();
        let number = |number: u64| (number > 0).then(|| Number::from(number));
        let chosen = |cpus: u64, memory: u64, gpus: u64, gpu: Option<&str>| {
            let (cpus, memory_gib, gpus) = (number(cpus), number(memory), number(gpus));
            let wanted = Wanted { cpus, memory_gib, gpus, gpu_type: gpu.map(str::to_owned) };
            wanted.cheapest(&all).map(|one| one.name.as_str())
        };
        assert_eq!(chosen(4, 16, 0, None), Some("m5a.xlarge"));
        assert_eq!(chosen(4, 0, 0, None), Some("c5a.xlarge"));
        assert_eq!(chosen(0, 32, 0, None), Some("r5a.xlarge"), "memory is cheapest where there is most of it");
        assert_eq!(chosen(5, 0, 0, None), Some("m5.2xlarge"));
        assert_eq!(chosen(0, 512, 0, None), Some("x9.medium"), "of what nobody knows the price of, the smallest");
        assert_eq!(chosen(4, 16, 1, None), Some("g4dn.xlarge"));
        assert_eq!(chosen(0, 0, 2, None), Some("g4dn.12xlarge"));
        assert_eq!(chosen(0, 0, 0, Some("a10g")), Some("g5.xlarge"));
        assert_eq!(chosen(0, 0, 8, None), None);
    }

    #[test]
    fn parts_of_a_gib_count() {
        let all = offered();
        let half = |text: &str| Wanted { memory_gib: text.parse().ok(), ..Wanted::default() };
        assert_eq!(half("7.5").cheapest(&all).map(|one| one.name.as_str()), Some("c5a.xlarge"));
        assert_eq!(half("8.5").cheapest(&all).map(|one| one.name.as_str()), Some("m5a.xlarge"));
    }

    #[test]
    fn prices_are_in_order_and_said_once() {
        assert!(PRICES.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }
}
