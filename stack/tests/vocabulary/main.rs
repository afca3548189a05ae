//! The label vocabulary through a real Envoy: a control plane that follows a services file, one Envoy, small web servers,
//! and a case for every key. The cases share the lab; each has hosts of its own.
#![allow(unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::needless_pass_by_value)]

mod lab;
mod matching;
mod rewriting;
mod upstream;

use std::fs;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
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
    let folder = tempfile::tempdir().expect("a folder for the lab");
    let lab = Arc::new(Lab::start(folder.path()).expect("the lab starts"));
    let conclusion = libtest_mimic::run(&arguments, trials(Some(&lab)));
    if conclusion.has_failed() {
        for name in ["control-plane", "envoy"] {
            let log = fs::read_to_string(lab.folder().join(format!("{name}.log"))).unwrap_or_default();
            let lines: Vec<&str> =
                log.lines().filter(|line| !line.starts_with("{\"time\"") || name != "envoy").collect();
            eprintln!("---- {name}\n{}", lines[lines.len().saturating_sub(LOG_LINES)..].join("\n"));
        }
    }
    drop(lab);
    conclusion.exit_code()
}

macro_rules! cases {
    ($lab:expr, $($module:ident::$case:ident),+ $(,)?) => {
        vec![$(trial($lab, concat!(stringify!($module), "::", stringify!($case)), $module::$case)),+]
    };
}

fn trials(lab: Option<&Arc<Lab>>) -> Vec<Trial> {
    cases![
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
    ]
}

fn trial(lab: Option<&Arc<Lab>>, name: &str, case: fn(&Lab) -> Result<()>) -> Trial {
    let lab = lab.cloned();
    Trial::test(name, move || {
        let lab = lab.ok_or("no lab")?;
        case(&lab).map_err(|error| format!("{error:#}").into())
    })
}
