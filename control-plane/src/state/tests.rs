use std::collections::BTreeSet;
use std::path::Path;

use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::*;
use crate::inventory::{Attachment, Health, Placement, State, Workload, WorkloadId};
use crate::provider::port;
use crate::publish::View;

const SOURCE: &str = "docker";
const FOR_EVER: Duration = Duration::ZERO;

fn workload(name: &str) -> Workload {
    Workload {
        id: WorkloadId(format!("id-of-{name}").into()),
        name: name.to_owned(),
        project: Some("shop".to_owned()),
        service: Some("web".to_owned()),
        number: Some(1),
        labels: [("portolan.host".to_owned(), "web.localhost".to_owned())].into_iter().collect(),
        placement: Placement::Networks(vec![Attachment {
            network: "shop_front".to_owned(),
            addresses: vec!["10.0.0.2".parse().unwrap(), "fd00::2".parse().unwrap()],
        }]),
        exposed_ports: BTreeSet::from([8080]),
        state: State::Running,
        health: Health::Healthy,
        created: 1_795_558_334,
    }
}

/// One of each kind.
fn inventory() -> Inventory {
    [
        workload("a"),
        Workload {
            placement: Placement::Host,
            state: State::Stopping,
            health: Health::None,
            ..workload("b")
        },
        Workload {
            placement: Placement::SharedWith(WorkloadId("id-of-a".into())),
            state: State::Paused,
            health: Health::Unhealthy,
            ..workload("c")
        },
        Workload {
            placement: Placement::Direct("192.0.2.7:7777".parse().unwrap()),
            state: State::Created,
            health: Health::Starting,
            project: None,
            number: None,
            ..workload("d")
        },
        Workload { placement: Placement::Networks(vec![]), state: State::Stopped, ..workload("e") },
    ]
    .into_iter()
    .collect()
}

fn path(folder: &TempDir) -> PathBuf {
    folder.path().join("state")
}

fn reason(path: &Path) -> String {
    file::load(path, SOURCE).unwrap_err().to_string()
}

#[test]
fn what_is_saved_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    for inventory in [inventory(), Inventory::default()] {
        file::save(&path(&folder), SOURCE, &inventory, &[]).unwrap();
        assert_eq!(file::load(&path(&folder), SOURCE).unwrap().inventory, inventory);
    }
    let names = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(names.collect::<Vec<_>>(), ["state"], "nothing is left beside it");
}

/// Somebody who is gone, and what stands because of it.
fn kept() -> Vec<Kept> {
    let routes = vec![("web.localhost".to_owned(), "shop/web".to_owned())];
    vec![Kept { workload: Workload { state: State::Stopped, ..workload("gone") }, routes, copies: vec![] }]
}

/// The same, with copies.
fn copied() -> Vec<Kept> {
    let copies = vec![("web.localhost".to_owned(), "shop/web".to_owned(), "shop/shadow".to_owned())];
    kept().into_iter().map(|kept| Kept { copies: copies.clone(), ..kept }).collect()
}

#[test]
fn what_is_kept_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    file::save(&path(&folder), SOURCE, &inventory(), &kept()).unwrap();
    assert_eq!(file::load(&path(&folder), SOURCE).unwrap().kept, kept());
    assert_eq!(Keeper::new(path(&folder), SOURCE).kept(), kept());
    assert_eq!(Keeper::new(path(&folder), "file").kept(), [], "of another source");
    assert_eq!(Keeper::new(folder.path().join("none"), SOURCE).kept(), []);
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_is_not_lost_before_there_is_a_view() {
    let folder = tempfile::tempdir().unwrap();
    file::save(&path(&folder), SOURCE, &inventory(), &kept()).unwrap();
    let it = Keeping::begin(path(&folder));
    it.outlet.publish(&one("real"));
    until_saved(&path(&folder), &one("real")).await;
    assert_eq!(file::load(&path(&folder), SOURCE).unwrap().kept, kept());
    it.stop().await;
}

/// Files as version 1 writes them, where nothing is kept as before it knew of that, and where no copies are as before it
/// knew of those. Who changes the shape of a workload sees this fail, and gives the schema another number (and this file
/// another name).
#[test]
fn a_file_of_this_version_is_read_whoever_wrote_it() {
    for (name, kept) in [("version-1", vec![]), ("version-1-kept", kept()), ("version-1-copies", copied())] {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/state/testdata").join(name);
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            file::save(&golden, SOURCE, &inventory(), &kept).unwrap();
        }
        let saved = file::load(&golden, SOURCE).unwrap();
        assert_eq!((saved.inventory, saved.kept), (inventory(), kept), "{name}");
    }
}

#[test]
fn a_file_that_is_cut_off_anywhere_is_ignored() {
    let folder = tempfile::tempdir().unwrap();
    file::save(&path(&folder), SOURCE, &inventory(), &[]).unwrap();
    let whole = std::fs::read(path(&folder)).unwrap();
    for length in 0..whole.len() {
        std::fs::write(path(&folder), &whole[..length]).unwrap();
        assert!(!reason(&path(&folder)).is_empty(), "{length} of {} bytes", whole.len());
    }
    std::fs::write(path(&folder), [&whole[..], b"x"].concat()).unwrap();
    assert_eq!(reason(&path(&folder)), "it is cut off or damaged", "one byte too many");
}

#[test]
fn a_file_with_any_byte_changed_is_ignored() {
    let folder = tempfile::tempdir().unwrap();
    file::save(&path(&folder), SOURCE, &inventory(), &[]).unwrap();
    let whole = std::fs::read(path(&folder)).unwrap();
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        std::fs::write(path(&folder), damaged).unwrap();
        assert!(!reason(&path(&folder)).is_empty(), "byte {at}");
    }
}

#[test]
fn what_is_no_file_of_ours_is_ignored_and_the_reason_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = path(&folder);
    assert_eq!(reason(&path), "there is none");
    for (text, expected) in [
        ("", "it is no saved view"),
        ("services: {}\n", "it is no saved view"),
        ("portolan-state 2 0123456789abcdef 0000000002\n{}", "it is of version 2, and this is version 1"),
        ("portolan-state", "it is cut off or damaged"),
        ("portolan-state\n", "it is cut off or damaged"),
    ] {
        std::fs::write(&path, text).unwrap();
        assert_eq!(reason(&path), expected, "{text:?}");
    }
    file::save(&path, "file", &inventory(), &[]).unwrap();
    assert_eq!(reason(&path), "it is what \"file\" has shown");
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    assert!(reason(&path).starts_with("it cannot be read"), "{}", reason(&path));
    assert!(file::save(&path, SOURCE, &inventory(), &[]).is_err());
    assert!(file::save(Path::new("/nowhere/at/all"), SOURCE, &inventory(), &[]).is_err());
}

/// A keeper at work.
struct Keeping {
    outlet: Outlet,
    views: InventoryReceiver,
    /// What is made of them: nothing.
    _made: watch::Sender<Option<Arc<View>>>,
    stop: CancellationToken,
    tasks: JoinSet<anyhow::Result<()>>,
}

impl Keeping {
    fn begin(path: PathBuf) -> Self {
        let (outlet, views, _) = port(FOR_EVER);
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let (made, made_rx) = watch::channel(None);
        tasks.spawn(Keeper::new(path, SOURCE).run(outlet.clone(), views.clone(), made_rx, stop.clone()));
        Self { outlet, views, _made: made, stop, tasks }
    }

    async fn stop(mut self) {
        self.stop.cancel();
        self.tasks.join_next().await.unwrap().unwrap().unwrap();
    }
}

fn one(name: &str) -> Arc<Inventory> {
    Arc::new([workload(name)].into_iter().collect())
}

fn in_file(path: &Path) -> Option<Inventory> {
    file::load(path, SOURCE).ok().map(|saved| saved.inventory)
}

async fn until_saved(path: &Path, view: &Inventory) {
    let saved = async {
        while in_file(path).as_ref() != Some(view) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(600), saved).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_saved_view_stands_in_while_the_source_is_away_and_gives_way_at_once() {
    let folder = tempfile::tempdir().unwrap();
    file::save(&path(&folder), SOURCE, &inventory(), &[]).unwrap();
    let mut it = Keeping::begin(path(&folder));
    let began = Instant::now();
    it.views.wait_for(Option::is_some).await.unwrap();
    assert!(began.elapsed() >= AWAY_AFTER && began.elapsed() < 2 * AWAY_AFTER, "{:?}", began.elapsed());
    assert_eq!(**it.views.borrow().as_ref().unwrap(), inventory());
    let real = one("real");
    assert!(it.outlet.publish(&real));
    assert!(Arc::ptr_eq(it.views.borrow().as_ref().unwrap(), &real));
    until_saved(&path(&folder), &real).await;
}

#[tokio::test(start_paused = true)]
async fn a_source_that_is_there_is_not_forestalled() {
    let folder = tempfile::tempdir().unwrap();
    file::save(&path(&folder), SOURCE, &inventory(), &[]).unwrap();
    let it = Keeping::begin(path(&folder));
    tokio::time::sleep(AWAY_AFTER / 2).await;
    let real = one("real");
    it.outlet.publish(&real);
    until_saved(&path(&folder), &real).await;
    tokio::time::sleep(10 * AWAY_AFTER).await;
    assert!(Arc::ptr_eq(it.views.borrow().as_ref().unwrap(), &real));
}

#[tokio::test(start_paused = true)]
async fn without_a_usable_file_nothing_stands_in_and_nothing_ends() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty");
    file::save(&empty, SOURCE, &Inventory::default(), &[]).unwrap();
    let damaged = folder.path().join("damaged");
    std::fs::write(&damaged, "portolan-state 1 what?\n").unwrap();
    for path in [path(&folder), empty, damaged] {
        let it = Keeping::begin(path.clone());
        tokio::time::sleep(10 * AWAY_AFTER).await;
        assert!(it.views.borrow().is_none(), "{}: never an empty view", path.display());
        let real = one("real");
        it.outlet.publish(&real);
        until_saved(&path, &real).await;
        it.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_folder_that_is_not_there_is_no_reason_to_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("later").join("state");
    let it = Keeping::begin(path.clone());
    it.outlet.publish(&one("a"));
    tokio::time::sleep(10 * AWAY_AFTER).await;
    std::fs::create_dir(path.parent().unwrap()).unwrap();
    let next = one("b");
    it.outlet.publish(&next);
    until_saved(&path, &next).await;
}

#[tokio::test(start_paused = true)]
async fn of_many_views_in_a_second_the_last_is_saved() {
    let folder = tempfile::tempdir().unwrap();
    let it = Keeping::begin(path(&folder));
    let mut seen = BTreeSet::new();
    let began = Instant::now();
    for n in 0..500 {
        it.outlet.publish(&one(&format!("{n}")));
        tokio::time::sleep(Duration::from_millis(10)).await;
        seen.extend(
            in_file(&path(&folder)).into_iter().flat_map(|view| view.workloads.into_iter().map(|(id, _)| id)),
        );
    }
    let seconds = usize::try_from(began.elapsed().as_secs()).unwrap();
    assert!(seen.len() > 1 && seen.len() <= seconds + 2, "{} files in {seconds} s", seen.len());
    until_saved(&path(&folder), &one("499")).await;
}

#[tokio::test(start_paused = true)]
async fn at_the_end_the_last_view_is_saved() {
    let folder = tempfile::tempdir().unwrap();
    let it = Keeping::begin(path(&folder));
    it.outlet.publish(&one("first"));
    until_saved(&path(&folder), &one("first")).await;
    // Right after a write, and before the next may come.
    it.outlet.publish(&one("last"));
    it.stop().await;
    assert_eq!(in_file(&path(&folder)), Some(Inventory::clone(&one("last"))));
}
