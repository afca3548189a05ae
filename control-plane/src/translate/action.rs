//! What is done with a request: it is passed on, sent elsewhere, or answered.

use std::collections::BTreeMap;
use std::time::Duration;

use envoy_types::pb::envoy::config::core::v3::data_source::Specifier;
use envoy_types::pb::envoy::config::core::v3::header_value_option::HeaderAppendAction;
use envoy_types::pb::envoy::config::core::v3::{DataSource, HeaderValueOption, RuntimeFractionalPercent};
use envoy_types::pb::envoy::config::route::v3::redirect_action::{
    PathRewriteSpecifier, RedirectResponseCode, SchemeRewriteSpecifier,
};
use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::route_action::hash_policy::{
    ConnectionProperties, Cookie, Header, PolicySpecifier,
};
use envoy_types::pb::envoy::config::route::v3::route_action::{
    ClusterSpecifier, HashPolicy, RequestMirrorPolicy,
};
use envoy_types::pb::envoy::config::route::v3::{DirectResponseAction, RedirectAction, RouteAction};
use envoy_types::pb::envoy::r#type::v3::FractionalPercent;

use crate::model::Route;
use crate::model::options::{
    Answer, Authority, HashKey, HeaderEdit, Limit, Mirror, Redirect, RedirectCode, RouteOptions,
};

use super::duration;
use super::local_reply::header;

/// What is done with the requests of `route`: `path` stands in place of what was matched.
pub(super) fn of(route: &Route, path: Option<String>) -> Action {
    match &route.options.answer {
        Some(Answer::Redirect(to, code)) => Action::Redirect(redirect(to, *code)),
        Some(Answer::Respond(answer)) => respond(answer.status.into(), &answer.body),
        None => Action::Route(pass_on(route, path)),
    }
}

fn pass_on(route: &Route, path: Option<String>) -> RouteAction {
    let RouteOptions { timeout, idle_timeout, mirror, hash, .. } = &*route.options;
    RouteAction {
        cluster_specifier: Some(ClusterSpecifier::Cluster(route.service.to_string())),
        prefix_rewrite: path.unwrap_or_default(),
        timeout: limit(*timeout),
        idle_timeout: idle_timeout.and_then(limit),
        request_mirror_policies: mirror.iter().map(copies).collect(),
        hash_policy: hash.iter().map(hash_policy).collect(),
        ..Default::default()
    }
}

/// To Envoy no time is no limit.
pub(super) fn limit(limit: Limit) -> Option<envoy_types::pb::google::protobuf::Duration> {
    match limit {
        Limit::Off => duration(Duration::ZERO),
        Limit::After(time) => duration(time),
    }
}

fn copies(mirror: &Mirror) -> RequestMirrorPolicy {
    RequestMirrorPolicy {
        cluster: mirror.service.to_string(),
        runtime_fraction: Some(RuntimeFractionalPercent {
            default_value: Some(FractionalPercent { numerator: mirror.percent.into(), ..Default::default() }),
            ..Default::default()
        }),
        // A copy is one of the request as it was, its host included.
        disable_shadow_host_suffix_append: true,
        ..Default::default()
    }
}

fn hash_policy(key: &HashKey) -> HashPolicy {
    let policy = match key {
        HashKey::Header(name) => {
            PolicySpecifier::Header(Header { header_name: name.clone(), ..Default::default() })
        }
        // Who has none is given one for as long as the browser runs.
        HashKey::Cookie(name) => PolicySpecifier::Cookie(Cookie {
            name: name.clone(),
            ttl: duration(Duration::ZERO),
            path: "/".to_owned(),
            ..Default::default()
        }),
        HashKey::Ip => PolicySpecifier::ConnectionProperties(ConnectionProperties { source_ip: true }),
    };
    HashPolicy { policy_specifier: Some(policy), ..Default::default() }
}

pub(super) fn redirect(to: &Redirect, code: RedirectCode) -> RedirectAction {
    let code = match code {
        RedirectCode::Moved301 => RedirectResponseCode::MovedPermanently,
        RedirectCode::Found302 => RedirectResponseCode::Found,
        RedirectCode::Temporary307 => RedirectResponseCode::TemporaryRedirect,
        RedirectCode::Permanent308 => RedirectResponseCode::PermanentRedirect,
    };
    let elsewhere = |to: &Authority| RedirectAction {
        host_redirect: to.host.clone(),
        port_redirect: to.port.map_or(0, u32::from),
        ..Default::default()
    };
    let action = match to {
        Redirect::Https => RedirectAction {
            scheme_rewrite_specifier: Some(SchemeRewriteSpecifier::HttpsRedirect(true)),
            ..Default::default()
        },
        Redirect::Secure(port) => RedirectAction {
            scheme_rewrite_specifier: Some(SchemeRewriteSpecifier::HttpsRedirect(true)),
            port_redirect: port.map_or(0, u32::from),
            ..Default::default()
        },
        Redirect::Host(to) => elsewhere(to),
        Redirect::Url { https, to, path } => RedirectAction {
            scheme_rewrite_specifier: Some(SchemeRewriteSpecifier::SchemeRedirect(
                if *https { "https" } else { "http" }.to_owned(),
            )),
            path_rewrite_specifier: path.clone().map(PathRewriteSpecifier::PathRedirect),
            ..elsewhere(to)
        },
    };
    RedirectAction { response_code: code as i32, ..action }
}

/// A fixed answer by Envoy itself.
pub(super) fn respond(status: u32, body: &str) -> Action {
    let body = DataSource { specifier: Some(Specifier::InlineString(body.to_owned())), ..Default::default() };
    let body = Some(body).filter(|body| body.specifier != Some(Specifier::InlineString(String::new())));
    Action::DirectResponse(DirectResponseAction { status, body, ..Default::default() })
}

/// Headers to be added, and the names of those to be removed.
pub(super) fn edits(headers: &BTreeMap<String, HeaderEdit>) -> (Vec<HeaderValueOption>, Vec<String>) {
    let (mut add, mut remove) = (Vec::new(), Vec::new());
    for (name, edit) in headers {
        match edit {
            HeaderEdit::Set(value) => add.push(header(name, &literal(value))),
            HeaderEdit::Append(value) => add.push(HeaderValueOption {
                append_action: HeaderAppendAction::AppendIfExistsOrAdd as i32,
                ..header(name, &literal(value))
            }),
            HeaderEdit::Remove => remove.push(name.clone()),
        }
    }
    (add, remove)
}

/// To Envoy `%` begins a command.
fn literal(value: &str) -> String {
    value.replace('%', "%%")
}
