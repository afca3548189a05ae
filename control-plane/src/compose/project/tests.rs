//! Projects out of files that are given as text.

use std::io;
use std::path::Path;

use super::*;
use crate::compose::load::{Asked, load};

fn asked(names: &[&str]) -> Asked {
    let environment = [("TAG".to_owned(), "t".to_owned())].into_iter().collect();
    Asked { files: names.iter().map(PathBuf::from).collect(), environment, ..Asked::default() }
}

fn loaded(asked: &Asked, files: &[(&str, &str)]) -> Result<Loaded, Error> {
    load(asked, &|path: &Path| {
        let found = files.iter().find(|(name, _)| Path::new(name) == path);
        found.map(|(_, text)| (*text).to_owned()).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    })
}

fn project(files: &[(&str, &str)]) -> Project {
    let first = asked(&[files[0].0]);
    Project::of(&loaded(&first, files).unwrap()).unwrap()
}

fn labels(project: &Project, service: &str) -> Vec<String> {
    let labels = project.services[service].labels.iter();
    labels.map(|(key, label)| format!("{key}={}", label.value())).collect()
}

fn shown(place: &Place) -> String {
    let Span { start, end, line, column } = place.span;
    format!("{line}:{column} {}", &place.source.text[start..end])
}

#[test]
fn labels_as_a_map_and_as_a_list_have_places() {
    let project = project(&[(
        "s/compose.yml",
        "services:\n  web:\n    labels: {portolan.host: 'a.$TAG', n: 8080, e: }\n  api:\n    labels:\n      - \"portolan.host=b.${TAG}=\"\n      - portolan.x\n",
    )]);
    assert_eq!(labels(&project, "web"), ["e=", "n=8080", "portolan.host=a.t"]);
    assert_eq!(labels(&project, "api"), ["portolan.host=b.t=", "portolan.x="]);
    let host = &project.services["web"].labels["portolan.host"];
    assert_eq!((shown(&host.key), shown(&host.place)), ("3:14 portolan.host".into(), "3:29 'a.$TAG'".into()));
    assert_eq!(shown(&host.from(2).unwrap()), "3:32 $TAG");
    let host = &project.services["api"].labels["portolan.host"];
    assert_eq!(
        (shown(&host.key), shown(&host.place)),
        ("6:10 portolan.host".into(), "6:24 b.${TAG}=".into())
    );
    assert_eq!(shown(&host.from(3).unwrap()), "6:32 =");
    assert_eq!(project.name, "s");
    let web = &project.services["web"];
    assert_eq!(shown(&web.place), "2:3 web");
    assert_eq!(web.networks, [Network { key: "default".into(), name: "s_default".into() }]);
}

#[test]
fn a_later_file_is_laid_over_an_earlier_one() {
    let files = [
        (
            "a.yml",
            "name: shop\nservices:\n  web:\n    image: a\n    expose: [80]\n    labels: [x=1, y=1]\n    networks: [one]\n    healthcheck: {test: [CMD, a]}\n  old: {image: a, labels: {x: 1}, ports: ['1:1']}\nnetworks:\n  one: {name: the-one}\n",
        ),
        (
            "b.yml",
            "services:\n  web:\n    labels: {y: 2, z: 3}\n    expose: ['90-91/tcp']\n    networks: {two: {aliases: [w]}}\n    deploy: {replicas: 3}\n    healthcheck: {disable: true}\n  old: {labels: !override {z: 1}, ports: !reset []}\nnetworks:\n  two: {external: true}\n",
        ),
    ];
    let project = Project::of(&loaded(&asked(&["a.yml", "b.yml"]), &files).unwrap()).unwrap();
    assert_eq!(project.name, "shop");
    let web = &project.services["web"];
    assert_eq!(labels(&project, "web"), ["x=1", "y=2", "z=3"]);
    assert_eq!(web.labels["y"].place.source.path, Path::new("b.yml"));
    assert_eq!(web.ports.iter().copied().collect::<Vec<_>>(), [80, 90, 91]);
    let names: Vec<&str> = web.networks.iter().map(|network| network.name.as_str()).collect();
    assert_eq!(names, ["the-one", "two"]);
    assert_eq!((web.replicas, web.has_check), (3, false));
    assert_eq!(labels(&project, "old"), ["z=1"]);
    assert!(project.services["old"].ports.is_empty());
}

#[test]
fn anchors_merge_keys_and_extends_are_followed_to_where_the_label_stands() {
    let files = [
        (
            "d/compose.yml",
            "x-l: &l {portolan.host: a, portolan.port: 80}\nservices:\n  base:\n    profiles: [off]\n    labels: {<<: *l, portolan.host: b}\n  web:\n    extends: base\n    labels: [portolan.path=/x]\n  far:\n    extends: {file: ../c/common.yml, service: leaf}\n    labels: {own: 1}\n",
        ),
        (
            "d/../c/common.yml",
            "services:\n  root: {labels: {r: 1}}\n  leaf: {extends: {service: root}, labels: {l: 1}}\n",
        ),
    ];
    let project = project(&files);
    assert_eq!(labels(&project, "web"), ["portolan.host=b", "portolan.path=/x", "portolan.port=80"]);
    assert_eq!(shown(&project.services["web"].labels["portolan.port"].key), "1:28 portolan.port");
    assert_eq!(labels(&project, "far"), ["l=1", "own=1", "r=1"]);
    assert!(
        project.services["web"].is_active(&["off".to_owned()]) && !project.services["web"].is_active(&[])
    );
}

#[test]
fn includes_bring_their_services_and_their_variables() {
    let files = [
        (
            "compose.yml",
            "include:\n  - more/compose.yml\n  - path: [other.yml]\n    env_file: other.env\nservices:\n  web: {labels: {a: 1}}\n",
        ),
        ("more/compose.yml", "services:\n  more: {labels: {v: '${V:-none}'}}\n"),
        ("more/.env", "V=of more\n"),
        ("other.yml", "services:\n  other: {labels: {v: '${V:-none}'}}\n"),
        ("other.env", "V='of other'\n"),
    ];
    let project = project(&files);
    assert_eq!(labels(&project, "more"), ["v=of more"]);
    assert_eq!(labels(&project, "other"), ["v=of other"]);
    let twice = ("more/compose.yml", "services:\n  web: {labels: {a: 2}}\n");
    let error = loaded(&asked(&["compose.yml"]), &[files[0], twice, files[3], files[4]]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "compose.yml:6:3: services.web stands in more/compose.yml too, which is included here"
    );
}

#[test]
fn what_is_no_project_is_told_with_its_place() {
    for (text, expected) in [
        ("services: [web]", "1:11: services must be a map"),
        ("- a", "1:1: a Compose file is a map"),
        ("services: {web: }", "1:12: the service web must be a map"),
        ("services: {web: {labels: {a: [1]}}}", "1:30: the value of the label a must be text"),
        ("services: {web: {labels: a}}", "1:26: labels are a map, or a list"),
        ("services: {a: {extends: b}}", "1:25: there is no service \"b\" in c.yml"),
        ("services: {a: {extends: {service: b, file: no.yml}}}", "1:25: cannot read no.yml"),
        (
            "services: {a: {extends: b}, b: {extends: a}}",
            "1:25: the service a extends itself: a extends b extends a",
        ),
        ("services: {web: {deploy: {replicas: two}}}", "1:37: the number of replicas is not a number"),
        ("services: {web: {<<: 1}}", "1:22: << must be followed by a map"),
        ("include: [no.yml]", "1:11: cannot read no.yml"),
        ("services:\n  a: {x: 1\n", "2:6"),
    ] {
        let found = loaded(&asked(&["c.yml"]), &[("c.yml", text)]).and_then(|loaded| Project::of(&loaded));
        let told = found.unwrap_err().to_string();
        assert!(told.starts_with(&format!("c.yml:{expected}")), "{text:?}: {told}");
    }
}

#[test]
fn what_compose_prints_stands_and_the_files_say_where() {
    let text = "services:\n  web:\n    labels: ['a=$$x', b=2]\n    ports: ['8080:80']\n";
    let loaded = loaded(&asked(&["p/c.yml"]), &[("p/c.yml", text)]).unwrap();
    let printed = serde_json::json!({
        "name": "shop",
        "services": {"web": {
            "labels": {"a": "$$x", "b": "3", "c": "4"},
            "networks": {"default": null},
            "ports": [{"mode": "ingress", "target": 80, "published": "8080", "protocol": "tcp"}]
        }},
        "networks": {"default": {"name": "shop_default"}}
    });
    let project = Project::as_compose_has_it(&printed, &loaded).unwrap();
    let web = &project.services["web"];
    assert_eq!(labels(&project, "web"), ["a=$x", "b=3", "c=4"]);
    assert_eq!(shown(&web.labels["a"].from(1).unwrap()), "3:19 x");
    assert_eq!(shown(&web.labels["b"].place), "3:25 2");
    assert_eq!(
        (web.ports.iter().copied().collect::<Vec<_>>(), web.networks[0].name.as_str()),
        (vec![80], "shop_default")
    );
}

/// As compose-go 2.4 reads them (`WithServicesLabelsResolved`, package `dotenv`).
#[test]
fn labels_of_label_files_lie_below_those_that_stand_in_the_service() {
    let project = project(&[
        (
            "s/compose.yml",
            "include: [api/compose.yml]\nservices:\n  one:\n    label_file: a.labels\n    labels: {b: own, empty: }\n  two:\n    label_file: [a.labels, ../b.labels]\n  three:\n    extends: {file: base/base.yml, service: base}\n    label_file: ../b.labels\n  none: {label_file: [], labels: {x: y}}\n",
        ),
        (
            "s/a.labels",
            "# a\na=1\nb = two words # and a comment\nexport empty=no\nq=\"a \\\"q\\\" \\\\ $$ \\$a ${a}\"\ns='$a \\n'\nmade=${a}-$b-${no:-d}\ntwice=1\ntwice=2\ny: z\n",
        ),
        ("s/../b.labels", "b=later\nof-a=${a:-none}\nlong=\"two\nlines\"\n"),
        ("s/base/base.yml", "services:\n  base:\n    label_file: base.labels\n    labels: {own: base}\n"),
        ("s/base/base.labels", "own=file\nb=base\nbase=yes\n"),
        ("s/api/compose.yml", "services:\n  api: {label_file: api.labels}\n"),
        ("s/api/api.labels", "portolan.host=api.localhost\n"),
    ]);
    let of_a = ["made=1-two words-d", "q=a \"q\" \\ $ $a 1", "s=$a \\n", "twice=2", "y=z"];
    assert_eq!(labels(&project, "one"), [&["a=1", "b=own", "empty="], &of_a[..]].concat());
    assert_eq!(
        labels(&project, "two"),
        [
            "a=1",
            "b=later",
            "empty=no",
            "long=two\nlines",
            of_a[0],
            "of-a=1",
            of_a[1],
            of_a[2],
            "twice=2",
            "y=z"
        ]
    );
    assert_eq!(
        labels(&project, "three"),
        ["b=later", "base=yes", "long=two\nlines", "of-a=none", "own=base"]
    );
    assert_eq!(labels(&project, "none"), ["x=y"]);
    let host = &project.services["api"].labels["portolan.host"];
    assert_eq!(
        (shown(&host.key), shown(&host.place), host.place.source.path.as_path()),
        ("1:1 portolan.host".into(), "1:15 api.localhost".into(), Path::new("s/api/api.labels"))
    );
}
