//! What a person asks about: a request, as a URL says it.

use std::collections::BTreeMap;

/// A request, as far as routes look at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The host, in lower case and without its port.
    pub host: String,
    /// Whether it comes over TLS.
    pub secure: bool,
    /// The port, where it is said.
    pub port: Option<u16>,
    /// The path as it is sent, without the query.
    pub path: String,
    /// The query's parameters as they are sent, in their order.
    pub query: Vec<(String, String)>,
    /// The method, in capitals.
    pub method: String,
    /// The headers that routes may ask for, by their names in lower case.
    pub headers: BTreeMap<String, String>,
}

impl Question {
    /// A GET without headers for what a person types: `http://shop.localhost:8080/cart?a=b`, or the same without scheme.
    ///
    /// # Errors
    ///
    /// It names no host, or something that is none; says what to write instead.
    pub fn read(url: &str) -> Result<Self, String> {
        let url = url.trim();
        let rest = match url.split_once("://") {
            Some(("http" | "https", rest)) => rest,
            Some((scheme, _)) if !scheme.contains(['/', '?', '#']) => {
                return Err(format!("{scheme}:// is not routed here; write http://, or the host alone"));
            }
            _ => url,
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => (host, port.parse().ok()),
            _ => (authority, None),
        };
        let secure = url.starts_with("https://");
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._[]:".contains(&byte);
        if host.is_empty() || !host.bytes().all(is_name) {
            return Err(format!("{authority:?} is not a host; write shop.localhost/path"));
        }
        let target = path.split('#').next().unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let path = if path.is_empty() { "/" } else { path };
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        let query = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        let query = query.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        if let Some(wrong) = path.chars().find(|c| c.is_whitespace() || c.is_control()) {
            return Err(format!("a path has no {wrong:?}; write %20 for a space"));
        }
        let (path, method) = (path.to_owned(), "GET".to_owned());
        Ok(Self { host, secure, port, path, query, method, headers: BTreeMap::new() })
    }

    /// The same by this method.
    #[must_use]
    pub fn by(mut self, method: &str) -> Self {
        self.method = method.trim().to_ascii_uppercase();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_address_is_told() {
        for (url, word) in [
            ("", "is not a host"),
            ("/path", "is not a host"),
            ("ftp://a/", "ftp:// is not routed"),
            ("a b/", "is not a host"),
            ("a/x y", "%20"),
        ] {
            let told = Question::read(url).unwrap_err();
            assert!(told.contains(word), "{url}: {told}");
        }
    }
}
