//! Which container a command runs in, if in one: what a command about a container means that names none.
//!
//! ```text
//! /proc/self/cgroup      0::/system.slice/docker-<id>.scope                  where the cgroup namespace is the host's
//! /proc/self/mountinfo   ... /var/lib/docker/containers/<id>/hostname /etc/hostname ...       everywhere else
//! ```
//!
//! Not the host name: a Compose file can set another one, and outside of a container it is the machine's.

use std::path::Path;

use anyhow::Context;

/// The files that an engine writes for each container and mounts into it.
const WRITTEN: [&str; 3] = ["/etc/hostname", "/etc/hosts", "/etc/resolv.conf"];
/// How many hexadecimal digits an id has.
const ID: usize = 64;

/// The container `named`, or the one that this process runs in.
///
/// # Errors
///
/// None is named, and this is none.
pub(super) fn or_itself(named: Option<String>) -> anyhow::Result<String> {
    named.or_else(|| id_in(Path::new("/proc/self"))).context(
        "no container is named, and this runs in none that can be told from /proc/self; name one, such as shop-web-2",
    )
}

/// Whether this runs in a container, its id known or not.
pub(super) fn is_contained() -> bool {
    let marks = ["/.dockerenv", "/run/.containerenv"];
    marks.iter().any(|mark| Path::new(mark).exists()) || id_in(Path::new("/proc/self")).is_some()
}

/// The id of the container of a process, by its folder in `/proc`.
fn id_in(process: &Path) -> Option<String> {
    let read = |file| std::fs::read_to_string(process.join(file)).unwrap_or_default();
    of_cgroup(&read("cgroup")).or_else(|| of_mounts(&read("mountinfo")))
}

/// The container whose cgroup it is, of several within each other the innermost.
fn of_cgroup(cgroup: &str) -> Option<String> {
    let words = cgroup.lines().flat_map(|line| line.rsplit(['/', '-', '.', ':']));
    words.into_iter().find(|word| is_id(word)).map(str::to_owned)
}

/// The container in whose folder the files lie that are mounted from outside. One that shares the network of another
/// (`network_mode`) has the files of that one.
fn of_mounts(mounts: &str) -> Option<String> {
    // proc_pid_mountinfo(5): id, parent, device, root within its file system, mount point, ...
    let mounts = || {
        mounts.lines().filter_map(|line| {
            let mut fields = line.split(' ').skip(3);
            Some((fields.next()?, fields.next()?))
        })
    };
    WRITTEN.iter().find_map(|file| {
        let (root, _) = mounts().find(|(_, at)| at == file)?;
        root.split('/').find(|part| is_id(part)).map(str::to_owned)
    })
}

fn is_id(word: &str) -> bool {
    word.len() == ID && word.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "4b0f1c8a9d3e5f6071829384a5b6c7d8e9f00112233445566778899aabbccdde";
    const OUTER: &str = "0000000000000000000000000000000000000000000000000000000000000001";

    /// The id that is told to a process with these files.
    fn told(cgroup: &str, mounts: &[&str]) -> Option<String> {
        let process = tempfile::tempdir().unwrap();
        let with_ids = |text: &str| text.replace("OWN", OWN).replace("OUTER", OUTER);
        std::fs::write(process.path().join("cgroup"), with_ids(cgroup)).unwrap();
        std::fs::write(process.path().join("mountinfo"), with_ids(&mounts.join("\n"))).unwrap();
        id_in(process.path())
    }

    #[test]
    fn a_container_knows_its_id_by_what_docker_mounts_into_it() {
        let root = "1211 1078 0:98 / / ro,relatime master:401 - overlay overlay rw,lowerdir=/l,upperdir=/var/lib/docker/overlay2/OUTER/diff";
        let hosts = |folder: &str| {
            format!("1235 1211 254:1 {folder}/hosts /etc/hosts rw,relatime - ext4 /dev/vda1 rw")
        };
        for folder in [
            "/var/lib/docker/containers/OWN",
            // A disk of its own.
            "/containers/OWN",
            "/home/me/.local/share/docker/containers/OWN",
            "/var/lib/containers/storage/overlay-containers/OWN/userdata",
        ] {
            assert_eq!(told("0::/\n", &[root, &hosts(folder)]).as_deref(), Some(OWN), "{folder}");
        }
        // One of the three may be another file, such as the host's own.
        let resolv = "1233 1211 254:1 /etc/resolv.conf /etc/resolv.conf ro,relatime - ext4 /dev/vda1 rw";
        let hostname = "1234 1211 254:1 /var/lib/docker/containers/OWN/hostname /etc/hostname rw,relatime - ext4 /dev/vda1 rw";
        assert_eq!(told("0::/\n", &[resolv, hostname]).as_deref(), Some(OWN));
        // What is mounted elsewhere says nothing, such as to one that looks at all containers.
        let elsewhere =
            "1240 1211 254:1 /var/lib/docker/containers/OUTER/hostname /seen/hostname rw - ext4 /dev/vda1 rw";
        assert_eq!(told("0::/\n", &[root, elsewhere]), None);
    }

    #[test]
    fn a_cgroup_tells_it_more_surely_where_it_is_seen() {
        let other = ["1 2 254:1 /var/lib/docker/containers/OUTER/hosts /etc/hosts rw - ext4 /dev/vda1 rw"];
        for cgroup in [
            "0::/system.slice/docker-OWN.scope\n",
            "0::/docker/OWN\n",
            "9:name=systemd:/docker/OUTER/docker/OWN\n0::/docker/OUTER/docker/OWN\n",
            "1:cpu:/\n0::/user.slice/libpod-OWN.scope/container\n",
        ] {
            assert_eq!(told(cgroup, &other).as_deref(), Some(OWN), "{cgroup}");
        }
    }

    #[test]
    fn outside_of_a_container_one_must_be_named() {
        let machine = ["29 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw", "too short"];
        assert_eq!(told("0::/user.slice/user-1000.slice/session-2.scope\n", &machine), None);
        assert_eq!(id_in(Path::new("/nowhere")), None, "a system that has no /proc");
        assert_eq!(or_itself(Some("web".to_owned())).unwrap(), "web");
    }
}
