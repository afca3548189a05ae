//! HTTPS to those who are somebody else's: who they are is checked, by name and by who has signed for them.

use std::net::IpAddr;
use std::sync::LazyLock;

use envoy_types::pb::envoy::config::core::v3::data_source::Specifier;
use envoy_types::pb::envoy::config::core::v3::transport_socket::ConfigType;
use envoy_types::pb::envoy::config::core::v3::{DataSource, TransportSocket};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::common_tls_context::ValidationContextType;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::subject_alt_name_matcher::SanType;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::tls_parameters::TlsProtocol;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    CertificateValidationContext, CommonTlsContext, SubjectAltNameMatcher, TlsParameters, UpstreamTlsContext,
};
use envoy_types::pb::envoy::r#type::matcher::v3::StringMatcher;
use envoy_types::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;

use super::any::any;
use crate::policies::Trust;

/// The authorities that browsers trust, in PEM. They travel in the cluster: a file that Envoy's container does not have would
/// make Envoy refuse it.
static WEB: LazyLock<String> = LazyLock::new(|| {
    let roots = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter();
    let all: Vec<pem::Pem> = roots.map(|root| pem::Pem::new("CERTIFICATE", root.to_vec())).collect();
    pem::encode_many_config(&all, pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF))
});

/// TLS to `host`; nothing while there is nobody to trust, and then it must not be asked.
pub(super) fn transport(host: &str, trust: &Trust) -> Option<TransportSocket> {
    let authorities = match trust {
        Trust::Web => WEB.clone(),
        Trust::File { authorities, .. } => authorities.as_ref()?.to_string(),
    };
    let ip: Option<IpAddr> = host.parse().ok();
    let san_type = if ip.is_some() { SanType::IpAddress } else { SanType::Dns };
    let name = ip.map_or_else(|| host.to_ascii_lowercase(), |ip| ip.to_string());
    let is_named = SubjectAltNameMatcher {
        san_type: san_type as i32,
        // Of a name it is as RFC 6125 has it: a wildcard in the certificate stands for one label.
        matcher: Some(StringMatcher {
            match_pattern: Some(MatchPattern::Exact(name.clone())),
            ..Default::default()
        }),
        ..Default::default()
    };
    let validation = CertificateValidationContext {
        trusted_ca: Some(DataSource {
            specifier: Some(Specifier::InlineString(authorities)),
            ..Default::default()
        }),
        match_typed_subject_alt_names: vec![is_named],
        ..Default::default()
    };
    let context = UpstreamTlsContext {
        common_tls_context: Some(CommonTlsContext {
            tls_params: Some(TlsParameters {
                tls_minimum_protocol_version: TlsProtocol::TlSv12 as i32,
                ..Default::default()
            }),
            validation_context_type: Some(ValidationContextType::ValidationContext(validation)),
            ..Default::default()
        }),
        // An address is no name that could be asked for (RFC 6066, 3).
        sni: if ip.is_some() { String::new() } else { name },
        ..Default::default()
    };
    Some(TransportSocket {
        name: "envoy.transport_sockets.tls".to_owned(),
        config_type: Some(ConfigType::TypedConfig(any(&context))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_authorities_that_browsers_trust_are_there() {
        assert_eq!(
            WEB.matches("-----BEGIN CERTIFICATE-----").count(),
            webpki_root_certs::TLS_SERVER_ROOT_CERTS.len()
        );
        assert!(WEB.len() < 400_000, "{} bytes in each cluster", WEB.len());
    }
}
