//! `portolan cert local`.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail, ensure};
use clap::{Args, Subcommand};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, GeneralSubtree,
    IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints,
};

/// The domain below which all names lead to this machine (RFC 6761, 6.3): a certificate for it is of use nowhere else.
const DOMAIN: &str = "localhost";
const DAY: Duration = Duration::from_secs(86_400);
/// Browsers take none that lasts longer than 398 days.
const CERTIFICATE_DAYS: u32 = 365;
const AUTHORITY_DAYS: u32 = 3_650;
/// Clocks differ.
const BEFORE: Duration = Duration::from_secs(3_600);

/// Certificates for HTTPS.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 where the files are written, 1 where they cannot be, and why; 2 where the command is wrong.\n\n    \
                  portolan cert local\n    portolan cert local --out certs shop.localhost"
)]
pub(super) struct Cert {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Local(Local),
}

/// Make a certificate for *.localhost and names below it, signed by an authority of this machine's own.
///
/// Writes ca.crt, ca.key, localhost.crt and localhost.key, and says how to make browsers trust the authority. One that is there is
/// used again, so that it is to be trusted once; the certificate is new each time, lasts for a year, and is taken up without a
/// restart. The authority can sign for nothing but names below localhost, whoever gets hold of its key.
#[derive(Debug, Args)]
struct Local {
    /// Names below localhost that the certificate is for as well, besides dashboard.localhost. Many clients (OpenSSL, curl, Firefox) take
    /// no *.localhost, so name the hosts.
    #[arg(value_name = "NAME", default_values = ["frontend.localhost", "backend.localhost"])]
    names: Vec<String>,

    /// The folder for the files.
    #[arg(long, value_name = "FOLDER", default_value = "certs")]
    out: PathBuf,
}

impl Cert {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let What::Local(local) = self.what;
        local.run()
    }
}

impl Local {
    fn run(self) -> anyhow::Result<()> {
        for name in &self.names {
            let below = name.strip_suffix(DOMAIN).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
            ensure!(below, "{name} is not below {DOMAIN}: the authority signs for no other names");
        }
        fs::create_dir_all(&self.out)
            .with_context(|| format!("cannot make the folder {}", self.out.display()))?;
        let at = |name: &str| self.out.join(name);
        let is_new = authority(&at("ca.crt"), &at("ca.key"))?;
        let issuer = Issuer::new(authority_params(), key_at(&at("ca.key"))?);
        let (certificate, key) = certificate(&self.names, &issuer)?;
        // The key first: for a moment the control plane sees a key that is not the certificate's, and serves the old ones on.
        write(&at("localhost.key"), &key, 0o644)?;
        write(&at("localhost.crt"), &certificate, 0o644)?;
        println!("{}", told(&self.out, is_new));
        Ok(())
    }
}

/// Makes the authority unless it is there, and says whether it is new.
fn authority(certificate: &Path, key: &Path) -> anyhow::Result<bool> {
    match (certificate.exists(), key.exists()) {
        (true, true) => return Ok(false),
        (false, false) => {}
        (has_certificate, _) => {
            let (there, missing) = if has_certificate { (certificate, key) } else { (key, certificate) };
            bail!(
                "there is {} and no {}; put it back, or remove the other for a new authority",
                there.display(),
                missing.display()
            )
        }
    }
    let pair = KeyPair::generate()?;
    write(key, &pair.serialize_pem(), 0o600)?;
    write(certificate, &authority_params().self_signed(&pair)?.pem(), 0o644)?;
    Ok(true)
}

fn authority_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = named("Portolan, this machine's own authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![GeneralSubtree::DnsName(DOMAIN.to_owned())],
        excluded_subtrees: Vec::new(),
    });
    lasts(&mut params, AUTHORITY_DAYS);
    params
}

/// A certificate and its key, in PEM.
fn certificate(names: &[String], issuer: &Issuer<'_, KeyPair>) -> anyhow::Result<(String, String)> {
    let all = [DOMAIN.to_owned(), format!("*.{DOMAIN}"), format!("dashboard.{DOMAIN}")]
        .into_iter()
        .chain(names.iter().cloned());
    let mut params = CertificateParams::new(all.collect::<Vec<_>>())?;
    params.distinguished_name = named(&format!("*.{DOMAIN}"));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    lasts(&mut params, CERTIFICATE_DAYS);
    let pair = KeyPair::generate()?;
    Ok((params.signed_by(&pair, issuer)?.pem(), pair.serialize_pem()))
}

fn named(name: &str) -> DistinguishedName {
    let mut all = DistinguishedName::new();
    all.push(DnType::CommonName, name);
    all
}

fn lasts(params: &mut CertificateParams, days: u32) {
    let now = SystemTime::now();
    params.not_before = (now - BEFORE).into();
    params.not_after = (now + days * DAY).into();
}

fn key_at(path: &Path) -> anyhow::Result<KeyPair> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    KeyPair::from_pem(&text).with_context(|| format!("{} is no private key", path.display()))
}

/// Writes beside and renames, so that nobody reads the half of it.
fn write(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    let beside = path.with_extension("new");
    let _ = fs::remove_file(&beside);
    let file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside);
    let written =
        file.and_then(|mut file| file.write_all(text.as_bytes())).and_then(|()| fs::rename(&beside, path));
    written.with_context(|| format!("cannot write {}", path.display()))
}

fn told(folder: &Path, is_new: bool) -> String {
    let (ca, at) = (folder.join("ca.crt"), folder.display());
    let ca = ca.display();
    let trust = if is_new {
        format!(
            "\nTrust the authority once; it can sign for names below localhost alone:\n\
             \n  Debian, Ubuntu   sudo cp {ca} /usr/local/share/ca-certificates/portolan.crt && sudo update-ca-certificates\
             \n  Fedora           sudo trust anchor {ca}\
             \n  macOS            security add-trusted-cert -r trustRoot -k ~/Library/Keychains/login.keychain-db {ca}\
             \n  Windows          certutil -user -addstore Root {ca}\
             \n  Chrome on Linux  certutil -d sql:$HOME/.pki/nssdb -A -t C,, -n portolan -i {ca}\
             \n  Firefox          Settings, Certificates, Authorities, Import: {ca}\
             \n  curl             curl --cacert {ca} https://frontend.localhost\n"
        )
    } else {
        format!("\nThe authority {ca} was there already: whoever trusts it trusts the new certificate.\n")
    };
    format!(
        "{at}/localhost.crt and {at}/localhost.key are for *.localhost and the names you gave, for a year.\n{trust}\
         \nIn the policies file (docs/policies.md):\n\
         \n  certificates:\
         \n    local: {{ chain: {at}/localhost.crt, key: {at}/localhost.key }}\
         \n  entry-points:\
         \n    web: {{ redirect: websecure }}\
         \n    websecure: {{ listen: \"0.0.0.0:8443\", published: 443, tls: local }}"
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn made(folder: &Path, names: &[&str]) -> anyhow::Result<()> {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        Local { names, out: folder.to_owned() }.run()
    }

    #[test]
    fn an_authority_is_made_once_and_a_certificate_each_time() {
        let folder = tempfile::tempdir().unwrap();
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        made(folder.path(), &["a.localhost"]).unwrap();
        let (ca, first) = (read("ca.crt"), read("localhost.crt"));
        made(folder.path(), &[]).unwrap();
        assert_eq!(read("ca.crt"), ca);
        assert_ne!(read("localhost.crt"), first);
        let mode = fs::metadata(folder.path().join("ca.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "the authority's key is for its owner");
        fs::remove_file(folder.path().join("ca.crt")).unwrap();
        assert!(made(folder.path(), &[]).unwrap_err().to_string().contains("and no"));
    }

    #[test]
    fn other_names_than_those_of_this_machine_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["example.com", "notlocalhost"] {
            assert!(
                made(folder.path(), &[name]).unwrap_err().to_string().contains("not below localhost"),
                "{name}"
            );
        }
    }
}
