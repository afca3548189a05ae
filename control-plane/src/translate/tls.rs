//! TLS to clients: certificates come over SDS, so that a new one touches no listener and no connection.

use envoy_types::pb::envoy::config::core::v3::data_source::Specifier;
use envoy_types::pb::envoy::config::core::v3::transport_socket::ConfigType;
use envoy_types::pb::envoy::config::core::v3::{DataSource, TransportSocket};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::secret::Type;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::tls_parameters::TlsProtocol;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    CommonTlsContext, DownstreamTlsContext, SdsSecretConfig, Secret, TlsCertificate, TlsParameters,
};

use super::ads;
use super::any::any;
use crate::policies::{EntryPoint, Pair, Policies};

/// What is offered to clients, the better first (RFC 7301).
const ALPN: [&str; 2] = ["h2", "http/1.1"];

/// How an entry point speaks TLS, if it does. It asks for the certificates that are there and for no other: without
/// it Envoy would open the port and cut every connection.
pub(super) fn to_clients(entry: &EntryPoint, policies: &Policies) -> Option<TransportSocket> {
    socket(entry, policies, &ALPN)
}

/// The same where what is inside is not HTTP, and nobody knows what to offer.
pub(super) fn to_tcp_clients(entry: &EntryPoint, policies: &Policies) -> Option<TransportSocket> {
    socket(entry, policies, &[])
}

fn socket(entry: &EntryPoint, policies: &Policies, protocols: &[&str]) -> Option<TransportSocket> {
    let certificate = |name: &str| SdsSecretConfig { name: name.to_owned(), sds_config: Some(ads()) };
    let context = DownstreamTlsContext {
        common_tls_context: Some(CommonTlsContext {
            tls_params: Some(TlsParameters {
                tls_minimum_protocol_version: TlsProtocol::TlSv12 as i32,
                ..Default::default()
            }),
            // Of several the client is shown the one for the name it asks for, else the first.
            tls_certificate_sds_secret_configs: policies.served(entry).map(certificate).collect(),
            alpn_protocols: protocols.iter().map(|protocol| (*protocol).to_owned()).collect(),
            ..Default::default()
        }),
        ..Default::default()
    };
    (!entry.tls.is_empty()).then(|| TransportSocket {
        name: "envoy.transport_sockets.tls".to_owned(),
        config_type: Some(ConfigType::TypedConfig(any(&context))),
    })
}

/// The certificates of which the files can be read. Envoy shows none of the keys (`config_dump` says `[redacted]`).
pub(super) fn secrets(policies: &Policies) -> Vec<Secret> {
    let inline = |text: &str| DataSource {
        specifier: Some(Specifier::InlineString(text.to_owned())),
        ..Default::default()
    };
    let certificate = |Pair { chain, key }: &Pair| TlsCertificate {
        certificate_chain: Some(inline(chain)),
        private_key: Some(inline(key.reveal())),
        ..Default::default()
    };
    let secret = |(name, pair): (&String, &Pair)| Secret {
        name: name.clone(),
        r#type: Some(Type::TlsCertificate(certificate(pair))),
    };
    let pairs = policies.certificates.iter().filter_map(|(name, each)| Some((name, each.pair.as_ref()?)));
    pairs.map(secret).collect()
}
