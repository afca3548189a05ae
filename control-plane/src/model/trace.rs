//! How far one workload is on its way to be an endpoint, each question on its own: what `endpoints` asks, without its
//! stopping at the first answer that is no. For who explains.

use std::net::IpAddr;

use crate::inventory::{Placement, WorkloadId};

use super::address::{self, Surroundings};
use super::build::Model;
use super::group::Member;
use super::label::HealthRule;
use super::problem::Problem;
use super::topology::{Absence, EndpointState, ServiceName};

/// What a workload's labels and state lead to.
#[derive(Debug, Clone)]
pub struct Trace {
    /// The service it belongs to, if it belongs to any.
    pub service: ServiceName,
    /// What its labels make of it.
    pub standing: Standing,
    /// The keys about the whole workload that have a mistake in them.
    pub broken: Vec<&'static str>,
    /// Its address and the network it is reached over; nothing while it has no address.
    pub place: Result<Option<(IpAddr, Option<String>)>, Box<Problem>>,
    /// The port it listens on.
    pub port: Result<u16, Box<Problem>>,
    /// Whether a label names the port.
    pub port_is_labelled: bool,
    /// Whether it is at an address that is given as it stands (services file).
    pub is_direct: bool,
    /// Whether it takes requests, as far as it is up to itself.
    pub condition: Result<EndpointState, Absence>,
    /// Whether its health check does not count (the label `health`).
    pub ignores_health: bool,
    /// The version of its service that it is; empty where no label says.
    pub version: String,
}

/// What labels make of a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is Envoy.
    Proxy,
    /// It asks for nothing.
    Silent,
    /// It is hidden (`enable: "false"`).
    Hidden,
    /// It is there for others to name, without a route of its own.
    Offered,
    /// It asks for a route.
    Asks,
}

impl Model {
    /// How far the workload with this id is; nothing where the model has not seen it.
    #[must_use]
    pub fn trace(&self, id: &WorkloadId) -> Option<Trace> {
        let made_of = self.made_of.as_ref()?;
        let workload = made_of.inventory.workloads.get(id)?;
        let member = Member::read(workload, &made_of.options);
        let around = Surroundings {
            inventory: &made_of.inventory,
            reach: &made_of.reach,
            prefix: &made_of.options.label_prefix,
        };
        let claims = &member.claims;
        let standing = match () {
            () if claims.hidden => Standing::Hidden,
            () if claims.asks || !claims.routes.is_empty() => Standing::Asks,
            () if claims.offered => Standing::Offered,
            () if claims.proxy => Standing::Proxy,
            () => Standing::Silent,
        };
        Some(Trace {
            standing,
            broken: claims.broken.iter().copied().collect(),
            place: address::place(workload, claims, &around),
            port: match workload.placement {
                Placement::Direct(address) => Ok(address.port()),
                _ => address::port(workload, claims, &around),
            },
            port_is_labelled: claims.port.is_some(),
            is_direct: matches!(workload.placement, Placement::Direct(_)),
            condition: member.condition(),
            ignores_health: claims.health == HealthRule::Ignore,
            version: member.variant().to_owned(),
            service: member.service,
        })
    }

    /// What every label begins with.
    #[must_use]
    pub fn label_prefix(&self) -> &str {
        self.made_of.as_ref().map_or("portolan", |made_of| &made_of.options.label_prefix)
    }
}
