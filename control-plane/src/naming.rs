//! What a person means by the name of a container or of a service. Pure.

use crate::inventory::{Inventory, Workload};
use crate::model::{Service, Topology};

/// So many names are listed in a message; who has more knows where to look.
const LISTED: usize = 8;

/// Why nothing single is meant. It reads as a sentence for the person who wrote the name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotFound {
    /// No container has that name.
    #[error("no container has the name or id {0:?}, or one that begins so")]
    NoContainer(String),
    /// It is the beginning of several.
    #[error("{0:?} is the beginning of several: {names}; write more of it", names = listed(.1))]
    SeveralContainers(String, Vec<String>),
    /// No service has that name; those that there are.
    #[error("no service has the name {0:?}, or one that ends in /{0}; {names}", names = choice(.1))]
    NoService(String, Vec<String>),
    /// It is the end of several.
    #[error("{0:?} may be {names}; write all of it", names = .1.join(" or "))]
    SeveralServices(String, Vec<String>),
}

impl NotFound {
    /// Whether nothing has the name, and not too many.
    #[must_use]
    pub const fn is_nothing(&self) -> bool {
        matches!(self, Self::NoContainer(_) | Self::NoService(..))
    }
}

fn listed(names: &[String]) -> String {
    let more = names.len().saturating_sub(LISTED);
    let shown = names[..names.len() - more].join(", ");
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}

fn choice(names: &[String]) -> String {
    if names.is_empty() { "there is none yet".to_owned() } else { format!("there are {}", listed(names)) }
}

/// The workload that is meant: by name, by id, or by the beginning of either if no other shares it.
///
/// # Errors
///
/// It is none, or could be several.
pub fn workload<'a>(inventory: &'a Inventory, text: &str) -> Result<&'a Workload, NotFound> {
    let all = || inventory.workloads.values().map(AsRef::as_ref);
    if let Some(exact) = all().find(|workload| workload.name == text || *workload.id.0 == *text) {
        return Ok(exact);
    }
    let begins = |workload: &&Workload| workload.name.starts_with(text) || workload.id.0.starts_with(text);
    let found: Vec<&Workload> = all().filter(|_| !text.is_empty()).filter(begins).collect();
    match found.as_slice() {
        [] => Err(NotFound::NoContainer(text.to_owned())),
        [one] => Ok(one),
        several => {
            let names = several.iter().map(|workload| workload.name.clone()).collect();
            Err(NotFound::SeveralContainers(text.to_owned(), names))
        }
    }
}

/// The service that is meant: by its whole name, or by what follows the last slash in it if no other ends so.
///
/// # Errors
///
/// It is none, or could be several.
pub fn service<'a>(topology: &'a Topology, text: &str) -> Result<&'a Service, NotFound> {
    let all = || topology.services.values().map(AsRef::as_ref);
    if let Some(exact) = all().find(|service| *service.name.0 == *text) {
        return Ok(exact);
    }
    let ends = |service: &&Service| service.name.0.rsplit_once('/').is_some_and(|(_, end)| end == text);
    let found: Vec<&Service> = all().filter(ends).collect();
    let names = |services: &[&Service]| services.iter().map(|service| service.name.to_string()).collect();
    match found.as_slice() {
        [] => Err(NotFound::NoService(text.to_owned(), names(&all().collect::<Vec<_>>()))),
        [one] => Ok(one),
        several => Err(NotFound::SeveralServices(text.to_owned(), names(several))),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::*;
    use crate::file;
    use crate::model::ServiceName;

    #[test]
    fn a_container_is_found_by_name_id_or_the_beginning_of_one() {
        let text = "services: {web: {endpoints: [\"127.0.0.1:1\", \"127.0.0.1:2\"]}, api: {endpoints: [{address: \"127.0.0.1:3\", name: web}]}}";
        let inventory = file::parse(text).unwrap();
        for (text, expected) in [
            ("web-1", "web/web-1"),
            ("web/web-2", "web/web-2"),
            ("web/web-", "several"),
            ("ap", "api/web"),
            // The whole name of one is meant, though others begin with it.
            ("web", "api/web"),
            ("we", "several"),
            ("db", "nothing"),
            ("", "nothing"),
        ] {
            let found = match workload(&inventory, text) {
                Ok(workload) => workload.id.0.to_string(),
                Err(error) => if error.is_nothing() { "nothing" } else { "several" }.to_owned(),
            };
            assert_eq!(found, expected, "{text:?}");
        }
        let told = workload(&inventory, "we").unwrap_err().to_string();
        assert!(told.contains("web-1, web-2"), "{told}");
    }

    fn topology(names: &[&str]) -> Topology {
        let services = names.iter().map(|name| {
            let name = ServiceName((*name).into());
            let service = Service {
                name: name.clone(),
                options: Arc::default(),
                variants: BTreeMap::new(),
                endpoints: Vec::new(),
                absent: Vec::new(),
            };
            (name, Arc::new(service))
        });
        Topology { services: services.collect(), ..Topology::default() }
    }

    #[test]
    fn a_service_is_found_by_its_name_or_the_end_of_it() {
        let topology = topology(&["shop/web", "blog/web", "blog/db", "db"]);
        let found = |asked: &str| service(&topology, asked).map(|found| found.name.to_string());
        assert_eq!(found("shop/web").unwrap(), "shop/web");
        assert_eq!(found("db").unwrap(), "db", "the whole name comes first");
        let told = found("eb").unwrap_err().to_string();
        assert!(told.contains("there are blog/db, blog/web, db, shop/web"), "{told}");
        let told = found("web").unwrap_err().to_string();
        assert!(told.contains("blog/web or shop/web"), "{told}");
    }

    #[test]
    fn a_long_list_of_names_is_cut() {
        let names: Vec<String> = (0..10).map(|n| format!("s{n}")).collect();
        assert!(listed(&names).ends_with("s7 and 2 more"), "{}", listed(&names));
    }
}
