//! What the proxy remembers, and how a request goes through it.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::answer::{Answer, Refusal};
use crate::call::{Call, Protocol};
use crate::config::{Config, Effect};
use crate::dependencies::{self, World};
use crate::faults::Faults;
use crate::groups::Groups;
use crate::lag::Births;
use crate::listing::Page;
use crate::lives::{Lives, state_filters};
use crate::record::Requests;
use crate::throttle::Throttle;
use crate::tokens::{Meaning, Tokens};
use crate::xml::Element;
use crate::{gaps, latency, quotas, template, upstream};

/// How often somebody who waits looks whether its client is still there.
const LOOK: Duration = Duration::from_millis(20);

/// Everything that is remembered.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) config: Config,
    pub(crate) requests: Requests,
    pub(crate) faults: Faults,
    pub(crate) hold: Hold,
    lives: Lives,
    births: Births,
    tokens: Tokens,
    throttle: Throttle,
    groups: Groups,
}

/// Where everything stops.
#[derive(Debug, Default)]
pub(crate) struct Hold {
    /// After so many more calls that changed something.
    pub(crate) after: Option<u64>,
    /// The number of the request at which it stopped.
    pub(crate) at: Option<u64>,
}

/// Whether everything stands still, and where.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Whether it does.
    pub held: bool,
    /// The number of the request whose answer waits.
    pub number: Option<u64>,
    /// Its action.
    pub action: Option<String>,
}

/// The proxy, as its connections share it.
pub(crate) struct Shared {
    server: SocketAddr,
    began: Instant,
    state: Mutex<State>,
    frozen: watch::Sender<bool>,
}

/// A connection ends without an answer.
#[derive(Debug)]
pub(crate) struct Lost;

/// Whether the client of a request is still there.
#[derive(Clone, Default)]
pub(crate) struct Client(Arc<AtomicBool>);

impl Client {
    fn is_gone(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Says that the client is gone when it is dropped.
pub(crate) struct Presence(pub(crate) Client);

impl Drop for Presence {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    pub(crate) fn new(server: SocketAddr, config: Config) -> Self {
        let state = State { config, ..State::default() };
        Self { server, began: Instant::now(), state: Mutex::new(state), frozen: watch::Sender::new(false) }
    }

    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        // Nothing is left half done by a panic: what is remembered is still good.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets everything go on.
    pub(crate) fn release(&self) {
        self.state().hold = Hold::default();
        self.frozen.send_replace(false);
    }

    pub(crate) fn held(&self) -> Held {
        let mut state = self.state();
        let number = state.hold.at;
        let action = number.and_then(|number| state.requests.get_mut(number)).map(|request| request.action.clone());
        Held { held: number.is_some(), number, action }
    }

    async fn while_frozen(&self, client: &Client) -> Result<(), Lost> {
        let mut frozen = self.frozen.subscribe();
        while *frozen.borrow_and_update() {
            // Its client may be gone for good; then it must not go on either.
            if client.is_gone() {
                return Err(Lost);
            }
            let _ = tokio::time::timeout(LOOK, frozen.changed()).await;
        }
        if client.is_gone() { Err(Lost) } else { Ok(()) }
    }

    /// What becomes of a request.
    pub(crate) async fn answer(self: Arc<Self>, call: Call, client: Client) -> Result<Answer, Lost> {
        let (began, number) = {
            let now = self.now();
            (now, self.state().requests.begin(now, &call))
        };
        let outcome = self.through(&call, number, &client).await;
        let mut state = self.state();
        if let Some(request) = state.requests.get_mut(number) {
            request.duration_ms = self.now().saturating_sub(began);
            request.lost = outcome.is_err();
        }
        outcome
    }

    async fn through(&self, call: &Call, number: u64, client: &Client) -> Result<Answer, Lost> {
        self.while_frozen(client).await?;
        let (fault, takes) = {
            let state = &mut *self.state();
            (state.faults.of(&state.config, call), latency::of(&state.config, call, number))
        };
        // Half of the time passes on the way in, half on the way out.
        tokio::time::sleep(takes / 2).await;
        self.while_frozen(client).await?;
        if fault == Some(Effect::LoseRequest) {
            return Err(Lost);
        }
        let room = if let Some(Effect::RoomFor { machines }) = fault { Some(machines) } else { None };
        let answer = match refused_by(fault.as_ref()) {
            Some(refusal) => refusal.answer(call),
            None => self.made(call, number, room).await,
        };
        self.note_answer(number, &answer);
        tokio::time::sleep(takes / 2).await;
        self.while_frozen(client).await?;
        match fault {
            Some(Effect::LoseAnswer) => Err(Lost),
            Some(Effect::InternalErrorAfter) => Ok(internal_error().answer(call)),
            _ => Ok(answer),
        }
    }

    fn note_answer(&self, number: u64, answer: &Answer) {
        if let Some(request) = self.state().requests.get_mut(number) {
            request.status = answer.status;
            request.error = answer.code();
        }
    }

    /// Makes the call: here, or at the server.
    async fn made(&self, call: &Call, number: u64, room: Option<u64>) -> Answer {
        let turn = {
            let state = &mut *self.state();
            if state.config.tokens { state.tokens.turn(call) } else { None }
        };
        let _in_turn = match &turn {
            Some(turn) => Some(turn.lock().await),
            None => None,
        };
        match self.refused_or_known(call).await {
            Ok(Some(Refused::With(refusal))) => return refusal.answer(call),
            Ok(Some(Refused::Known(answer))) => return self.shown(call, answer),
            Ok(None) => {}
            Err(error) => return no_server(&error).answer(call),
        }
        let here = if self.state().config.gaps { self.state().groups.answer(call) } else { None };
        let answer = match here {
            Some(Ok(answer)) => answer,
            Some(Err(refusal)) => refusal.answer(call),
            None => match self.sent(call, room).await {
                Ok(answer) => answer,
                Err(error) => return no_server(&error).answer(call),
            },
        };
        self.remember(call, number, &answer);
        self.shown(call, answer)
    }

    /// Whether a call is refused before anything is done, or was made before.
    async fn refused_or_known(&self, call: &Call) -> io::Result<Option<Refused>> {
        let world = Seen { shared: self, call };
        if self.state().config.gaps && call.name() == "rds:DescribeAccountAttributes" {
            let there = world.databases().await?.len();
            return Ok(Some(Refused::Known(quotas::of_databases(&self.state().config.quotas, there))));
        }
        {
            let now = self.now();
            let state = &mut *self.state();
            if let Err(refusal) = state.throttle.take(&state.config, now, call) {
                return Ok(Some(Refused::With(refusal)));
            }
            if let Some(refusal) = state.births.refusal(&state.config, now, call) {
                return Ok(Some(Refused::With(refusal)));
            }
            if state.config.gaps
                && let Some(answer) = gaps::answered(call).or_else(|| quotas::answered(&state.config.quotas, call))
            {
                return Ok(Some(Refused::Known(answer)));
            }
            if state.config.gaps
                && let Some(refusal) = gaps::rehearsal(call).or_else(|| state.groups.refusal(call))
            {
                return Ok(Some(Refused::With(refusal)));
            }
            if state.config.tokens {
                match state.tokens.meaning(call) {
                    Meaning::New => {}
                    Meaning::Again(answer) => return Ok(Some(Refused::Known(answer))),
                    Meaning::Refused(refusal) => return Ok(Some(Refused::With(refusal))),
                }
            }
            if !state.config.dependencies {
                return Ok(None);
            }
        }
        Ok(dependencies::refusal(&world, call).await?.map(Refused::With))
    }

    /// Sends a call to the server, as it is asked there.
    async fn sent(&self, call: &Call, room: Option<u64>) -> io::Result<Answer> {
        let (config, forgotten) = {
            let state = self.state();
            let id = call.get("DBInstanceIdentifier");
            let forgotten = if call.name() == "rds:DescribeDBInstances" {
                state.lives.forgotten(&state.config.times, self.now(), id)
            } else {
                Vec::new()
            };
            (state.config.clone(), forgotten)
        };
        let page = match Page::of(&config, call) {
            Ok(page) => page,
            Err(refusal) => return Ok(refusal.answer(call)),
        };
        let (page, whole) = page.map_or_else(|| (None, call.clone()), |(page, whole)| (Some(page), whole));
        let (filters, whole) = if config.times.on { state_filters(&whole) } else { (Vec::new(), whole) };
        let whole = if config.gaps {
            match template::completed(self.server, &gaps::completed(&whole, room)).await? {
                Ok(whole) => whole,
                Err(refusal) => return Ok(refusal.answer(call)),
            }
        } else {
            whole
        };
        let http = gaps::small_pages(&config, &whole);
        let mut answer = upstream::send(self.server, &http, whole.body()).await?;
        if config.gaps {
            gaps::fill(self.server, &whole, &answer).await?;
        }
        if !forgotten.is_empty() {
            answer = gaps::remembered(&answer, forgotten);
        }
        if page.is_none() && filters.is_empty() {
            return Ok(answer);
        }
        let Some(mut document) = answer.document().filter(|_| answer.is_success()) else { return Ok(answer) };
        let now = self.now();
        {
            let state = self.state();
            state.lives.show(&state.config.times, now, &mut document);
            state.births.hide(&config, now, call, &mut document);
        }
        filters.iter().for_each(|filter| filter.apply(&mut document));
        if let Some(page) = page {
            page.cut(&mut document);
        }
        Ok(answer.with_document(&document))
    }

    /// Takes note of what a call did.
    fn remember(&self, call: &Call, number: u64, answer: &Answer) {
        if !answer.is_success() {
            return;
        }
        let (now, document) = (self.now(), answer.document());
        let state = &mut *self.state();
        state.births.note(now, call, document.as_ref());
        state.lives.note(&state.config, now, call, document.as_ref());
        state.groups.note(call, document.as_ref());
        if state.config.tokens {
            state.tokens.keep(call, answer);
        }
        let Some(request) = state.requests.get_mut(number) else { return };
        request.committed = true;
        if !call.is_write() || state.hold.at.is_some() {
            return;
        }
        if let Some(after) = &mut state.hold.after {
            *after = after.saturating_sub(1);
            if *after == 0 {
                state.hold.at = Some(number);
                self.frozen.send_replace(true);
            }
        }
    }

    /// An answer as a client is shown it now.
    fn shown(&self, call: &Call, answer: Answer) -> Answer {
        if call.protocol != Protocol::Query || !answer.is_success() {
            return answer;
        }
        let Some(mut document) = answer.document() else { return answer };
        let now = self.now();
        let state = self.state();
        state.lives.show(&state.config.times, now, &mut document);
        state.groups.show(&mut document);
        state.births.hide(&state.config, now, call, &mut document);
        answer.with_document(&document)
    }
}

/// Why a call is not made.
enum Refused {
    With(Refusal),
    Known(Answer),
}

/// What a fault answers instead of the server.
fn refused_by(fault: Option<&Effect>) -> Option<Refusal> {
    match fault? {
        Effect::InternalError => Some(internal_error()),
        Effect::Refuse { status, code, message } => Some(Refusal::new(code, message).status(*status)),
        Effect::LoseAnswer | Effect::LoseRequest | Effect::InternalErrorAfter | Effect::RoomFor { .. } => None,
    }
}

fn internal_error() -> Refusal {
    Refusal::new("InternalError", "An internal error has occurred").status(500)
}

fn no_server(error: &io::Error) -> Refusal {
    Refusal::new("ServiceUnavailable", format!("the server behind the proxy does not answer: {error}")).status(503)
}

/// The version of the API of RDS: it never had another one since.
const RDS_VERSION: &str = "2014-10-31";

/// The server's things, as the account of a call would be shown them.
struct Seen<'a> {
    shared: &'a Shared,
    call: &'a Call,
}

impl World for Seen<'_> {
    async fn describe(&self, action: &str, filters: &[(&str, &str)]) -> io::Result<Element> {
        let filters: Vec<_> = filters.iter().map(|(name, value)| ((*name).to_owned(), vec![(*value).to_owned()])).collect();
        let call = self.call.asking(action, &[]).with_filters(&filters);
        let answer = upstream::send(self.shared.server, &call.http, call.body()).await?;
        let mut document = answer
            .document()
            .filter(|_| answer.is_success())
            .ok_or_else(|| io::Error::other(format!("{action}: {} {}", answer.status, String::from_utf8_lossy(&answer.body))))?;
        let state = self.shared.state();
        state.lives.show(&state.config.times, self.shared.now(), &mut document);
        state.groups.show(&mut document);
        Ok(document)
    }

    async fn databases(&self) -> io::Result<Vec<Element>> {
        let call = self.call.asking_of("rds", RDS_VERSION, "DescribeDBInstances");
        let answer = upstream::send(self.shared.server, &call.http, call.body()).await?;
        let mut databases: Vec<Element> =
            answer.document().map(|document| document.items("DBInstances").to_vec()).filter(|_| answer.is_success()).unwrap_or_default();
        let state = self.shared.state();
        databases.extend(state.lives.forgotten(&state.config.times, self.shared.now(), None));
        Ok(databases)
    }
}
