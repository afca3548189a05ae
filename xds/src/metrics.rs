//! Counters of what was sent and answered, per type, for Prometheus.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::kind::Kind;
use crate::session::Protocol;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfType {
    r#type: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfProtocol {
    protocol: &'static str,
}

impl OfProtocol {
    const fn of(protocol: Protocol) -> Self {
        let protocol = match protocol {
            Protocol::StateOfTheWorld => "sotw",
            Protocol::Delta => "delta",
        };
        Self { protocol }
    }
}

/// Upper bounds in seconds for what begins with an event: the goals of a change that is felt at once lie among the first,
/// and what is beyond the last is broken, however long it takes.
pub const EVENT_BUCKETS: [f64; 14] =
    [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// What was sent and answered, since the service was made.
#[derive(Debug)]
pub struct Metrics {
    streams: Family<OfProtocol, Gauge>,
    responses: Family<OfType, Counter>,
    response_bytes: Family<OfType, Counter>,
    acks: Family<OfType, Counter>,
    nacks: Family<OfType, Counter>,
    refused_resources: Family<OfType, Counter>,
    ack_seconds: Family<OfType, Histogram, fn() -> Histogram>,
    event_to_ack: Histogram,
    /// The same, without a look-up.
    kinds: [OfKind; Kind::ALL.len()],
}

#[derive(Debug)]
struct OfKind {
    responses: Counter,
    response_bytes: Counter,
    acks: Counter,
    nacks: Counter,
    refused_resources: Counter,
    ack_seconds: Histogram,
}

/// From half a millisecond to 16 s: a client on the same host answers in the first, one that warms a cluster in the last.
fn histogram() -> Histogram {
    Histogram::new(exponential_buckets(0.000_5, 2.0, 16))
}

impl Default for Metrics {
    fn default() -> Self {
        let responses = Family::<OfType, Counter>::default();
        let response_bytes = Family::<OfType, Counter>::default();
        let acks = Family::<OfType, Counter>::default();
        let nacks = Family::<OfType, Counter>::default();
        let refused_resources = Family::<OfType, Counter>::default();
        let ack_seconds = Family::<OfType, Histogram, fn() -> Histogram>::new_with_constructor(histogram);
        let kinds = Kind::ALL.map(|kind| {
            let of_type = OfType { r#type: kind.name() };
            OfKind {
                responses: responses.get_or_create_owned(&of_type),
                response_bytes: response_bytes.get_or_create_owned(&of_type),
                acks: acks.get_or_create_owned(&of_type),
                nacks: nacks.get_or_create_owned(&of_type),
                refused_resources: refused_resources.get_or_create_owned(&of_type),
                ack_seconds: ack_seconds.get_or_create_owned(&of_type),
            }
        });
        let streams = Family::<OfProtocol, Gauge>::default();
        // There from the start: what was never there looks like what cannot be measured.
        for protocol in [Protocol::StateOfTheWorld, Protocol::Delta] {
            streams.get_or_create_owned(&OfProtocol::of(protocol));
        }
        let event_to_ack = Histogram::new(EVENT_BUCKETS);
        Self {
            streams,
            responses,
            response_bytes,
            acks,
            nacks,
            refused_resources,
            ack_seconds,
            event_to_ack,
            kinds,
        }
    }
}

impl Metrics {
    /// Adds them to `registry`, under names that begin with `xds_`.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("xds");
        registry.register("streams", "Open xDS streams", self.streams.clone());
        registry.register("responses", "Responses sent", self.responses.clone());
        registry.register_with_unit(
            "response",
            "Size of the responses sent",
            Unit::Bytes,
            self.response_bytes.clone(),
        );
        registry.register("acks", "Responses that a client accepted", self.acks.clone());
        registry.register("nacks", "Responses that a client refused", self.nacks.clone());
        registry.register(
            "refused_resources",
            "Resources that a client refuses, each version once a client",
            self.refused_resources.clone(),
        );
        registry.register_with_unit(
            "snapshot_to_ack",
            "From a snapshot, or a client's question, to the client's acknowledgement",
            Unit::Seconds,
            self.ack_seconds.clone(),
        );
        registry.register_with_unit(
            "event_to_ack",
            "From the oldest event that led to a snapshot to a client's acknowledgement of all of it",
            Unit::Seconds,
            self.event_to_ack.clone(),
        );
    }

    fn of(&self, kind: Kind) -> &OfKind {
        &self.kinds[kind.index()]
    }

    fn streams(&self, protocol: Protocol) -> Gauge {
        self.streams.get_or_create_owned(&OfProtocol::of(protocol))
    }

    pub(crate) fn opened(&self, protocol: Protocol) {
        self.streams(protocol).inc();
    }

    pub(crate) fn closed(&self, protocol: Protocol) {
        self.streams(protocol).dec();
    }

    pub(crate) fn sent(&self, kind: Kind, bytes: usize) {
        self.of(kind).responses.inc();
        self.of(kind).response_bytes.inc_by(bytes as u64);
    }

    pub(crate) fn acknowledged(&self, kind: Kind, after: Option<Duration>) {
        self.of(kind).acks.inc();
        if let Some(after) = after {
            self.of(kind).ack_seconds.observe(after.as_secs_f64());
        }
    }

    pub(crate) fn caught_up(&self, after: Duration) {
        self.event_to_ack.observe(after.as_secs_f64());
    }

    pub(crate) fn refused(&self, kind: Kind) {
        self.of(kind).nacks.inc();
    }

    pub(crate) fn parked(&self, kind: Kind) {
        self.of(kind).refused_resources.inc();
    }
}
