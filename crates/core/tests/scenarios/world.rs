//! The world of one script: a state, a clock with its ticker, observers with their boots, and the invariants.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use holdfast_core::answer::{Kind, answer};
use holdfast_core::explain::explain;
use holdfast_core::invariant::{Checker, Witness};
use holdfast_core::membership::{Member, MembershipChange};
use holdfast_core::observation::{Extent, Observation, ObserverState, Report, Target, fingerprint};
use holdfast_core::overrides::{Order, Scope};
use holdfast_core::propagation::{Convergence, Ending, Figures};
use holdfast_core::sample::{Failure, FailureKind, Phase};
use holdfast_core::spec::SettingsChange;
use holdfast_core::steer::Client;
use holdfast_core::{
    Actor, ActorKind, AgentId, BootId, Command, Entry, Epoch, GroupId, RequestId, ServiceId, State,
    Timestamp,
};

use crate::keys;
use crate::parse::{self, Words};
use crate::trace;

/// More deadlines than this within one step of the clock are a ticker that runs in place.
const MOST_TICKS: usize = 1000;

type Members = BTreeMap<AgentId, Member>;

/// An observer: which boot it is in, and how many reports it has sent.
struct Observer {
    id: AgentId,
    boot: u64,
    sequence: u64,
    /// The last target of the page before.
    paged: Option<Target>,
}

impl Observer {
    /// `full` is a digest on one page, as the first report of a boot is; `page` one of several, `last` the end of
    /// them; `changes` none.
    fn extent(&mut self, words: &Words, says: &[Observation]) -> Extent {
        let said = |wanted: &str| words.plain.iter().any(|word| word == wanted);
        let full = said("full") || (self.sequence == 1 && !said("changes"));
        match (full, said("page"), said("last")) {
            (_, true, _) => {
                let through = says.last().map(|observation| observation.target.clone());
                Extent::Page { after: std::mem::replace(&mut self.paged, through), last: false }
            }
            (.., true) => Extent::Page { after: self.paged.take(), last: true },
            (true, ..) => Extent::WHOLE,
            _ => Extent::Changes,
        }
    }
}

pub(crate) struct World {
    state: State,
    now: Timestamp,
    index: u64,
    observers: BTreeMap<String, Observer>,
    checker: Checker,
    trace: Vec<String>,
    actor: String,
    request: Option<RequestId>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            state: State::new(GroupId(1)),
            now: trace::START,
            index: 0,
            observers: BTreeMap::new(),
            checker: Checker::new(),
            trace: Vec::new(),
            actor: "ann".into(),
            request: None,
        }
    }

    pub(crate) fn take_trace(&mut self) -> String {
        std::mem::take(&mut self.trace).into_iter().map(|line| line + "\n").collect()
    }

    /// Runs the commands of one line.
    pub(crate) fn run(&mut self, line: &str) {
        for command in line.split(" ; ").filter(|command| !command.trim().is_empty()) {
            self.actor = "ann".into();
            self.request = None;
            self.run_one(&Words::of(command));
        }
    }

    fn run_one(&mut self, words: &Words) {
        self.request = words.number("request").map(|number| RequestId(number.into()));
        if let Some(actor) = words.key("by") {
            self.actor = actor.into();
        }
        match words.verb.as_str() {
            "zone" | "delete_zone" | "service" | "delete" | "register" | "deregister" => {
                self.declare(words)
            }
            "pin" | "force_up" | "force_down" | "drain" | "lower_ttl" | "clear" | "pause"
            | "resume" => self.order(words),
            "agents" => self.admit(words),
            "members" => self.members(words),
            "carry_out" => self.carry_out(words),
            "add" | "promote" | "evict" | "lead" => self.change(words),
            "report" => self.report(words),
            "restart" => self.restart(words),
            "at" => self.pass(parse::duration(words.nth(0).trim_start_matches('+'))),
            "clock" => {
                let back = parse::duration(words.nth(0).trim_start_matches('-'));
                self.now = self.now.before(back);
            }
            "keys" => self.apply_as_person(keys::change(words)),
            "signs" => {
                let zone = &self.state.snapshot().zones[&parse::parse(words.nth(0))];
                self.trace.push(keys::shown(zone, self.now));
            }
            "answer" | "explain" | "deadline" | "blocked" | "endpoints" | "serves" => {
                self.ask(words)
            }
            _ => self.lead(words),
        }
    }

    /// What only the cluster itself says.
    fn lead(&mut self, words: &Words) {
        let command = match words.verb.as_str() {
            "term" => {
                let leader = self.observers[words.nth(1)].id;
                Command::BeginTerm { term: parse::parse(words.nth(0)), leader }
            }
            "silence" => {
                let observer = &self.observers[words.nth(0)];
                let boot = BootId(words.number("boot").unwrap_or(observer.boot));
                Command::SilenceObserver {
                    term: words.number("term").unwrap_or(1),
                    agent: observer.id,
                    boot,
                }
            }
            "converged" => self.converged(words),
            "remove" => Command::RemoveAgent { id: self.observers[words.nth(0)].id },
            "beats" => self.beats(words),
            "settings" => {
                let most = |word| Some(parse::parse(word)).filter(|_| word != "none");
                Command::ChangeSettings(SettingsChange {
                    warm_up: words.duration("warm_up"),
                    max_moves: words.key("max_moves").map(most),
                    window: words.duration("window"),
                    ttl_floor: words.duration("ttl_floor"),
                })
            }
            "logic" => Command::RaiseLogicVersion { version: parse::parse(words.nth(0)) },
            "tick" => Command::AdvanceTime,
            other => panic!("there is no command {other:?}"),
        };
        self.apply(Actor::system(), command);
    }

    /// `converged shop [epoch=4] [term=1] [ending=superseded] [asked=3] [agreed=3] [t100=2s] [followed=2s]`: what the
    /// leader saw outside, of the present epoch unless one is named.
    fn converged(&self, words: &Words) -> Command {
        let service: ServiceId = parse::parse(words.nth(0));
        let present = self.state.snapshot().services.get(&service).map_or(1, |s| s.epoch.0);
        let asked = u32::try_from(words.number("asked").unwrap_or(3)).expect("a small number");
        let agreed =
            words.number("agreed").map_or(asked, |n| n.try_into().expect("a small number"));
        let all = words.duration("t100").unwrap_or(Duration::from_secs(2));
        let reached = |wanted: u32| (agreed >= wanted).then_some(all);
        let ending = words.key("ending").unwrap_or("converged");
        let convergence = Convergence {
            epoch: Epoch(words.number("epoch").unwrap_or(present)),
            ending: Ending::ALL.into_iter().find(|e| e.label() == ending).expect("an ending"),
            followed: words.duration("followed").unwrap_or(all),
            servers: Figures {
                asked,
                agreed,
                t50: reached(asked.div_ceil(2)),
                t95: reached(asked),
                t100: reached(asked),
            },
            resolvers: Figures::default(),
            stragglers: Vec::new(),
            faults: Vec::new(),
            serial_skew: None,
            unfollowed: 0,
        };
        Command::RecordConvergence { term: words.number("term").unwrap_or(1), service, convergence }
    }

    fn declare(&mut self, words: &Words) {
        let if_revision = words.number("if_revision");
        let service = || parse::parse::<ServiceId>(words.nth(0));
        let command = match words.verb.as_str() {
            "zone" => Command::ApplyZone { zone: keys::zone(words), if_revision },
            "delete_zone" => Command::DeleteZone { name: parse::parse(words.nth(0)) },
            "service" => Command::ApplyService { service: parse::service(words), if_revision },
            "delete" => Command::DeleteService { id: service(), if_revision },
            "register" => Command::RegisterEndpoint {
                service: service(),
                pool: parse::parse(words.nth(1)),
                endpoint: parse::endpoint(words.nth(2), "10.0.9.1"),
            },
            _ => Command::DeregisterEndpoint {
                service: service(),
                endpoint: parse::parse(words.nth(1)),
            },
        };
        self.apply_as_person(command);
    }

    fn order(&mut self, words: &Words) {
        let reason = words.key("reason").unwrap_or("maintenance").to_owned();
        let lasting = words.duration("for").unwrap_or(Duration::from_secs(600));
        let scope = || match words.nth(1).split_once(':') {
            Some(("pool", pool)) => Scope::Pool(parse::parse(pool)),
            _ => Scope::Endpoint(parse::parse(words.nth(1))),
        };
        let order = match words.verb.as_str() {
            "pause" => return self.apply_as_person(Command::Pause { reason, lasting }),
            "resume" => return self.apply_as_person(Command::Resume { reason }),
            "clear" => {
                let id = holdfast_core::OverrideId(parse::parse(words.nth(0)));
                return self.apply_as_person(Command::ClearOverride { id, reason });
            }
            "pin" => Order::Pin(parse::parse(words.nth(1))),
            "lower_ttl" => Order::LowerTtl(parse::duration(words.nth(1))),
            "force_up" => Order::ForceUp(scope()),
            "force_down" => Order::ForceDown(scope()),
            _ => Order::Drain(scope()),
        };
        let service = parse::parse(words.nth(0));
        self.apply_as_person(Command::SetOverride { service, order, reason, lasting });
    }

    /// `agents eu: a1 a2 a3`
    fn admit(&mut self, words: &Words) {
        let region = words.nth(0).trim_end_matches(':');
        for name in &words.plain[1..] {
            let id = AgentId(self.observers.len() as u64 + 1);
            let id = self.observers.get(name).map_or(id, |known| known.id);
            let fresh = Observer { id, boot: 1, sequence: 0, paged: None };
            self.observers.entry(name.clone()).or_insert(fresh);
            let (name, region) = (parse::parse(name), parse::parse(region));
            self.apply(Actor::system(), Command::AdmitAgent { id, name, region, observer: true });
        }
    }

    /// `members eu: 1 2 us: 3`: Raft's log says that these are the members, and that all of them vote.
    fn members(&mut self, words: &Words) {
        let mut members = BTreeMap::new();
        let mut region = "";
        for word in &words.plain {
            match word.strip_suffix(':') {
                Some(name) => region = name,
                None => {
                    let id = parse::parse(word);
                    members.insert(AgentId(id), member(id, &format!("a{id}"), region, id));
                }
            }
        }
        let voters = members.keys().copied().collect();
        self.raft(members, voters, false);
    }

    /// `add 4 us [name=a4] [host=4]`, `promote 4`, `evict 4`, `lead 4`: a person changes the membership.
    fn change(&mut self, words: &Words) {
        let id = AgentId(parse::parse(words.nth(0)));
        let change = match words.verb.as_str() {
            "add" => {
                let name = words.key("name").map_or_else(|| format!("a{id}"), str::to_owned);
                let host = words.number("host").unwrap_or(id.0);
                MembershipChange::Add { id, member: member(id.0, &name, words.nth(1), host) }
            }
            "promote" => MembershipChange::Promote(id),
            "evict" => MembershipChange::Remove(id),
            _ => MembershipChange::TransferLeadership(id),
        };
        self.apply_as_person(Command::RequestMembership(change));
    }

    /// The leader carries out what is requested: `carry_out` wholly, `carry_out half` up to the joint membership.
    fn carry_out(&mut self, words: &Words) {
        let joint = words.plain.iter().any(|word| word == "half");
        let membership = self.state.snapshot().membership.clone();
        let (mut members, mut voters) = (membership.members, membership.voters);
        match membership.requested.map(|requested| requested.change) {
            Some(MembershipChange::Add { id, member }) => drop(members.insert(id, member)),
            Some(MembershipChange::Promote(id)) => drop(voters.insert(id)),
            Some(MembershipChange::Remove(id)) => {
                voters.remove(&id);
                if !joint {
                    members.remove(&id);
                }
            }
            Some(MembershipChange::TransferLeadership(_)) => {
                unreachable!("a term that begins carries it out")
            }
            None => return self.trace.push("nothing to carry out".into()),
        }
        self.raft(members, voters, joint);
    }

    fn raft(&mut self, members: Members, voters: BTreeSet<AgentId>, joint: bool) {
        self.index += 1;
        self.state.take_membership(self.index, members, voters, joint);
        let membership = &self.state.snapshot().membership;
        let vote = |id: &AgentId| if membership.voters.contains(id) { "" } else { "?" };
        let named: Vec<String> =
            membership.members.iter().map(|(id, m)| format!("{}{}", m.name, vote(id))).collect();
        let half = if joint { " (half done)" } else { "" };
        self.trace.push(format!("members {}{half}", named.join(" ")));
    }

    fn restart(&mut self, words: &Words) {
        for name in words.nth(0).split(',') {
            let observer = self.observers.get_mut(name).expect("an observer that is known");
            observer.boot += 1;
            observer.sequence = 0;
        }
    }

    /// `report a1,a2 e1=down shop/e2.tcp=up *=up [full|page|last|changes] [boot=1] [sequence=4] [kind=timeout] [old]`
    fn report(&mut self, words: &Words) {
        let names: Vec<String> = match words.nth(0) {
            "all" => self.observers.keys().cloned().collect(),
            some => some.split(',').map(str::to_owned).collect(),
        };
        let known = ["boot", "sequence", "kind", "request", "by"];
        let says: Vec<Observation> = words
            .others(&known)
            .flat_map(|(what, state)| self.observe(words, what, state))
            .collect();
        for name in names {
            let observer = self.observers.get_mut(&name).expect("an observer that is known");
            observer.sequence += 1;
            let report = Report {
                agent: observer.id,
                boot: BootId(words.number("boot").unwrap_or(observer.boot)),
                sequence: words.number("sequence").unwrap_or(observer.sequence),
                extent: observer.extent(words, &says),
                observations: says.clone(),
            };
            self.apply(agent(&name), Command::RecordObservations(report));
        }
    }

    /// What an observer says by `e1=down`: of every check of that endpoint, unless one is named.
    fn observe(&self, words: &Words, what: &str, state: &str) -> Vec<Observation> {
        let old = words.plain.iter().any(|word| word == "old");
        let kind = match words.key("kind") {
            None | Some("refused") => FailureKind::Refused,
            Some("timeout") => FailureKind::Timeout,
            Some(other) => panic!("there is no failure {other:?} here"),
        };
        let state = match state {
            "up" => ObserverState::Up,
            "down" => ObserverState::Down,
            "unknown" => ObserverState::Unknown,
            other => panic!("{other:?} is no opinion"),
        };
        let failure =
            (state == ObserverState::Down).then(|| Failure::new(Phase::Connect, kind, ""));
        let observation = |(target, current): (Target, u64)| Observation {
            target,
            fingerprint: if old { current ^ 1 } else { current },
            state,
            failure: failure.clone(),
            latency: Duration::from_millis(1),
            since: self.now,
        };
        self.targets(what).into_iter().map(observation).collect()
    }

    /// The targets meant by `[service/]endpoint[.check]`; `*` is every endpoint.
    fn targets(&self, what: &str) -> Vec<(Target, u64)> {
        let (service, endpoint) = what.split_once('/').map_or((None, what), |(s, e)| (Some(s), e));
        let (endpoint, check) =
            endpoint.split_once('.').map_or((endpoint, None), |(e, c)| (e, Some(c)));
        let mut targets = Vec::new();
        for (id, state) in &self.state.snapshot().services {
            for (_, declared) in state.spec.endpoints() {
                for asked in &state.spec.checks {
                    let meant = service.is_none_or(|s| id.to_string() == s)
                        && (endpoint == "*" || declared.name.as_str() == endpoint)
                        && check.is_none_or(|c| asked.name.as_str() == c);
                    let (endpoint, check) = (declared.name.clone(), asked.name.clone());
                    let target = Target { service: id.clone(), endpoint, check };
                    targets.extend(meant.then(|| (target, fingerprint(declared, asked))));
                }
            }
        }
        assert!(!targets.is_empty(), "nothing is meant by {what:?}");
        targets
    }

    fn beats(&self, words: &Words) -> Command {
        let beat = |(what, says): (&str, &str)| {
            let (target, _) = self.targets(what).remove(0);
            (target, says == "up")
        };
        let beats = words.others(&["term"]).map(beat).collect();
        Command::RecordHeartbeats { term: words.number("term").unwrap_or(1), beats }
    }

    /// Lets time pass, as the leader's ticker does: at each deadline, `AdvanceTime`.
    fn pass(&mut self, duration: Duration) {
        let until = self.now + duration;
        for _ in 0..MOST_TICKS {
            let due = self.state.next_deadline().filter(|deadline| deadline.at <= until);
            let Some(due) = due else {
                self.now = until;
                return;
            };
            self.now = self.now.max(due.at);
            self.apply(Actor::system(), Command::AdvanceTime);
        }
        panic!("the ticker runs in place at {}", trace::moment(self.now));
    }

    fn ask(&mut self, words: &Words) {
        let view = self.state.view();
        let service = || {
            let id = parse::parse(words.nth(0));
            view.services.get(&id).unwrap_or_else(|| panic!("there is no service {id}"))
        };
        match words.verb.as_str() {
            "answer" => {
                let kind = match words.plain.get(1).map_or("A", String::as_str) {
                    "A" => Kind::A,
                    "AAAA" => Kind::AAAA,
                    "SRV" => Kind::SRV,
                    "CNAME" => Kind::CNAME,
                    other => panic!("{other:?} is not asked for here"),
                };
                let turn = words.number("turn").unwrap_or(0);
                let turn = u32::try_from(turn).expect("a small number");
                let given = answer(
                    &view.answers,
                    &parse::parse(words.nth(0)),
                    kind,
                    &Client::anybody(turn),
                );
                self.trace.extend(trace::answer(&given));
            }
            "explain" => {
                let reason = explain(&view, &service().spec.id, self.now).expect("it is there");
                trace::reason(&reason, 0, &mut self.trace);
            }
            "deadline" => self.trace.push(match self.state.next_deadline() {
                Some(due) => format!("{} {}", trace::moment(due.at), due.reason),
                None => "none".into(),
            }),
            "blocked" => self.trace.push(match &service().blocked {
                Some(blocked) => {
                    let until = blocked.until.map_or("people".into(), trace::moment);
                    let wanted = trace::selection(&blocked.wanted);
                    format!("{} until {until}, wants {wanted}", blocked.reason.label())
                }
                None => "not blocked".into(),
            }),
            "endpoints" => {
                for endpoint in &service().endpoints {
                    let stale = if endpoint.stale { " stale" } else { "" };
                    let partial = if endpoint.partial { " partial" } else { "" };
                    let verdict = endpoint.verdict.label();
                    self.trace.push(format!("{} {verdict}{stale}{partial}", endpoint.endpoint));
                }
            }
            _ => {
                let status = service();
                let serves = trace::selection(&status.selection);
                self.trace.push(format!("{serves} epoch={}", status.epoch));
            }
        }
    }

    fn apply_as_person(&mut self, command: Command) {
        let actor = Actor { kind: ActorKind::Person, name: self.actor.clone() };
        self.apply(actor, command);
    }

    /// Applies one entry, checks the invariants and notes what happened.
    fn apply(&mut self, actor: Actor, command: Command) {
        self.index += 1;
        let ticked = command == Command::AdvanceTime;
        let entry = Entry { at: self.now, request_id: self.request, actor, command };
        let applied = self.state.apply(self.index, &entry);
        let view = self.state.view();
        let witness = Witness {
            node: AgentId(1),
            view: &view,
            records: &applied.records,
            hash: Some(self.state.hash()),
        };
        let checked = self.checker.check(&witness);
        assert_eq!(checked, Ok(()), "after entry {} ({})", self.index, entry.command.label());
        let prefix = if ticked { trace::moment(self.now) + " " } else { String::new() };
        let happened = applied.records.iter().filter_map(|record| trace::record(&view, record));
        let lines = happened.chain(trace::outcome(&applied.outcome));
        self.trace.extend(lines.map(|line| format!("{prefix}{line}")));
    }
}

fn agent(name: &str) -> Actor {
    Actor { kind: ActorKind::Agent, name: name.into() }
}

fn member(id: u64, name: &str, region: &str, host: u64) -> Member {
    Member {
        name: name.into(),
        region: region.into(),
        peer_address: format!("10.0.0.{host}:7443"),
        api_address: format!("10.0.0.{host}:7444"),
        directory: id.into(),
    }
}
