//! Which project may claim which host.

use super::Policies;
use crate::model::{Host, Site};

impl Policies {
    /// The same as [`refusal`](Self::refusal), of a host at an entry point: where nobody says a host none belongs to anybody,
    /// and an entry point of TCP may itself be somebody's.
    #[must_use]
    pub fn refusal_at(&self, project: Option<&str>, site: &Site) -> Option<(String, String)> {
        let of_host = || self.refusal(project, &site.host).filter(|_| self.knows_hosts(&site.entry));
        self.port_refusal(project, &site.entry).or_else(of_host)
    }

    /// Why a container of `project`, or of none, may not claim `host`, and what to do about it; nothing where it may.
    ///
    /// A host belongs to the project whose list has it, or has the longest wildcard that covers it. What is on nobody's list is
    /// for those to claim that have no list; but not a wildcard under which requests for somebody's host would come too.
    #[must_use]
    pub fn refusal(&self, project: Option<&str>, host: &Host) -> Option<(String, String)> {
        let own = project.and_then(|project| Some((project, self.projects.get(project)?)));
        let owners = |of: &Host| -> Vec<&str> {
            self.projects
                .iter()
                .filter(|(_, hosts)| hosts.contains(of))
                .map(|(name, _)| name.as_str())
                .collect()
        };
        let found = host.covering().into_iter().map(|of| owners(&of)).find(|owners| !owners.is_empty());
        let who = || {
            project.map_or_else(
                || "this container, of no project,".to_owned(),
                |name| format!("the project {name}"),
            )
        };
        if let Some(owners) = found {
            let is_mine = project.is_some_and(|project| owners.contains(&project));
            return (!is_mine).then(|| {
                let reason = format!(
                    "{host} belongs to the project {}, and {} may not claim it",
                    owners.join(", "),
                    who()
                );
                (
                    reason,
                    "choose another host, or let the administrator add it to projects in the policies file"
                        .to_owned(),
                )
            });
        }
        if let Some((name, hosts)) = own {
            let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
            let reason = format!("the project {name} may claim {} and no other host", hosts.join(", "));
            return Some((
                reason,
                format!("choose one of these, or let the administrator add {host} to projects.{name}.hosts"),
            ));
        }
        let below = self.projects.iter().find_map(|(name, hosts)| {
            Some((name, hosts.iter().find(|other| other.covering().contains(host))?))
        })?;
        let reason = format!(
            "requests for {}, which belongs to the project {}, would come under {host} too",
            below.1, below.0
        );
        Some((reason, "name the hosts one by one".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn host(text: &str) -> Host {
        crate::model::label::parse_host(text).unwrap()
    }

    #[test]
    fn a_host_belongs_to_the_project_whose_list_covers_it_best() {
        let lists = [("shop", "shop.test, *.shop.test"), ("blog", "blog.shop.test"), ("home", "*.home.test")];
        let projects: BTreeMap<String, Vec<Host>> =
            lists.map(|(name, hosts)| (name.to_owned(), hosts.split(", ").map(host).collect())).into();
        let policies = Policies { projects, ..Policies::default() };
        for (project, name, word) in [
            (Some("shop"), "shop.test", None),
            (Some("shop"), "a.shop.test", None),
            (Some("shop"), "*.a.shop.test", None),
            (Some("blog"), "blog.shop.test", None),
            (Some("other"), "free.test", None),
            (None, "free.test", None),
            (None, "*.free.test", None),
            (Some("home"), "*.home.test", None),
            (
                Some("shop"),
                "blog.shop.test",
                Some("belongs to the project blog, and the project shop may not"),
            ),
            (Some("blog"), "shop.test", Some("belongs to the project shop")),
            (Some("other"), "shop.test", Some("belongs to the project shop")),
            (None, "a.shop.test", Some("this container, of no project, may not")),
            (Some("shop"), "free.test", Some("may claim shop.test, *.shop.test and no other host")),
            (Some("other"), "*.test", Some("which belongs to the project blog, would come under *.test too")),
            (None, "*", Some("would come under * too")),
        ] {
            let told = policies.refusal(project, &host(name)).map(|(reason, _)| reason);
            let fits = told.as_deref().zip(word).is_some_and(|(told, word)| told.contains(word))
                || told.as_deref() == word;
            assert!(fits, "{project:?} {name}: {told:?}");
        }
    }

    #[test]
    fn without_a_list_everybody_may_claim_everything() {
        assert_eq!(Policies::default().refusal(Some("a"), &Host::Any), None);
    }
}
