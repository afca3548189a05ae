//! What holds between a session and any client, in whatever order their messages, snapshots and time come.
//!
//! The cases are the same in every run, so that a change is judged by what it changed; `PROPTEST_CASES=100000 cargo test -p
//! xds-server --test properties` looks for new ones. What fails is printed with every message of the smallest run that fails.
#![allow(missing_docs, clippy::unwrap_used)]

mod model;

use model::{Edit, Flavour, Manner, Note, Op, Run, Style, Target};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::Union;
use proptest::test_runner::RngSeed;
use xds_server::Kind;
use xds_server::session::Protocol::{self, Delta, StateOfTheWorld};

/// What may happen in the runs of a property.
#[derive(Debug, Clone, Copy)]
struct Weather {
    bad: bool,
    reconnects: bool,
    time: bool,
    whims: bool,
}

/// Messages cross and streams break. Nothing may take a time-out.
const FAIR: Weather = Weather { bad: false, reconnects: true, time: false, whims: false };
/// And some resources are bad.
const BAD: Weather = Weather { bad: true, reconnects: false, time: false, whims: false };
const ROUGH: Weather = Weather { bad: true, reconnects: true, time: true, whims: false };

fn config(cases: u32) -> ProptestConfig {
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => config,
        None => ProptestConfig { cases, rng_seed: RngSeed::Fixed(1), ..config },
    }
}

fn manner(protocol: Protocol, style: Style, aggregated: bool) -> impl Strategy<Value = Manner> {
    let choices = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), 0..5_u8);
    choices.prop_map(move |(takes_the_good, answers_first, merges, clings, blames)| Manner {
        protocol,
        style,
        aggregated,
        takes_the_good: takes_the_good && style == Style::Envoy,
        answers_first,
        merges,
        clings,
        blames,
    })
}

fn note(bad: bool) -> impl Strategy<Value = Note> {
    let odds = if bad { 0.2 } else { 0.0 };
    (0..3_u8, prop::bool::weighted(odds)).prop_map(|(revision, bad)| Note { revision, bad })
}

fn edit(bad: bool) -> impl Strategy<Value = Edit> {
    let flavour = prop_oneof![4 => Just(Flavour::Eds), 1 => Just(Flavour::Alias), 1 => Just(Flavour::Static)];
    let target = prop_oneof![
        3 => (0..2_u8).prop_map(Target::Routes),
        2 => (0..2_u8, 0..2_u8).prop_map(|(routes, by)| Target::Filtered(routes, by)),
        1 => (0..4_u8).prop_map(Target::Cluster)];
    prop_oneof![
        6 => (0..4_u8, flavour, note(bad)).prop_map(|(n, flavour, note)| Edit::Cluster(n, flavour, note)),
        4 => (0..4_u8).prop_map(Edit::DropCluster),
        4 => (0..4_u8, note(bad)).prop_map(|(n, note)| Edit::Endpoints(n, note)),
        1 => (0..4_u8).prop_map(Edit::DropEndpoints),
        6 => (0..2_u8, 0..16_u8, note(bad)).prop_map(|(n, to, note)| Edit::Routes(n, to, note)),
        1 => (0..2_u8).prop_map(Edit::DropRoutes),
        4 => (0..3_u8, target, note(bad)).prop_map(|(n, target, note)| Edit::Listener(n, target, note)),
        2 => (0..3_u8).prop_map(Edit::DropListener),
        1 => (0..2_u8, note(bad)).prop_map(|(n, note)| Edit::Secret(n, note)),
        1 => (0..2_u8).prop_map(Edit::DropSecret),
        2 => (0..2_u8, prop::option::of(0..4_u8), note(bad)).prop_map(|(n, asks, note)| Edit::Extension(n, asks, note)),
        1 => (0..2_u8).prop_map(Edit::DropExtension),
        1 => Just(Edit::Mend),
        1 => Just(Edit::Clear),
        4 => (0..2_u8, note(bad)).prop_map(|(n, note)| Edit::Service(n, note)),
    ]
}

fn kind() -> impl Strategy<Value = Kind> {
    prop::sample::select(Kind::ALL.to_vec())
}

fn op(weather: Weather) -> impl Strategy<Value = Op> {
    let mut all = vec![
        (10, vec(edit(weather.bad), 1..5).prop_map(Op::Publish).boxed()),
        (10, Just(Op::Request).boxed()),
        (10, Just(Op::Response).boxed()),
        (10, (1..20_u8).prop_map(Op::Exchange).boxed()),
        (3, (kind(), 0..5_u8, any::<bool>()).prop_map(|(kind, n, wanted)| Op::Ask(kind, n, wanted)).boxed()),
        (1, kind().prop_map(Op::Repeat).boxed()),
        (1, kind().prop_map(Op::AcknowledgeAgain).boxed()),
        (1, (kind(), any::<bool>()).prop_map(|(kind, refused)| Op::Stale(kind, refused)).boxed()),
    ];
    if weather.reconnects {
        all.push((2, Just(Op::Reconnect).boxed()));
    }
    if weather.time {
        all.push((2, (0..6_000_u16).prop_map(Op::Wait).boxed()));
    }
    if weather.whims {
        all.push((2, Just(Op::Whim).boxed()));
    }
    Union::new_weighted(all)
}

fn ops(weather: Weather) -> impl Strategy<Value = Vec<Op>> {
    vec(op(weather), 1..40)
}

fn targets() -> Vec<Op> {
    (0..3).map(|n| Op::Ask(Kind::Listener, n, true)).collect()
}

fn check(manner: Manner, ops: &[Op]) -> Result<(), TestCaseError> {
    Run::prove(manner, ops).map_err(TestCaseError::fail)
}

proptest! {
    #![proptest_config(config(1200))]

    #[test]
    fn envoy_in_fair_weather_over_delta(manner in manner(Delta, Style::Envoy, true), ops in ops(FAIR)) {
        check(manner, &ops)?;
    }

    #[test]
    fn envoy_in_fair_weather_over_sotw(manner in manner(StateOfTheWorld, Style::Envoy, true), ops in ops(FAIR)) {
        check(manner, &ops)?;
    }

    #[test]
    fn envoy_that_refuses_over_delta(
        manner in manner(Delta, Style::Envoy, true), ops in ops(BAD)
    ) {
        check(manner, &ops)?;
    }

    #[test]
    fn envoy_that_refuses_over_sotw(
        manner in manner(StateOfTheWorld, Style::Envoy, true), ops in ops(BAD)
    ) {
        check(manner, &ops)?;
    }

    #[test]
    fn envoy_in_rough_weather_over_delta(manner in manner(Delta, Style::Envoy, true), ops in ops(ROUGH)) {
        check(manner, &ops)?;
    }

    #[test]
    fn envoy_in_rough_weather_over_sotw(manner in manner(StateOfTheWorld, Style::Envoy, true), ops in ops(ROUGH)) {
        check(manner, &ops)?;
    }

    #[test]
    fn a_client_that_refuses_on_a_whim(
        protocol in prop::sample::select(vec![Delta, StateOfTheWorld])
            .prop_flat_map(|protocol| manner(protocol, Style::Envoy, true)),
        ops in ops(Weather { whims: true, ..ROUGH })
    ) {
        check(protocol, &ops)?;
    }

    #[test]
    fn grpc(
        manner in prop::sample::select(vec![Delta, StateOfTheWorld])
            .prop_flat_map(|protocol| manner(protocol, Style::Grpc, true)),
        ops in ops(ROUGH)
    ) {
        check(manner, &[targets(), ops].concat())?;
    }

    #[test]
    fn a_stream_for_each_type(
        manner in prop::sample::select(vec![Delta, StateOfTheWorld])
            .prop_flat_map(|protocol| manner(protocol, Style::Envoy, false)),
        ops in ops(ROUGH)
    ) {
        check(manner, &ops)?;
    }
}
