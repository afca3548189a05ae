use super::super::missing::tests::{absent, endpoint};
use super::*;
use pb::absent::Reason;

fn view() -> pb::GetViewResponse {
    let service = |name: &str, endpoints: Vec<pb::Endpoint>, absent: Vec<pb::Absent>| pb::Service {
        name: name.to_owned(),
        endpoints,
        absent,
        ..Default::default()
    };
    pb::GetViewResponse {
        snapshot_version: "0123456789abcdef".to_owned(),
        services: vec![
            service(
                "shop/web",
                vec![endpoint("web-1", EndpointState::Ready), endpoint("web-2", EndpointState::Ready)],
                vec![],
            ),
            service(
                "shop/api",
                vec![endpoint("api-1", EndpointState::Ready)],
                vec![absent("api-2", Reason::Starting)],
            ),
            service("shop/pay", vec![endpoint("pay-1", EndpointState::Draining)], vec![]),
        ],
        problems: vec![pb::Problem { message: "db-1: \u{1b}no".to_owned(), ..Default::default() }],
        age: Some(prost_types::Duration { seconds: 7, nanos: 0 }),
        ..Default::default()
    }
}

fn client() -> pb::Client {
    pb::Client {
        node: "edge".to_owned(),
        agent: "envoy 1.40.0".to_owned(),
        peer: "10.0.0.9:1".to_owned(),
        state: State::Behind.into(),
        lag: Some(prost_types::Duration { seconds: 0, nanos: 12_000_000 }),
        types: vec![pb::ClientType {
            r#type: "endpoint".to_owned(),
            newest: "bbbbbbbbbbbb".to_owned(),
            acknowledged: "aaaaaaaaaaaa".to_owned(),
            resources: 5,
            resources_acknowledged: 4,
            ..Default::default()
        }],
        refusals: vec![pb::Refusal {
            r#type: "cluster".to_owned(),
            name: "shop/web".to_owned(),
            reason: "no".to_owned(),
        }],
        ..Default::default()
    }
}

#[test]
fn everything_is_on_one_screen() {
    let plain = |text: &str| anstream::adapter::strip_str(text).to_string();
    assert_eq!(
        plain(&screen("127.0.0.1:18000", &view(), &[client()])),
        "\
Control plane  127.0.0.1:18000 is ready: the view was confirmed 7 s ago, version 01234567

Envoys
  ! edge is behind, 12 ms  envoy 1.40.0 from 10.0.0.9:1
      endpoint  4 of 5  has aaaaaaaa, the newest is bbbbbbbb
      refuses cluster shop/web: no

Services
  ✓ shop/web  2 of 2 ready
  ! shop/api  1 of 2 ready  api-2 is absent
  ✗ shop/pay  0 of 1 ready  pay-1 is draining

Problems
  ✗ db-1: \\u{1b}no
"
    );
    let nothing = pb::GetViewResponse { stale: true, ..Default::default() };
    let text = plain(&screen("a:1", &nothing, &[]));
    for words in ["is not ready: the view is one of an earlier run", "none is connected", "no container asks"]
    {
        assert!(text.contains(words), "{words}: {text}");
    }
}

#[test]
fn a_program_gets_the_same() {
    let value = as_json(&view(), &[client()]);
    assert_eq!(value["services"][1], json!({ "name": "shop/api", "ready": 1, "total": 2 }));
    assert_eq!((&value["ready"], &value["age_seconds"]), (&json!(true), &json!(7.0)));
    assert_eq!(
        (&value["clients"][0]["lag_ms"], &value["clients"][0]["state"]),
        (&json!(12), &json!("behind"))
    );
    assert_eq!(value["clients"][0]["types"][0]["resources_acknowledged"], 4);
}
