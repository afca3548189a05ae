use super::*;
use crate::dashboard::picture::Picture;
use crate::dashboard::site::tests::picture;

fn lines(lines: &[Line]) -> Vec<(usize, usize)> {
    lines.iter().map(|line| ((line.from - ROW / 2) / ROW, (line.to - ROW / 2) / ROW)).collect()
}

fn map(services: &str) -> (Picture, Map) {
    let picture = picture(services);
    let map = Map::of(&picture);
    (picture, map)
}

#[test]
fn lines_lead_from_a_host_over_its_routes_to_every_endpoint() {
    let (_, map) = map(r#"
        web: {labels: {portolan.host: "a.localhost, b.localhost"}, endpoints: ["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"]}
        api: {labels: {portolan.host: a.localhost, portolan.path: /api}, endpoints: ["127.0.0.1:4"]}"#);
    let names = |column: &[Option<MemberCard>]| -> Vec<String> {
        column
            .iter()
            .map(|card| card.as_ref().map_or("", |card| &card.member.as_ref().unwrap().container).to_owned())
            .collect()
    };
    // api comes first: a.localhost asks its longer path before the other.
    assert_eq!(names(&map.members), ["api-1", "web-1", "web-2", "web-3"]);
    assert_eq!(lines(&map.member_lines), [(0, 0), (2, 1), (2, 2), (2, 3)]);
    assert_eq!(lines(&map.route_lines), [(0, 0), (1, 2), (2, 2)]);
    assert_eq!(lines(&map.host_lines), [(0, 0), (0, 1), (2, 2)]);
    assert_eq!((map.rows, map.height), (4, 4 * ROW));
}

#[test]
fn every_line_begins_and_ends_at_a_card() {
    let (_, map) = map(r#"
        a: {labels: {portolan.host: "x.localhost, y.localhost, z.localhost, *.localhost"}, endpoints: []}
        b: {labels: {portolan.host: "y.localhost", portolan.path: /b}, endpoints: ["127.0.0.1:1", "127.0.0.1:2"]}
        c: {labels: {portolan.host: "x.localhost", portolan.path: "~/c"}, endpoints: ["127.0.0.1:3"]}"#);
    let has = |column: Vec<bool>, row: usize| column.get(row).copied().unwrap_or(false);
    let cards = || {
        let of = |flags: &mut dyn Iterator<Item = bool>| flags.collect::<Vec<bool>>();
        [
            of(&mut map.hosts.iter().map(Option::is_some)),
            of(&mut map.routes.iter().map(Option::is_some)),
            of(&mut map.services.iter().map(Option::is_some)),
            of(&mut map.members.iter().map(Option::is_some)),
        ]
    };
    for (between, all) in [&map.host_lines, &map.route_lines, &map.member_lines].into_iter().enumerate() {
        assert!(!all.is_empty());
        for (from, to) in lines(all) {
            assert!(
                has(cards()[between].clone(), from) && has(cards()[between + 1].clone(), to),
                "{between}: {from} {to}"
            );
        }
    }
}

#[test]
fn of_many_endpoints_those_that_need_a_look_are_drawn_and_the_rest_is_counted() {
    let mut endpoints: Vec<String> = (1..=20).map(|port| format!("\"127.0.0.1:{port}\"")).collect();
    endpoints.push("{address: \"127.0.0.1:21\", name: ill, health: unhealthy}".to_owned());
    let (_, map) =
        map(&format!("  web: {{labels: {{portolan.host: a}}, endpoints: [{}]}}", endpoints.join(", ")));
    let cards: Vec<&MemberCard> = map.members.iter().flatten().collect();
    assert_eq!(cards.len(), MEMBERS);
    assert_eq!(cards[0].member.as_ref().unwrap().container, "ill");
    assert_eq!(cards[MEMBERS - 1].more, 21 - (MEMBERS - 1));
}
