//! Which requests are shown.

use std::str::FromStr;

use super::line::Line;

/// All of it must hold; of each list, one. An empty list holds.
#[derive(Debug, Default)]
pub(super) struct Filter {
    pub(super) hosts: Vec<String>,
    pub(super) statuses: Vec<StatusFilter>,
    pub(super) services: Vec<String>,
}

/// A status, or a hundred of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StatusFilter {
    One(u16),
    /// By its first digit.
    Class(u16),
}

impl FromStr for StatusFilter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no status; write one, such as 404, or a hundred of them: 5xx");
        let class = text.strip_suffix("xx").or_else(|| text.strip_suffix("XX"));
        let number = |text: &str| text.parse::<u16>().map_err(|_| wrong());
        match class {
            Some(class) => Some(number(class)?).filter(|class| (1..=5).contains(class)).map(Self::Class),
            // 0 is Envoy's for a client that left before there was an answer.
            None => Some(number(text)?)
                .filter(|status| *status == 0 || (100..=599).contains(status))
                .map(Self::One),
        }
        .ok_or_else(wrong)
    }
}

impl Filter {
    pub(super) fn takes(&self, line: &Line) -> bool {
        let any = |is_empty: bool, found: bool| is_empty || found;
        any(self.hosts.is_empty(), self.hosts.iter().any(|host| is_host(host, line.host())))
            && any(self.statuses.is_empty(), self.statuses.iter().any(|status| status.has(line.status)))
            && any(self.services.is_empty(), self.services.iter().any(|service| is_service(service, line)))
    }
}

impl StatusFilter {
    const fn has(self, status: u16) -> bool {
        match self {
            Self::One(one) => one == status,
            Self::Class(class) => status / 100 == class,
        }
    }
}

fn is_host(wanted: &str, host: &str) -> bool {
    let (wanted, host) = (wanted.to_ascii_lowercase(), host.to_ascii_lowercase());
    match wanted.strip_prefix('*') {
        Some(suffix) => host.len() > suffix.len() && host.ends_with(suffix),
        None => host == wanted,
    }
}

/// Of a request that no container answered, only Envoy's cluster says whose it was.
fn is_service(wanted: &str, line: &Line) -> bool {
    let cluster = line.cluster.as_deref().unwrap_or_default();
    line.service.as_deref() == Some(wanted)
        || cluster == wanted
        || cluster.rsplit_once('/').is_some_and(|(_, service)| service == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(authority: &str, status: u16, service: Option<&str>, cluster: &str) -> Line {
        Line {
            authority: Some(authority.to_owned()),
            status,
            service: service.map(str::to_owned),
            cluster: Some(cluster.to_owned()),
            ..Line::default()
        }
    }

    fn of(hosts: &[&str], statuses: &[&str], services: &[&str]) -> Filter {
        let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        Filter {
            hosts: texts(hosts),
            statuses: statuses.iter().map(|text| text.parse().unwrap()).collect(),
            services: texts(services),
        }
    }

    #[test]
    fn a_request_is_shown_where_one_of_each_kind_fits() {
        let line = line("Shop.localhost:8080", 503, Some("web"), "shop/web");
        for filter in [
            of(&[], &[], &[]),
            of(&["shop.localhost"], &[], &[]),
            of(&["a.localhost", "SHOP.localhost"], &["404", "5xx"], &["web"]),
            of(&["*.localhost"], &["503"], &["shop/web"]),
        ] {
            assert!(filter.takes(&line), "{filter:?}");
        }
        for filter in [
            of(&["localhost"], &[], &[]),
            of(&["*.shop.localhost"], &[], &[]),
            of(&["shop.localhost"], &["4xx"], &[]),
            of(&[], &["500", "200"], &[]),
            of(&[], &[], &["eb"]),
            of(&["shop.localhost"], &["5xx"], &["api"]),
        ] {
            assert!(!filter.takes(&line), "{filter:?}");
        }
    }

    #[test]
    fn what_no_container_answered_belongs_to_a_service_all_the_same() {
        let nobody = line("shop.localhost", 503, None, "shop/web");
        assert!(of(&[], &[], &["web"]).takes(&nobody) && of(&[], &[], &["shop/web"]).takes(&nobody));
        assert!(!of(&[], &[], &["shop"]).takes(&nobody));
    }

    #[test]
    fn a_status_is_a_number_or_a_hundred_of_them() {
        let read = |text: &str| text.parse::<StatusFilter>();
        assert_eq!(read("404"), Ok(StatusFilter::One(404)));
        assert_eq!(read("5xx"), Ok(StatusFilter::Class(5)));
        assert_eq!(read("0"), Ok(StatusFilter::One(0)));
        for text in ["", "xx", "6xx", "50x", "99", "600", "ok", "-1"] {
            assert!(read(text).unwrap_err().contains("is no status"), "{text}");
        }
    }
}
