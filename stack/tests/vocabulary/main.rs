//! The label vocabulary through a real Envoy: a control plane that follows a services file, one Envoy, small web servers,
//! and a case for every key. The cases share the lab; each has hosts of its own.
#![allow(unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::needless_pass_by_value)]

mod access;
mod agreement;
mod lab;
mod logins;
mod matching;
mod opening;
mod policies;
mod protocols;
mod resilience;
mod rewriting;
mod secure;
mod sharing;
mod tcp;
mod tokens;
mod topologies;
mod upstream;
#[path = "../../../control-plane/tests/support/values.rs"]
mod values;

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Result, ensure};
use lab::Lab;
use libtest_mimic::{Arguments, Trial};

/// The cases wait for others most of the time.
const THREADS: usize = 4;
/// How much of a log is shown.
const LOG_LINES: usize = 20;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = arguments.test_threads.or(Some(THREADS));
    if arguments.list {
        return libtest_mimic::run(&arguments, trials(None)).exit_code();
    }
    // This thread starts all children, and outlives the tests.
    let folders = [(); 3].map(|()| tempfile::tempdir().expect("a folder for a lab"));
    let start = |folder: &tempfile::TempDir, policies: Option<&serde_json::Value>| {
        Arc::new(Lab::start_with(folder.path(), policies).expect("the lab starts"))
    };
    let tcp = topologies::policies().expect("free ports");
    let labs = [start(&folders[0], None), start(&folders[1], Some(&tcp)), start(&folders[2], None)];
    let conclusion = libtest_mimic::run(&arguments, trials(Some(&labs)));
    if conclusion.has_failed() {
        labs.iter().for_each(|lab| show_logs(lab.folder()));
        return conclusion.exit_code();
    }
    let is_whole = conclusion.num_filtered_out == 0 && conclusion.num_ignored == 0;
    match after_all(&labs[0], is_whole) {
        Ok(()) => conclusion.exit_code(),
        Err(error) => {
            eprintln!("after all cases: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What holds when all has been shown.
fn after_all(lab: &Lab, is_whole: bool) -> Result<()> {
    lab.is_spotless()?;
    let unused = lab.unused();
    ensure!(!is_whole || unused.is_empty(), "no case shows what these keys do: {unused:?}");
    Ok(())
}

fn show_logs(folder: &Path) {
    for name in ["control-plane", "envoy"] {
        let log = fs::read_to_string(folder.join(format!("{name}.log"))).unwrap_or_default();
        // Without the access log.
        let lines: Vec<&str> = log.lines().filter(|line| !line.starts_with('{')).collect();
        eprintln!("---- {name}\n{}", lines[lines.len().saturating_sub(LOG_LINES)..].join("\n"));
    }
}

macro_rules! cases {
    ($lab:expr, $($module:ident::$case:ident),+ $(,)?) => {
        vec![$(trial($lab, concat!(stringify!($module), "::", stringify!($case)), $module::$case)),+]
    };
}

/// The cases share the first lab; the others are for what needs one alone.
fn trials(labs: Option<&[Arc<Lab>; 3]>) -> Vec<Trial> {
    let [lab, alone, third] = labs.map_or([None, None, None], |labs| labs.each_ref().map(Some));
    let name = "topologies::envoy_takes_whatever_is_made_of_any_labels";
    let mut trials = vec![trial(alone, name, topologies::envoy_takes_whatever_is_made_of_any_labels)];
    let name = "agreement::what_is_said_of_a_request_is_what_envoy_does";
    trials.push(trial(third, name, agreement::what_is_said_of_a_request_is_what_envoy_does));
    trials.extend(policies_trials(labs.is_some()));
    trials.extend(cases![
        lab,
        matching::a_path_is_exact_a_prefix_of_segments_or_a_regular_expression,
        matching::an_exact_host_comes_before_a_wildcard_and_the_longer_one_first,
        matching::methods_choose,
        matching::headers_choose_by_value_presence_pattern_and_absence,
        matching::query_parameters_choose,
        matching::a_higher_priority_is_asked_first_and_more_matchers_before_fewer,
        matching::a_mistake_takes_out_one_route_and_the_last_good_one_stays,
        rewriting::the_matched_prefix_is_stripped,
        rewriting::the_matched_prefix_is_rewritten,
        rewriting::a_redirect_goes_to_https_to_a_host_or_to_a_url,
        rewriting::a_fixed_answer_needs_no_container,
        rewriting::headers_are_set_appended_and_removed,
        resilience::a_request_that_takes_too_long_is_ended,
        resilience::a_request_that_reached_nobody_is_tried_on_another_container,
        resilience::an_answer_is_tried_again_only_where_a_label_says_so,
        resilience::a_read_that_a_container_broke_off_is_tried_again_and_a_write_is_told,
        resilience::a_container_that_fails_again_and_again_is_left_alone,
        resilience::more_at_a_time_than_a_limit_allows_is_503,
        resilience::envoy_asks_for_health_as_well,
        resilience::dockers_word_on_health_counts_or_not,
        resilience::requests_are_spread_as_the_label_says,
        protocols::http_1_and_2_are_spoken_to_containers,
        protocols::https_is_spoken_to_a_container_with_any_certificate,
        protocols::grpc_passes_calls_and_streams,
        protocols::a_websocket_stays_open_beyond_the_time_of_a_request,
        protocols::tcp_is_told_to_need_an_entry_point,
        sharing::versions_share_by_weight_whatever_the_number_of_their_containers,
        sharing::a_weight_by_hand_wins_over_the_label_until_its_time_is_over_or_it_is_reset,
        sharing::a_dark_version_gets_nothing_and_one_that_is_away_gives_its_share,
        sharing::a_mirror_gets_copies_and_nobody_waits_for_it,
        sharing::a_sticky_client_stays_while_the_service_is_scaled,
        access::a_preflight_is_answered_and_other_origins_get_no_leave,
        access::more_requests_than_the_limit_are_429_and_say_when,
        access::addresses_are_allowed_and_denied,
        access::what_no_administrator_has_named_takes_the_route_out,
        access::answers_are_compressed_as_the_client_likes,
        access::a_connection_outlives_every_change_of_labels,
        access::a_larger_body_is_413_and_others_flow_through,
    ]);
    trials
}

macro_rules! alone {
    ($is_real:expr, $($module:ident::$case:ident),+ $(,)?) => {
        vec![$(alone($is_real, concat!(stringify!($module), "::", stringify!($case)), $module::$case)),+]
    };
}

/// What the policies file says goes for a whole edge: each of these has a lab of its own.
fn policies_trials(is_real: bool) -> Vec<Trial> {
    alone![
        is_real,
        policies::an_entry_point_is_opened_and_closed_while_all_runs,
        policies::a_mistake_leaves_the_last_good_policies_and_is_shown,
        policies::the_first_file_touches_no_connection_and_guards_those_from_before,
        policies::defaults_hold_where_no_label_says,
        policies::a_host_belongs_to_its_project,
        policies::requests_are_logged_as_the_administrator_wants,
        policies::envoy_holds_as_much_of_an_answer_as_the_administrator_says,
        secure::https_is_spoken_with_certificates_from_files_that_are_replaced_while_all_runs,
        secure::a_route_says_whether_it_wants_tls,
        secure::a_certificate_of_this_machine_is_made_and_trusted,
        secure::keys_are_shown_nowhere,
        logins::a_password_is_asked_for_and_a_new_one_is_taken_up,
        logins::another_service_is_asked_who_may_come,
        tokens::a_token_is_checked_and_new_keys_are_taken_up,
        tokens::a_connection_from_before_a_policy_is_asked_by_it_at_once,
        tokens::nobody_is_refused_while_the_rules_change_who_is_let_in_by_the_old_and_the_new,
        tokens::keys_are_asked_of_the_signer,
        tokens::keys_are_asked_by_https_of_who_can_prove_to_be_the_signer,
        tcp::connections_reach_a_service_and_outlive_what_does_not_concern_them,
        tcp::the_name_in_tls_chooses_the_service_and_nothing_else_is_read,
        tcp::envoy_ends_tls_with_the_certificates_of_the_entry_point,
        opening::why_says_of_a_connection_what_envoy_does,
        tcp::a_port_belongs_to_its_project,
        tcp::an_address_is_opened_as_another_protocol_and_back,
    ]
}

fn alone(is_real: bool, name: &str, case: fn(&Path) -> Result<()>) -> Trial {
    Trial::test(name, move || {
        if !is_real {
            return Ok(());
        }
        let folder = tempfile::tempdir()?;
        case(folder.path()).map_err(|error| {
            show_logs(folder.path());
            format!("{error:#}").into()
        })
    })
}

fn trial(lab: Option<&Arc<Lab>>, name: &str, case: fn(&Lab) -> Result<()>) -> Trial {
    let lab = lab.cloned();
    Trial::test(name, move || {
        let lab = lab.ok_or("no lab")?;
        case(&lab).map_err(|error| format!("{error:#}").into())
    })
}
