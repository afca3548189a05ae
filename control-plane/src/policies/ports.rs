//! Which project may claim which entry point of TCP.

use super::Policies;

impl Policies {
    /// Why a container of `project`, or of none, may not claim connections at `entry`, and what to do about it; nothing where
    /// it may.
    ///
    /// An entry point of TCP belongs to the projects whose lists have it. What is on nobody's list is for those to claim that
    /// have no list. Requests are not its business: there hosts say whose is what.
    #[must_use]
    pub(super) fn port_refusal(&self, project: Option<&str>, entry: &str) -> Option<(String, String)> {
        if !self.is_tcp(entry) {
            return None;
        }
        let has = |ports: &[super::EntryName]| ports.iter().any(|name| **name == *entry);
        let owners: Vec<&str> =
            self.ports.iter().filter(|(_, ports)| has(ports)).map(|(name, _)| name.as_str()).collect();
        if !owners.is_empty() {
            let is_mine = project.is_some_and(|project| owners.contains(&project));
            return (!is_mine).then(|| {
                let (who, fix) = match project {
                    Some(name) => (
                        format!("the project {name}"),
                        format!(
                            "let the administrator add {entry} to projects.{name}.listen in the policies file"
                        ),
                    ),
                    None => (
                        "this container, of no project,".to_owned(),
                        "let the administrator take it out of projects in the policies file".to_owned(),
                    ),
                };
                let reason = format!(
                    "the entry point {entry} belongs to the project {}, and {who} may not claim it",
                    owners.join(", ")
                );
                (reason, format!("choose another entry point, or {fix}"))
            });
        }
        let (name, own) = project.and_then(|project| self.ports.get_key_value(project))?;
        let own: Vec<&str> = own.iter().map(|name| &**name).collect();
        let (list, fix) = match own.as_slice() {
            [] => ("no entry point of TCP".to_owned(), "remove this one"),
            list => (format!("{} and no other entry point of TCP", list.join(", ")), "choose one of these"),
        };
        let fix = format!(
            "{fix}, or let the administrator add {entry} to projects.{name}.listen in the policies file"
        );
        Some((format!("the project {name} may claim {list}"), fix))
    }
}

#[cfg(test)]
mod tests {
    use crate::model::{Host, Site};
    use crate::policies::parse;

    #[test]
    fn a_port_belongs_to_the_projects_that_list_it() {
        let policies = parse(
            r#"
            entry-points:
              db: { listen: "0.0.0.0:1", protocol: tcp }
              mq: { listen: "0.0.0.0:2", protocol: tcp }
              free: { listen: "0.0.0.0:3", protocol: tcp }
              names: { listen: "0.0.0.0:4", protocol: tcp, tls: passthrough }
            projects:
              shop: { hosts: [shop.test], listen: [db, names] }
              blog: { listen: [mq, db] }
              none: { listen: [] }
            "#,
        )
        .unwrap();
        let site = |entry: &str, host: &str| Site {
            entry: entry.into(),
            host: crate::model::label::parse_host(host).unwrap(),
        };
        let any = |entry: &str| Site { entry: entry.into(), host: Host::Any };
        for (project, site, word) in [
            (Some("shop"), any("db"), None),
            (Some("blog"), any("db"), None),
            (Some("blog"), any("mq"), None),
            (Some("other"), any("free"), None),
            (None, any("free"), None),
            (
                Some("other"),
                any("db"),
                Some("the entry point db belongs to the project blog, shop, and the project other may not"),
            ),
            (
                None,
                any("mq"),
                Some("belongs to the project blog, and this container, of no project, may not claim it"),
            ),
            (Some("shop"), any("mq"), Some("belongs to the project blog, and the project shop may not")),
            (
                Some("shop"),
                any("free"),
                Some("the project shop may claim db, names and no other entry point of TCP"),
            ),
            (Some("none"), any("free"), Some("the project none may claim no entry point of TCP")),
            // Where a host is named it must be the project's too.
            (Some("shop"), site("names", "shop.test"), None),
            (Some("shop"), site("names", "blog.test"), Some("may claim shop.test and no other host")),
            (Some("blog"), site("names", "blog.test"), Some("names belongs to the project shop")),
            // Requests are for hosts to give away.
            (Some("blog"), site("web", "blog.test"), None),
            (Some("blog"), site("web", "shop.test"), Some("shop.test belongs to the project shop")),
            (Some("none"), site("web", "none.test"), None),
        ] {
            let told = policies.refusal_at(project, &site).map(|(reason, _)| reason);
            let fits = match (&told, word) {
                (Some(told), Some(word)) => told.contains(word),
                (told, word) => told.as_deref() == word,
            };
            assert!(fits, "{project:?} {site}: {told:?}");
        }
        let (_, fix) = policies.refusal_at(Some("shop"), &any("mq")).unwrap();
        assert!(fix.contains("add mq to projects.shop.listen"), "{fix}");
    }
}
