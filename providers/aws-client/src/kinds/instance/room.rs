//! What AWS has no room for, remembered for a while: who tries many forms for many machines does not ask for each of them again.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cloudtik_provider_api::{CallError, ErrorClass};
use tokio::time::Instant;

use crate::attributes::Given;

/// The market of machines that AWS may take back.
pub(crate) const SPOT: &str = "spot";
/// The market of those that it may not.
pub(crate) const ON_DEMAND: &str = "on-demand";

/// How long it is remembered that there was no room. Room comes and goes within minutes; whoever waits for it tries once a minute.
const REMEMBERED_FOR: Duration = Duration::from_secs(180);

/// There is none of a type in a place at a price.
const OF_THE_FORM: &[&str] = &[
    "InsufficientCapacity",
    "InsufficientHostCapacity",
    "InsufficientInstanceCapacity",
    "InsufficientReservedInstanceCapacity",
    "SpotMaxPriceTooLow",
    "Unsupported",
];
/// The account may have no more of a type at a price, wherever it is.
const OF_THE_ACCOUNT: &[&str] = &["InstanceLimitExceeded", "MaxSpotInstanceCountExceeded", "VcpuLimitExceeded"];
/// A place is full, whatever is put there.
const OF_THE_PLACE: &[&str] = &["InsufficientFreeAddressesInSubnet"];

/// What a machine may be; `None` is any.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Form {
    instance_type: Option<String>,
    subnet: Option<String>,
    /// With the price that is offered there.
    market: Option<String>,
}

impl Form {
    /// What a launch asks for.
    pub(super) fn of(given: Given<'_>) -> Self {
        let options = given.block("instance_market_options");
        let spot = options.is_some() || given.maybe_text("market") == Some(SPOT);
        let price = options.map_or_else(|| given.number("max_price"), |options| options.owned("max_price"));
        let market = if spot { format!("{SPOT} {}", price.unwrap_or_default()) } else { ON_DEMAND.to_owned() };
        Self { instance_type: given.owned("instance_type"), subnet: given.owned("subnet_id"), market: Some(market) }
    }

    /// As far as an error says something of it.
    fn meant_by(&self, code: &str) -> Option<Self> {
        let meant = self.clone();
        match code {
            code if OF_THE_FORM.contains(&code) => Some(meant),
            code if OF_THE_ACCOUNT.contains(&code) => Some(Self { subnet: None, ..meant }),
            code if OF_THE_PLACE.contains(&code) => Some(Self { instance_type: None, market: None, ..meant }),
            _ => None,
        }
    }

    fn fits(&self, other: &Self) -> bool {
        let fits = |one: &Option<String>, other: &Option<String>| one.is_none() || one == other;
        fits(&self.instance_type, &other.instance_type) && fits(&self.subnet, &other.subnet) && fits(&self.market, &other.market)
    }
}

/// What there is no room for, until when, and what AWS said.
#[derive(Default)]
pub(crate) struct Rooms(Mutex<BTreeMap<Form, (Instant, CallError)>>);

impl Rooms {
    /// What AWS said of a form a while ago, when that was that it has no room for it.
    pub(super) fn refusal(&self, now: Instant, form: &Form) -> Option<CallError> {
        let mut known = self.known();
        known.retain(|_, (until, _)| *until > now);
        let (_, error) = known.iter().find(|(known, _)| known.fits(form)).map(|(_, told)| told)?;
        Some(error.clone())
    }

    /// The error of a launch of so many machines; one that says that there is no room is remembered. Where an account or a place is too full for
    /// several machines it may have room for fewer.
    pub(super) fn told(&self, now: Instant, form: &Form, error: CallError, machines: usize) -> CallError {
        let Some(meant) = form.meant_by(&error.code) else { return error };
        let is_of_the_form = OF_THE_FORM.contains(&error.code.as_str());
        let error = CallError { class: ErrorClass::NoRoom, ..error };
        if machines > 1 && !is_of_the_form {
            return error;
        }
        self.known().insert(meant, (now + REMEMBERED_FOR, error.clone()));
        error
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<Form, (Instant, CallError)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use cloudtik_model::Value;

    use super::*;

    fn form(instance_type: &str, subnet: &str, market: &str) -> Form {
        let given = [("instance_type", instance_type), ("subnet_id", subnet), ("market", market)];
        Form::of(Given(&Value::object(given.map(|(name, text)| (name, Value::from(text))))))
    }

    fn refused(now: Instant, code: &str) -> (Rooms, CallError) {
        let rooms = Rooms::default();
        let error = CallError::new(ErrorClass::Permanent, code, "text");
        let told = rooms.told(now, &form("m5.large", "subnet-1", SPOT), error, 1);
        (rooms, told)
    }

    #[test]
    fn an_error_is_remembered_of_what_it_is_about() {
        let now = Instant::now();
        let is_full = |rooms: &Rooms, of: [&str; 3]| rooms.refusal(now, &form(of[0], of[1], of[2])).is_some();
        let (rooms, told) = refused(now, "InsufficientInstanceCapacity");
        assert_eq!(told.class, ErrorClass::NoRoom);
        assert!(is_full(&rooms, ["m5.large", "subnet-1", SPOT]));
        for other in [["m5a.large", "subnet-1", SPOT], ["m5.large", "subnet-2", SPOT], ["m5.large", "subnet-1", ON_DEMAND]] {
            assert!(!is_full(&rooms, other), "{other:?}");
        }
        let (rooms, _) = refused(now, "VcpuLimitExceeded");
        assert!(is_full(&rooms, ["m5.large", "subnet-2", SPOT]) && !is_full(&rooms, ["m5.large", "subnet-2", ON_DEMAND]));
        let (rooms, _) = refused(now, "InsufficientFreeAddressesInSubnet");
        assert!(is_full(&rooms, ["m5a.large", "subnet-1", ON_DEMAND]) && !is_full(&rooms, ["m5.large", "subnet-2", SPOT]));
        let (rooms, told) = refused(now, "UnauthorizedOperation");
        assert!(told.class == ErrorClass::Permanent && !is_full(&rooms, ["m5.large", "subnet-1", SPOT]));
    }

    #[test]
    fn where_several_are_too_many_one_may_have_room() {
        let now = Instant::now();
        let of = form("m5.large", "subnet-1", SPOT);
        for (code, is_known) in
            [("InsufficientInstanceCapacity", true), ("VcpuLimitExceeded", false), ("InsufficientFreeAddressesInSubnet", false)]
        {
            let rooms = Rooms::default();
            let told = rooms.told(now, &of, CallError::new(ErrorClass::Permanent, code, "text"), 20);
            assert_eq!((told.class, rooms.refusal(now, &of).is_some()), (ErrorClass::NoRoom, is_known), "{code}");
        }
    }

    #[test]
    fn after_a_while_it_is_forgotten() {
        let now = Instant::now();
        let (rooms, _) = refused(now, "InsufficientInstanceCapacity");
        let of = form("m5.large", "subnet-1", SPOT);
        assert!(rooms.refusal(now + REMEMBERED_FOR - Duration::from_secs(1), &of).is_some());
        assert!(rooms.refusal(now + REMEMBERED_FOR, &of).is_none());
    }

    #[test]
    fn another_price_is_another_form() {
        let at = |price: u64| {
            let given = [("instance_type", Value::from("m5.large")), ("market", SPOT.into()), ("max_price", price.into())];
            Form::of(Given(&Value::object(given)))
        };
        assert!(at(1).fits(&at(1)) && !at(1).fits(&at(2)));
    }
}
