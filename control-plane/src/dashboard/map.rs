//! The drawn map: hosts, routes, services and endpoints in four columns of rows of one height, and lines between them.
//! Pure: where everything stands is decided here, so that it needs no script.

use std::collections::BTreeMap;

use serde::Serialize;

use super::picture::{Member, Picture, Route, Service};

/// Height of a row, in the units of the drawing; `--row` in style.css is the same in rem, 16 of these.
pub(crate) const ROW: usize = 56;
/// More members of a service than this are counted, not drawn.
const MEMBERS: usize = 8;

/// The map, ready to be put into the page.
#[derive(Debug, Serialize)]
pub(crate) struct Map {
    rows: usize,
    /// Of the drawing, in its own units.
    height: usize,
    /// The same on the page.
    rem: f64,
    hosts: Vec<Option<HostCard>>,
    routes: Vec<Option<Route>>,
    services: Vec<Option<ServiceCard>>,
    members: Vec<Option<MemberCard>>,
    host_lines: Vec<Line>,
    route_lines: Vec<Line>,
    member_lines: Vec<Line>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct HostCard {
    host: String,
    /// The worst of its routes.
    state: &'static str,
    routes: usize,
    open: bool,
}

#[derive(Debug, Clone, Serialize)]
struct ServiceCard {
    #[serde(flatten)]
    service: Service,
    members: usize,
}

#[derive(Debug, Clone, Serialize)]
struct MemberCard {
    member: Option<Member>,
    /// Instead of one: so many are not drawn.
    more: usize,
    service: String,
}

/// From the middle of a row on the left to the middle of one on the right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
struct Line {
    from: usize,
    to: usize,
    state: &'static str,
}

impl Line {
    const fn new(from: usize, to: usize, state: &'static str) -> Self {
        Self { from: from * ROW + ROW / 2, to: to * ROW + ROW / 2, state }
    }
}

impl Map {
    /// Services in the order in which hosts lead to them, each in a band as high as its routes or its members need.
    pub(crate) fn of(picture: &Picture) -> Self {
        let mut map = Self::empty();
        let mut hosts: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for service in in_order(picture) {
            let top = map.rows;
            let routes: Vec<&Route> =
                picture.routes.iter().filter(|route| route.service == service.name).collect();
            let members = cards(service);
            let height = routes.len().max(members.len()).max(1);
            let at = top + (height - 1) / 2;
            put(
                &mut map.services,
                at,
                ServiceCard { service: service.clone(), members: service.endpoints.len() },
            );
            let first = top + (height - routes.len()) / 2;
            for (row, route) in (first..).zip(routes) {
                map.route_lines.push(Line::new(row, at, route.state));
                hosts.entry(shown(route)).or_default().push(row);
                put(&mut map.routes, row, route.clone());
            }
            let first = top + (height - members.len()) / 2;
            for (row, member) in (first..).zip(members) {
                map.member_lines.push(Line::new(at, row, member.state()));
                put(&mut map.members, row, member);
            }
            map.rows = top + height;
        }
        map.place_hosts(hosts);
        map.rows = map.rows.max(map.hosts.len());
        map.height = map.rows * ROW;
        #[allow(clippy::cast_precision_loss, reason = "a few thousand rows")]
        {
            map.rem = map.height as f64 / 16.0;
        }
        map
    }

    const fn empty() -> Self {
        Self {
            rows: 0,
            height: 0,
            rem: 0.0,
            hosts: Vec::new(),
            routes: Vec::new(),
            services: Vec::new(),
            members: Vec::new(),
            host_lines: Vec::new(),
            route_lines: Vec::new(),
            member_lines: Vec::new(),
        }
    }

    /// Each host in the middle of its routes, or as near below as there is room.
    fn place_hosts(&mut self, hosts: BTreeMap<String, Vec<usize>>) {
        let mut hosts: Vec<(String, Vec<usize>)> = hosts.into_iter().collect();
        let middle = |rows: &[usize]| rows.iter().sum::<usize>() / rows.len().max(1);
        hosts.sort_by_cached_key(|(host, rows)| (middle(rows), host.clone()));
        for (host, rows) in hosts {
            let at = middle(&rows).max(self.hosts.len());
            let routes: Vec<&Route> = rows.iter().filter_map(|row| self.routes.get(*row)?.as_ref()).collect();
            let state = worst(routes.iter().map(|route| route.state));
            let card = HostCard {
                // A wildcard is no place to go to, nor is another entry point known to be published.
                open: !host.contains(['*', ' ']),
                host,
                state,
                routes: routes.len(),
            };
            self.host_lines
                .extend(rows.iter().zip(&routes).map(|(row, route)| Line::new(at, *row, route.state)));
            put(&mut self.hosts, at, card);
        }
    }
}

impl MemberCard {
    fn state(&self) -> &'static str {
        self.member.as_ref().map_or("more", |member| member.state)
    }
}

/// A host as it is shown, with its entry point.
fn shown(route: &Route) -> String {
    match &route.entry_point {
        Some(entry) => format!("{} at {entry}", route.host),
        None => route.host.clone(),
    }
}

fn put<T>(column: &mut Vec<Option<T>>, row: usize, card: T) {
    while column.len() < row {
        column.push(None);
    }
    column.push(Some(card));
}

fn in_order(picture: &Picture) -> Vec<&Service> {
    let mut services: Vec<&Service> = picture.services.iter().collect();
    let first = |service: &Service| picture.routes.iter().position(|route| route.service == service.name);
    services.sort_by_cached_key(|service| first(service).unwrap_or(usize::MAX));
    services
}

fn cards(service: &Service) -> Vec<MemberCard> {
    let mut members = service.endpoints.clone();
    let more = if members.len() > MEMBERS { members.len() - (MEMBERS - 1) } else { 0 };
    if more > 0 {
        // Those that need a look are drawn first.
        members.sort_by_key(|member| member.state == "ready");
        members.truncate(MEMBERS - 1);
    }
    let card = |member, more| MemberCard { member, more, service: service.name.clone() };
    let mut cards: Vec<MemberCard> = members.into_iter().map(|member| card(Some(member), 0)).collect();
    if more > 0 {
        cards.push(card(None, more));
    }
    cards
}

/// Down before partly before ready.
fn worst(states: impl Iterator<Item = &'static str>) -> &'static str {
    let rank = |state: &&str| match *state {
        "down" => 0,
        "partly" => 1,
        _ => 2,
    };
    states.min_by_key(rank).unwrap_or("down")
}

#[cfg(test)]
mod tests;
