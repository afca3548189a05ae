use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::*;

/// What is said of a file with mistakes in it.
fn told(text: &str) -> Vec<String> {
    parse(text).unwrap_err().iter().map(ToString::to_string).collect()
}

#[test]
fn a_file_that_says_nothing_is_as_none() {
    for text in
        ["", "# nothing\n", "{}", "entry-points: {}\n", "entry-points: { web: {} }\naccess-log: json\n"]
    {
        assert_eq!(parse(text).unwrap(), Policies { is_given: true, ..Policies::default() }, "{text:?}");
    }
}

#[test]
fn every_word_is_read() {
    let policies = parse(
        "entry-points:\n  web: { published: 80 }\n  in: { listen: \"[::]:9000\", published: 90 }\nprojects:\n  shop: { hosts: [A.test, \"*.b.test\", \"*\"] }\ndefaults: { compress: true, max-connections: 7, timeout: 1m, response-header.x-a: b }\naccess-log: text\nbuffers: 64KiB\n",
    )
    .unwrap();
    assert_eq!(policies.entry_points["in"].listen, Some("[::]:9000".parse().unwrap()));
    assert_eq!(policies.entry_points["in"].port(), Some(90));
    assert_eq!(&**policies.entry_at(false, Some(90)), "in");
    assert_eq!(&**policies.entry_at(false, Some(80)), WEB);
    assert_eq!(&**policies.entry_at(true, None), WEB, "there is no other");
    assert_eq!(
        policies.projects["shop"].iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["a.test", "*.b.test", "*"]
    );
    assert_eq!(policies.defaults["max-connections"], "7");
    assert_eq!(policies.access_log, AccessLog::Text);
    assert_eq!(policies.buffer_bytes, 65_536);
}

#[test]
fn every_mistake_is_told_with_its_place_and_what_to_write() {
    for (text, wanted) in [
        ("entry-points: { in: {} }", "1:21: the entry point in does not say where it listens; say where"),
        (
            "entry-points:\n  a: { listen: \"0.0.0.0:1\" }\n  b: { listen: \"0.0.0.0:1\" }",
            "3:6: the entry points a and b both listen on 0.0.0.0:1; give each",
        ),
        (
            "entry-points: { \"a b\": { listen: \"0.0.0.0:1\" } }",
            "\"a b\" cannot be the name of an entry point; write letters",
        ),
        ("entry-points: { web: { listen: \"0.0.0.0:1\" } }", "web listens where --edge-listen says; remove"),
        ("entry-points: { in: { listen: \"0.0.0.0:0\" } }", "the entry point in has port 0; write"),
        ("entry-points: { in: { listen: there } }", "1:31: "),
        (
            "projects:\n  shop:\n    hosts: [a.test, \"https://b.test\"]",
            "3:21: \"https://b.test\" is a URL or has a path; write the host \"b.test\" alone",
        ),
        ("buffers: 64", "1:10: buffers of \"64\": a size has a unit; write a size from 4KiB to 64MiB"),
        ("buffers: 1KiB", "1:10: buffers of \"1KiB\": no connection works well with it; write"),
        ("buffers: 1GiB", "1:10: buffers of \"1GiB\": no connection works well with it; write"),
        ("projects: { shop: {} }", "1:19: nothing is said to be shop's; list its hosts, or its entry points"),
        (
            "projects: { shop: { listen: [db] } }",
            "1:30: there is no entry point \"db\"; name an entry point that has protocol: tcp",
        ),
        (
            "projects: { shop: { listen: [web] } }",
            "1:30: the entry point web carries HTTP; name an entry point that has protocol: tcp",
        ),
        (
            "defaults: { host: a }",
            "defaults.host: host is for a container to say, and for no other; write one of listen, tls",
        ),
        (
            "defaults: { tiemout: 1s }",
            "defaults.tiemout: there is no key \"tiemout\"; did you mean defaults.timeout?",
        ),
        ("defaults: { timeout: soon }", "defaults.timeout: it is not a duration; write"),
        ("defaults: { listen: other }", "defaults.listen: there is no entry point \"other\"; write web"),
        (
            "entry-points: { in: { listen: \"0.0.0.0:1\", tls: site } }",
            "1:49: there is no certificate \"site\"; add it: there is no certificate in this file",
        ),
        (
            "entry-points: { web: { redirect: web } }",
            "1:34: there is no entry point \"web\" that speaks TLS; name one that has tls",
        ),
        (
            "certificates: { a: { chain: a, key: b } }\nentry-points: { web: { tls: a, redirect: web } }",
            "the entry point web speaks TLS itself; remove",
        ),
        ("certificates: { a: { chain: a } }", "missing field `key`"),
        ("certificates: { auto: { chain: a, key: b } }", "auto means something else to tls; choose"),
        ("auth: { a: { forward: { to: nowhere } } }", "to: \"nowhere\" is not HOST:PORT"),
        ("auth: { a: { forward: { to: \"a:1\", path: x } } }", "\"x\" is not a path; write"),
        ("auth: { off: { basic: { users: a } } }", "off means something else to the label auth"),
        ("auth: { a: { basic: {} } }", "missing field `users`"),
        ("auth: { a: { jwt: { issuer: i, audiences: a } } }", "missing field `keys`"),
        ("auth: { a: { jwt: { issuer: i, keys: k } } }", "missing field `audiences`"),
        (
            "auth: { a: { jwt: { issuer: i, audiences: [], keys: k } } }",
            "a token is asked for who signed it and whom it is for; write what its iss and aud say",
        ),
        (
            "auth: { a: { jwt: { issuer: i, audiences: a, keys: \"ftp://i/k\" } } }",
            "keys: Envoy cannot ask by ftp; write https:// or http://",
        ),
        (
            "auth: { a: { jwt: { issuer: i, audiences: a, keys: \"http://i/k\", ca: ca.pem } } }",
            "ca: nobody shows a certificate but who is asked for keys by https; remove ca, or write",
        ),
        (
            "auth: { a: { jwt: { issuer: i, audiences: a, keys: k, headers: { X-User: sub } } } }",
            "\"X-User\" is no header that a claim can be said in; write one in small letters",
        ),
        ("auth: { a: { token: {} } }", "unknown variant `token`"),
        (
            "entry-points: { web: { protocol: tcp } }",
            "web carries HTTP: the dashboard is there; give TCP an entry point of its own",
        ),
        (
            "entry-points: { in: { listen: \"0.0.0.0:1\", tls: passthrough } }",
            "1:49: HTTP that nobody decrypts cannot be routed; add protocol: tcp, or name",
        ),
        (
            "entry-points: { in: { listen: \"0.0.0.0:1\", protocol: tcp, tls: site } }",
            "there is no certificate \"site\"; add it",
        ),
        (
            "entry-points: { in: { listen: \"0.0.0.0:1\", protocol: tcp, redirect: in } }",
            "a connection cannot be sent elsewhere; remove redirect",
        ),
        (
            "entry-points: { web: { redirect: in }, in: { listen: \"0.0.0.0:1\", protocol: tcp, tls: passthrough } }",
            "there is no entry point \"in\" that speaks TLS",
        ),
        ("entry-points: { in: { listen: \"0.0.0.0:1\", protocol: udp } }", "unknown variant `udp`"),
        (
            "defaults: { listen: in }\nentry-points: { in: { listen: \"0.0.0.0:1\", protocol: tcp } }",
            "defaults.listen: the entry point in carries TCP",
        ),
        (
            "certificates: { passthrough: { chain: a, key: b } }",
            "passthrough means something else to tls; choose",
        ),
        ("access-log: xml", "1:13: unknown variant `xml`"),
        ("entry-point: {}", "unknown field `entry-point`"),
        ("entry-points: [", ""),
        ("just words", ""),
    ] {
        let told = told(text);
        assert!(told.iter().any(|told| told.contains(wanted)), "{text:?}: {told:?}");
    }
    assert_eq!(
        told("projects: { a: { hosts: [\"/\"] }, b: { hosts: [\"\"] } }\ndefaults: { timeout: x }").len(),
        3
    );
}

const SECURE: &str = "certificates: { site: { chain: site.crt, key: site.key } }\nentry-points:\n  web: { redirect: tls }\n  tls: { listen: \"0.0.0.0:8443\", published: 443, tls: site }\n  other: { listen: \"0.0.0.0:9443\", tls: [site] }\n  plain: { listen: \"0.0.0.0:9000\" }\n";

#[test]
fn what_goes_to_tls_is_known_by_scheme_and_port() {
    let policies = parse(SECURE).unwrap();
    assert_eq!(policies.home(), "tls");
    for (secure, port, entry) in [
        (false, None, "web"),
        (false, Some(9_000), "plain"),
        (false, Some(8_080), "web"),
        (true, None, "tls"),
        (true, Some(9_443), "other"),
    ] {
        assert_eq!(&**policies.entry_at(secure, port), entry, "{secure} {port:?}");
    }
    assert_eq!(policies.port_between("web", "tls"), None, "no client writes these");
    assert_eq!(policies.port_between("web", "other"), Some(9_443));
    assert_eq!(
        policies.port_between("plain", "tls"),
        Some(443),
        "else Envoy keeps the port of the plain one"
    );
}

#[test]
fn a_certificate_is_taken_up_when_it_is_whole_and_the_last_good_one_stands() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("portolan.yaml"), SECURE).unwrap();
    let mut file = PoliciesFile::open(path("portolan.yaml")).unwrap();
    let states = file.subscribe();
    let state = || {
        let state = states.borrow();
        let problems: Vec<String> = state.problems.iter().map(ToString::to_string).collect();
        (state.policies.certificates["site"].pair.clone(), problems.join("\n"))
    };
    let (none, told) = state();
    assert!(none.is_none() && told.contains("the certificate site: cannot read"), "{told}");
    let pairs = [(); 2].map(|()| rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap());
    std::fs::write(path("site.crt"), pairs[0].cert.pem()).unwrap();
    std::fs::write(path("site.key"), pairs[0].signing_key.serialize_pem()).unwrap();
    file.look();
    let (first, told) = state();
    assert_eq!((first.as_ref().map(|pair| &*pair.chain), &*told), (Some(&*pairs[0].cert.pem()), ""));
    // One file after the other, as most programs write them.
    std::fs::write(path("site.crt"), pairs[1].cert.pem()).unwrap();
    file.look();
    let (still, told) = state();
    assert!(
        still == first
            && told.contains("is not that of the certificate")
            && told.contains("the last good one stands"),
        "{told}"
    );
    std::fs::write(path("site.key"), pairs[1].signing_key.serialize_pem()).unwrap();
    file.look();
    let (second, told) = state();
    assert_eq!((second.map(|pair| pair.chain.to_string()), &*told), (Some(pairs[1].cert.pem()), ""));
    assert!(!format!("{:?}", states.borrow()).contains("PRIVATE KEY"));
}

#[test]
fn users_are_taken_up_and_a_faulty_file_leaves_the_last_good_ones() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("portolan.yaml"), "auth: { staff: { basic: { users: staff } } }").unwrap();
    let mut file = PoliciesFile::open(path("portolan.yaml")).unwrap();
    let states = file.subscribe();
    let state = || {
        let state = states.borrow();
        let problems: Vec<String> = state.problems.iter().map(ToString::to_string).collect();
        (state.policies.auth["staff"].is_ready(), problems.join("\n"))
    };
    let (is_ready, told) = state();
    assert!(
        !is_ready
            && told.contains("the policy staff: cannot read")
            && told.contains("what it guards is closed"),
        "{told}"
    );
    std::fs::write(path("staff"), "ann:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n").unwrap();
    file.look();
    assert_eq!(state(), (true, String::new()));
    std::fs::write(path("staff"), "ann:swordfish\n").unwrap();
    file.look();
    let (is_ready, told) = state();
    assert!(is_ready && told.contains("the last good ones stand") && !told.contains("swordfish"), "{told}");
    assert!(!format!("{:?}", states.borrow()).contains("W6ph5"));
}

#[test]
fn a_port_that_is_open_to_others_is_a_problem_where_there_is_a_secret() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("portolan.yaml"), "auth: { staff: { basic: { users: staff } } }").unwrap();
    std::fs::write(path("staff"), "ann:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n").unwrap();
    let told = |file: &PoliciesFile| -> Vec<String> {
        file.subscribe().borrow().problems.iter().map(ToString::to_string).collect()
    };
    let open = || PoliciesFile::open(path("portolan.yaml")).unwrap();
    assert_eq!(told(&open()), [""; 0]);
    let mut file = open().exposed(Some(Exposure::Published([0, 0, 0, 0].into())));
    assert_eq!(
        told(&file),
        [
            "portolan.yaml: it has hashes of passwords, which go to Envoy over xDS, to whoever asks as Envoy does; and that port is published at 0.0.0.0 (--published); publish it on loopback (127.0.0.1:18000:18000, in compose.yml ADMIN_BIND=127.0.0.1), or on an address that Envoy alone reaches, and see that nobody else does"
        ]
    );
    std::fs::write(path("portolan.yaml"), SECURE).unwrap();
    file.look();
    assert!(!told(&file).iter().any(|told| told.contains("published")), "no key could be read");
    let pair = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap();
    std::fs::write(path("site.crt"), pair.cert.pem()).unwrap();
    std::fs::write(path("site.key"), pair.signing_key.serialize_pem()).unwrap();
    file.look();
    assert!(told(&file).concat().starts_with("portolan.yaml: it has private keys, "), "{:?}", told(&file));
    std::fs::write(path("portolan.yaml"), "defaults: { timeout: 1s }").unwrap();
    file.look();
    assert_eq!(told(&file), [""; 0], "there is no secret");
}

#[tokio::test]
async fn a_file_is_followed_and_a_mistake_leaves_the_last_good_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("portolan.yaml");
    let missing = PoliciesFile::open(path.clone()).unwrap_err().to_string();
    assert!(missing.contains("cannot read the policies file"), "{missing}");
    std::fs::write(&path, "defaults: { timeout: x }").unwrap();
    let faulty = PoliciesFile::open(path.clone()).unwrap_err().to_string();
    assert!(faulty.contains("portolan.yaml:1:22: defaults.timeout: it is not a duration"), "{faulty}");

    std::fs::write(&path, "defaults: { timeout: 1s }").unwrap();
    let file = PoliciesFile::open(path.clone()).unwrap();
    let mut states = file.subscribe();
    let stop = CancellationToken::new();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(file.run(stop.clone()));
    let until = async |states: &mut PoliciesReceiver, problems: usize, timeout: &str| {
        let there = states.wait_for(|state| {
            state.problems.len() == problems
                && state.policies.defaults.get("timeout").is_some_and(|is| is == timeout)
        });
        tokio::time::timeout(Duration::from_secs(20), there).await.unwrap().unwrap().clone()
    };
    until(&mut states, 0, "1s").await;
    std::fs::write(&path, "defaults: { timeout: x, retries: y }").unwrap();
    let state = until(&mut states, 2, "1s").await;
    let told: Vec<String> = state.problems.iter().map(ToString::to_string).collect();
    assert!(told[0].starts_with("portolan.yaml: line 1, column 34: defaults.retries: "), "{told:?}");
    std::fs::remove_file(&path).unwrap();
    let state = until(&mut states, 1, "1s").await;
    assert!(state.problems[0].reason.contains("cannot be read"), "{:?}", state.problems);
    std::fs::write(&path, "defaults: { timeout: 2s }").unwrap();
    until(&mut states, 0, "2s").await;
    stop.cancel();
    tasks.join_next().await.unwrap().unwrap().unwrap();
}
