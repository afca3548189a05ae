//! Recordings that are not whole, or none.

use portolan::recording::{self, Outcome, Target};

use crate::plane::{Plane, envoy, is_ready, live_through, publisher, web};
use crate::support::living::Living;

#[tokio::test]
async fn a_recording_that_is_full_ends_and_what_is_served_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Living::at(&folder.path().join("docker.sock"), vec![envoy(), web(1, "10.0.0.3")]);
    let mut plane = Plane::start(folder.path(), publisher(), 4_096);
    plane.until(|view| is_ready(view, "10.0.0.3")).await;
    for number in 2..12 {
        let address = format!("10.0.1.{number}");
        engine.start(web(number, &address));
        plane.until(|view| is_ready(view, &address)).await;
    }
    let (path, _) = plane.stop().await;
    assert!(std::fs::metadata(&path).unwrap().len() <= 4_096);
    let recording = recording::read(&path).unwrap();
    assert_eq!(recording.notes, ["it ends where it was as large as --record-limit let it be"]);
    let replay = recording::replay(&recording, None).unwrap();
    assert!(replay.difference().is_none() && replay.snapshot().is_some(), "{replay:?}");
    // The next one finds no room, and says so before anything is served.
    let target = Target { folder: folder.path().join("recording"), limit: 4_096 };
    let error = target.open(publisher().settings()).unwrap_err().to_string();
    assert!(error.contains("raise --record-limit"), "{error}");
}

#[tokio::test]
async fn a_recording_whose_last_line_is_cut_off_is_played_without_it() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = live_through(folder.path(), publisher()).await;
    let whole = std::fs::read_to_string(&path).unwrap();
    let lines = whole.lines().count();
    for cut in [whole.len() - 1, whole.len() - 20, whole.len() / 2] {
        std::fs::write(&path, &whole[..cut]).unwrap();
        let recording = recording::read(&path).unwrap();
        assert!(recording.notes[0].contains("last line is cut off"), "{:?}", recording.notes);
        assert!(recording.notes[1].contains("it has no end"), "{:?}", recording.notes);
        let replay = recording::replay(&recording, None).unwrap();
        assert!(replay.difference().is_none() && replay.steps.len() < lines, "{replay:?}");
    }
}

#[tokio::test]
async fn a_recording_from_which_something_is_missing_is_not_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = live_through(folder.path(), publisher()).await;
    let whole = std::fs::read_to_string(&path).unwrap();
    let without: Vec<&str> = whole.lines().filter(|line| !line.contains(r#""kill":"TERM""#)).collect();
    assert_eq!(without.len() + 1, whole.lines().count());
    std::fs::write(&path, without.join("\n") + "\n").unwrap();
    let replay = recording::replay(&recording::read(&path).unwrap(), None).unwrap();
    let difference = replay.difference().unwrap();
    assert!(
        matches!(difference.outcome, Some(Outcome::Other { .. })) && difference.what.starts_with("published")
    );
}

#[test]
fn what_is_no_recording_is_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        recording::read(&path).unwrap_err().to_string()
    };
    let settings = serde_json::to_string(&publisher().settings()).unwrap();
    let head = format!(
        r#"{{"portolan-recording":1,"portolan":"0.1.0","began":"2026-11-30T10:00:00Z","settings":{settings}}}"#
    );
    for (text, words) in [
        (String::new(), "is no recording"),
        ("services: {}\n".to_owned(), "is no recording"),
        (
            "{\"portolan-recording\":9,\"portolan\":\"9.0\"}\n".to_owned(),
            "is of version 9, and this is version 1: replay it with the portolan that made it, 9.0",
        ),
        ("{\"portolan-recording\":1}\n".to_owned(), ":1: "),
        (format!("{head}\nnonsense\n{{\"t\":1,\"end\":\"stopped\"}}\n"), ":2: "),
    ] {
        let error = at("a.jsonl", &text);
        assert!(error.contains(words), "{text}: {error}");
    }
    let error = recording::read(&folder.path().join("none")).unwrap_err().to_string();
    assert!(error.starts_with("cannot read"), "{error}");
    std::fs::remove_file(folder.path().join("a.jsonl")).unwrap();
    let error = recording::read(folder.path()).unwrap_err().to_string();
    assert!(error.contains("there is no recording in"), "{error}");
    // What cannot follow has a place.
    let path = folder.path().join("b.jsonl");
    std::fs::write(&path, format!("{head}\n{{\"t\":1,\"engine\":\"listing\"}}\n")).unwrap();
    let error = format!("{:#}", recording::replay(&recording::read(&path).unwrap(), None).unwrap_err());
    assert!(error.contains("b.jsonl:2: there is no connection"), "{error}");
}
