//! Who the clients say they are. Most of what Envoy says there is the list of its extensions.

use envoy_types::pb::envoy::config::core::v3::{Extension, Node};

/// As many as Envoy 1.40 lists; its node has 61 KB on the wire.
const EXTENSIONS: usize = 516;

/// A node as large as Envoy's.
pub(crate) fn like_envoys() -> Node {
    Node {
        cluster: "edge".to_owned(),
        user_agent_name: "envoy".to_owned(),
        extensions: (0..EXTENSIONS).map(extension).collect(),
        ..Default::default()
    }
}

fn extension(number: usize) -> Extension {
    Extension {
        name: format!("envoy.filters.benchmark.extension_{number:03}"),
        category: "envoy.filters.benchmark".to_owned(),
        type_urls: vec![format!("envoy.extensions.benchmark.extension_{number:03}.v3.Extension")],
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;

    #[test]
    fn a_node_is_as_large_as_envoys() {
        let bytes = like_envoys().encoded_len();
        assert!((58_000..64_000).contains(&bytes), "{bytes}");
    }
}
