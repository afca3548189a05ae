use super::*;

const TEXT: &str = "# ä first
services:
  web: &web   # on the right
    labels:
      portolan.host: \"a.ö\"
      'portolan.path': ~^/ü$ # last
    ports: [80, *port]
    note: |
      two
      lines

  # before api
  api: *web
";

fn file() -> File {
    parse(&TEXT.replace(", *port", "")).unwrap()
}

fn written(text: &str, span: Span) -> &str {
    &text[span.start..span.end]
}

#[test]
fn every_part_knows_where_it_stands() {
    let text = TEXT.replace(", *port", "");
    let file = file();
    let web = file.documents[0].get("services").unwrap().get("web").unwrap();
    let labels = web.get("labels").unwrap();
    let host = &labels.entries()[0];
    assert_eq!(written(&text, host.key.span), "portolan.host");
    assert_eq!(written(&text, host.value.span), "\"a.ö\"");
    assert_eq!((host.value.span.line, host.value.span.column), (5, 22));
    let path = &labels.entries()[1];
    assert_eq!(written(&text, path.key.span), "'portolan.path'");
    assert_eq!(written(&text, path.value.span), "~^/ü$");
    assert_eq!(written(&text, labels.span).lines().last().unwrap().trim(), "'portolan.path': ~^/ü$");
    assert_eq!(written(&text, web.get("ports").unwrap().span), "[80]");
    let comments: Vec<&str> = file.comments.iter().map(|span| written(&text, *span)).collect();
    assert_eq!(comments, ["# ä first", "# on the right", "# last", "# before api"]);
    let api = file.documents[0].get("services").unwrap().get("api").unwrap();
    assert_eq!(written(&text, api.span), "*web");
    assert_eq!(api.get("note").unwrap().text().unwrap(), "two\nlines\n");
}

#[test]
fn a_byte_of_a_value_is_found_in_the_file_where_it_is_written_as_it_is_meant() {
    let text = r#"{a: plain, b: "dou\"ble", c: 'single', d: "é\n"}"#;
    let file = parse(text).unwrap();
    let at = |key: &str, place| {
        let found = file.documents[0].get(key).unwrap().byte_of(place, text);
        found.map(|byte| text[byte..].chars().next().unwrap())
    };
    assert_eq!(at("a", 2), Some('a'));
    assert_eq!(at("b", 3), Some('\\'));
    assert_eq!(at("b", 5), None, "after an escape");
    assert_eq!(at("c", 5), Some('e'));
    assert_eq!(at("d", 2), Some('\\'));
    assert_eq!(at("a", 9), None);
}

#[test]
fn what_is_no_yaml_is_told_with_its_place() {
    for (text, expected) in [
        ("a: [1", "1:4: unclosed bracket"),
        ("a: 1\nb:\n  - c\n d: 2\n", "4:2"),
        ("labels:\n  a: 1\n  b: 2\n  a: 3\n", "4:3: the key \"a\" stands twice: it is on line 2 already"),
        ("a: *nothing", "1:4"),
        ("a: &x [*x]", "1:8: the alias stands within what it stands for"),
    ] {
        let told = parse(text).unwrap_err().to_string();
        assert!(told.starts_with(expected), "{text:?}: {told}");
    }
}

#[test]
fn a_file_may_have_no_document_or_several() {
    assert!(parse("# nothing\n").unwrap().documents.is_empty());
    assert_eq!(parse("a: 1\n---\nb: 2\n").unwrap().documents.len(), 2);
    assert_eq!(parse("<<: {a: 1}\nb: 2\n").unwrap().documents[0].entries().len(), 2);
}
