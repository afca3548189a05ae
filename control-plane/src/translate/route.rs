//! The routes: one virtual host a host name, routes in the order in which they are matched.

use std::sync::Arc;

use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::route_match::PathSpecifier;
use envoy_types::pb::envoy::config::route::v3::{
    HeaderMatcher, Route as PbRoute, RouteConfiguration, RouteMatch, VirtualHost,
};
use envoy_types::pb::google::protobuf::UInt64Value;

use crate::model::options::{MaxBody, Redirect, RedirectCode, Rewrite, RouteOptions};
use crate::model::{Host, PathMatch, Route, Site, Topology};
use crate::policies::{EntryName, Policies};

use super::local_reply::header;
use super::matching::{Methods, Place, at, body_longer_than, body_of_unknown_length, places, request};
use super::reads::{self, Retried};
use super::{EdgeOptions, action, auth, dashboard, filters, listener_name, per_route, retries};

/// How much of a body is kept for another try. A longer one is not tried again: without this line that would be all
/// above what a connection holds, and a form sent to a container that just went away would be answered 507.
const RETRY_BODY_BYTES: u64 = 256 * 1024;
/// The longest body of unknown length that is held in memory to be measured; where a label allows less, that.
const HELD_BODY_BYTES: u64 = 4 * 1024 * 1024;
/// Tells an application under which prefix it is, where that was taken from its paths.
const PREFIX: &str = "x-forwarded-prefix";

/// What stands around the containers' hosts: the dashboard's, and an answer for those that nobody claims.
pub(super) fn frame(topology: &Topology, edge: &EdgeOptions, entry: &EntryName) -> RouteConfiguration {
    let mut virtual_hosts = Vec::new();
    let to_tls = to_tls(&topology.policies, entry);
    if topology.policies.shows_dashboard(entry) {
        virtual_hosts.push(dashboard::virtual_host(edge));
    }
    if !topology.hosts.contains_key(&Site { entry: Arc::clone(entry), host: Host::Any }) {
        let nobody = || not_found("portolan:unknown-host", "No container claims this host.\n");
        let routes = vec![to_tls.unwrap_or_else(nobody)];
        virtual_hosts.push(a_virtual_host("portolan:unknown-host", "*", routes));
    }
    RouteConfiguration {
        name: listener_name(entry),
        virtual_hosts,
        // `shop.localhost` answers on every port; a redirect keeps the one the client came by.
        ignore_port_in_host_matching: true,
        ..Default::default()
    }
}

/// A domain stands in one virtual host only, and Envoy asks that one alone: so it has the routes of the wildcards that
/// cover it as well, and an answer of its own where none of them matches.
pub(super) fn virtual_host(policies: &Policies, site: &Site, routes: &[&Route]) -> VirtualHost {
    let host = site.host.to_string();
    let is_complete = routes.last().is_some_and(|last| last.matches.is_everything());
    let mut routes: Vec<PbRoute> =
        routes.iter().flat_map(|each| guarded(policies, each, entries(each))).collect();
    if !is_complete {
        let nobody = || not_found("portolan:unknown-path", "No container claims this path of the host.\n");
        routes.push(to_tls(policies, &site.entry).unwrap_or_else(nobody));
    }
    a_virtual_host(&host, &host, routes)
}

/// The entries of a route with what says who may use it. Where that cannot be asked they are closed.
fn guarded(policies: &Policies, route: &Route, mut entries: Vec<PbRoute>) -> Vec<PbRoute> {
    let Some(name) = &route.options.auth else { return entries };
    for entry in &mut entries {
        match auth::guard(policies, name) {
            Some(guard) => entry.typed_per_filter_config.extend([guard]),
            None => entry.action = Some(action::respond(503, "Nobody can say who may use this now.\n")),
        }
    }
    entries
}

fn a_virtual_host(name: &str, domain: &str, routes: Vec<PbRoute>) -> VirtualHost {
    VirtualHost {
        name: name.to_owned(),
        domains: vec![domain.to_owned()],
        routes,
        request_body_buffer_limit: Some(UInt64Value { value: RETRY_BODY_BYTES }),
        ..Default::default()
    }
}

/// The answer of an entry point that sends everybody to another one, to all that has no route of its own.
fn to_tls(policies: &Policies, entry: &EntryName) -> Option<PbRoute> {
    let to = policies.entry_points.get(entry)?.redirect.as_ref()?;
    let to = Redirect::Secure(policies.port_between(entry, to));
    Some(PbRoute {
        name: "portolan:to-https".to_owned(),
        r#match: Some(at(PathSpecifier::Prefix("/".to_owned()))),
        action: Some(Action::Redirect(action::redirect(&to, RedirectCode::Permanent308))),
        ..Default::default()
    })
}

fn not_found(name: &str, body: &str) -> PbRoute {
    answer(name, PathSpecifier::Prefix("/".to_owned()), 404, body)
}

/// The entries of one route: one for what reads and one for what writes, and more where a rewrite or a limit of the body takes them.
fn entries(route: &Route) -> Vec<PbRoute> {
    let places = places(&route.matches.path, route.options.rewrite.as_ref());
    let parts = reads::parts(&route.matches, &route.options);
    let each = |place: Place| parts.iter().flat_map(move |part| entries_at(route, &place, part));
    places.into_iter().flat_map(each).collect()
}

fn entries_at(
    route: &Route,
    (path, instead): &Place,
    (methods, retried): &(Methods<'_>, Retried),
) -> Vec<PbRoute> {
    let options = &*route.options;
    let one = |headers: &[HeaderMatcher]| -> PbRoute {
        let mut matching = request(&route.matches, path.clone(), methods);
        matching.headers.extend_from_slice(headers);
        entry(route, matching, action::of(route, instead.clone()), *retried)
    };
    let Some(MaxBody { bytes, streams }) = options.max_body.filter(|_| options.answer.is_none()) else {
        return vec![one(&[])];
    };
    let refusal = action::respond(413, "The body of this request is larger than this route takes.\n");
    let mut too_long = PbRoute { action: Some(refusal), ..one(&[body_longer_than(bytes)]) };
    // What such an answer needs: others may not know of the route, and a page may read that it was refused.
    too_long
        .typed_per_filter_config
        .retain(|name, _| [filters::CLIENTS, filters::CORS].contains(&name.as_str()));
    // A body of known length flows through: what is longer was refused. One of unknown length is held until it is whole,
    // but for the streams of gRPC, which may never be.
    let most = u32::try_from(bytes.min(HELD_BODY_BYTES)).unwrap_or(u32::MAX);
    let held = (!streams).then(|| {
        let mut held = one(&body_of_unknown_length());
        held.typed_per_filter_config.extend([per_route::hold_body(most)]);
        held
    });
    [too_long].into_iter().chain(held).chain([one(&[])]).collect()
}

fn entry(route: &Route, matching: RouteMatch, action: Action, retried: Retried) -> PbRoute {
    let options = &*route.options;
    let (mut request_headers_to_add, request_headers_to_remove) = action::edits(&options.request_headers);
    let (response_headers_to_add, response_headers_to_remove) = action::edits(&options.response_headers);
    request_headers_to_add
        .extend(stripped(&route.matches.path, options).map(|prefix| header(PREFIX, prefix)));
    if options.answer.is_none() {
        request_headers_to_add.extend(retries::headers(&options.retries, retried));
    }
    PbRoute {
        name: route.name.clone(),
        r#match: Some(matching),
        action: Some(action),
        typed_per_filter_config: per_route::configs(options, retried),
        request_headers_to_add,
        request_headers_to_remove,
        response_headers_to_add,
        response_headers_to_remove,
        ..Default::default()
    }
}

/// The prefix that is taken from the path, unless a label says something else of it.
fn stripped<'a>(path: &'a PathMatch, options: &RouteOptions) -> Option<&'a str> {
    match path {
        PathMatch::Prefix(prefix) if prefix != "/" && options.rewrite == Some(Rewrite::Strip) => {
            Some(prefix.as_str()).filter(|_| !options.request_headers.contains_key(PREFIX))
        }
        _ => None,
    }
}

/// A fixed answer by Envoy itself.
pub(super) fn answer(name: &str, path: PathSpecifier, status: u32, body: &str) -> PbRoute {
    PbRoute {
        name: name.to_owned(),
        r#match: Some(at(path)),
        action: Some(action::respond(status, body)),
        ..Default::default()
    }
}
